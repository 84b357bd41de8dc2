//! The state of a follower between two waits: where it reads on, what is on its way, and how far
//! all of it is done.
//!
//! Pure: the follower brings pages and tells what has ended.

use std::time::Duration;

use wholly_core::Timestamp;

use super::lanes::Lanes;
use super::plan::Plan;
use crate::cursor::Cursor;
use crate::event::Event;
use crate::feed::{Ask, FeedError, FeedInfo, Page, SetAside, Start};
use crate::names::{Correlation, ServiceName};

/// The most events that are read and not yet dealt with.
const UNDONE_LIMIT: usize = 2_048;
/// The most events of a page.
const PAGE_LIMIT: u64 = 512;

/// A follower's way through one feed.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Where to read on.
    start: Start,
    lanes: Lanes<Item>,
    /// A read after which nothing was left: when it began, and the place where it ended.
    read_to_end: Option<(Timestamp, Cursor)>,
}

/// Something in a feed that is to be dealt with.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// An event to which the service reacts.
    Event(Event),
    /// Something that is no event, and that is to be kept.
    NoEvent(SetAside),
}

/// A place before which every event is dealt with or parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) place: Cursor,
    /// The start of a read whose end is dealt with now, and after which nothing was left.
    pub(crate) read_to_end_at: Option<Timestamp>,
}

impl Reader {
    pub(crate) fn new(start: Start) -> Self {
        Self { start, lanes: Lanes::default(), read_to_end: None }
    }

    /// True if more may be read before what is on its way has ended.
    pub(crate) fn has_room(&self) -> bool {
        self.lanes.len() < UNDONE_LIMIT
    }

    /// The question for the next page.
    pub(crate) fn ask(&self, wait: Duration) -> Ask {
        Ask { start: self.start.clone(), limit: PAGE_LIMIT, wait }
    }

    /// Takes in a page that was asked for at this moment.
    pub(crate) fn take(&mut self, plan: &Plan, began: Timestamp, page: Page) {
        let events = page.events.into_iter().map(|one| (one.position, Item::Event(one.event)));
        let others = page.set_aside.into_iter().map(|one| (one.position, Item::NoEvent(one)));
        let mut items: Vec<_> = events.chain(others).collect();
        items.sort_by_key(|(position, _)| *position);
        for (position, item) in items {
            self.push(plan, position, item);
        }
        if page.cursor.position >= page.head {
            self.read_to_end = Some((began, page.cursor.clone()));
        }
        self.lanes.pass(page.cursor.clone());
        self.start = Start::After(page.cursor);
    }

    fn push(&mut self, plan: &Plan, position: u64, item: Item) {
        let (id, correlation) = match &item {
            Item::Event(event) if plan.reactions_to(&event.kind).next().is_none() => {
                (Some(event.id.clone()), None)
            }
            Item::Event(event) => (Some(event.id.clone()), Some(event.correlation.clone())),
            // It waits for nothing, and nothing for it.
            Item::NoEvent(_) => (None, Correlation::new(format!("set aside {position}")).ok()),
        };
        let place = Cursor { position, id };
        match correlation {
            Some(correlation) => self.lanes.push(place, correlation, item),
            None => self.lanes.pass(place),
        }
    }

    /// The next item that may be dealt with.
    pub(crate) fn begin(&mut self) -> Option<(&Correlation, &Item)> {
        self.lanes.begin()
    }

    /// The event of this correlation that was begun is dealt with, or durably parked.
    pub(crate) fn done(&mut self, correlation: &Correlation) {
        self.lanes.done(correlation);
    }

    /// How far all is done, if that has moved since it was last asked.
    pub(crate) fn take_passed(&mut self) -> Option<Passed> {
        let place = self.lanes.take_watermark()?;
        let ended = self.read_to_end.take_if(|(_, end)| end.position <= place.position);
        Some(Passed { place, read_to_end_at: ended.map(|(began, _)| began) })
    }
}

/// Refuses a feed that cannot be followed without losing events.
pub(crate) fn check(
    info: &FeedInfo,
    expected: &ServiceName,
    inbox_retention: Duration,
) -> Result<(), FeedError> {
    if info.source != *expected {
        let (expected, found) = (expected.clone(), info.source.clone());
        return Err(FeedError::OtherSource { expected, found });
    }
    if inbox_retention <= info.retention {
        return Err(FeedError::Retention { feed: info.retention, inbox: inbox_retention });
    }
    Ok(())
}
