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
use crate::feed::{Ask, FeedError, FeedInfo, Page, Start};
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
    lanes: Lanes<Event>,
    /// A read after which nothing was left: when it began, and the place where it ended.
    read_to_end: Option<(Timestamp, Cursor)>,
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
        for placed in page.events {
            let place = Cursor::at(placed.position, placed.event.id.clone());
            if plan.reactions_to(&placed.event.kind).next().is_some() {
                self.lanes.push(place, placed.event.correlation.clone(), placed.event);
            } else {
                self.lanes.pass(place);
            }
        }
        if page.cursor.position >= page.head {
            self.read_to_end = Some((began, page.cursor.clone()));
        }
        self.lanes.pass(page.cursor.clone());
        self.start = Start::After(page.cursor);
    }

    /// The next event that may be dealt with.
    pub(crate) fn begin(&mut self) -> Option<(&Correlation, &Event)> {
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
