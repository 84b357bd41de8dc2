//! The state of a follower between two waits: where it reads on, what is on its way, and how far
//! all of it is done.
//!
//! Pure: the follower brings pages and tells what has ended.

use std::time::Duration;

use wholly_core::Timestamp;

use super::correlation_queues::CorrelationQueues;
use super::plan::ServicePlan;
use crate::cursor::Cursor;
use crate::event::Event;
use crate::feed::{FeedError, FeedInfo, FeedPage, FeedRequest, SetAside, StartFrom};
use crate::names::{Correlation, ServiceName};
use crate::probe::{Law, broken};

/// The most events that are read and not yet dealt with.
const UNDONE_LIMIT: usize = 2_048;
/// The most events of a page.
const PAGE_LIMIT: u64 = 512;
/// The time for which a feed is asked to wait for an event.
const WAIT: Duration = Duration::from_secs(20);

/// A follower's way through one feed.
#[derive(Debug)]
pub(crate) struct FeedReader {
    /// Where to read on.
    start: StartFrom,
    queues: CorrelationQueues<Item>,
    /// A read after which nothing was left: when it began, and the place where it ended.
    read_to_end: Option<(Timestamp, Cursor)>,
    /// There was such a read.
    has_seen_end: bool,
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
pub(crate) struct Checkpoint {
    pub(crate) place: Cursor,
    /// The start of a read whose end is dealt with now, and after which nothing was left.
    pub(crate) read_to_end_at: Option<Timestamp>,
}

impl FeedReader {
    pub(crate) fn new(start: StartFrom) -> Self {
        Self { start, queues: CorrelationQueues::default(), read_to_end: None, has_seen_end: false }
    }

    /// True if more may be read before what is on its way has ended.
    pub(crate) fn has_room(&self) -> bool {
        self.queues.len() < UNDONE_LIMIT
    }

    /// The question for the next page: to be answered at once, until the end was seen.
    pub(crate) fn ask(&self) -> FeedRequest {
        let wait = if self.has_seen_end { WAIT } else { Duration::ZERO };
        FeedRequest { wait, ..self.ask_now() }
    }

    /// The question that is to be answered at once.
    pub(crate) fn ask_now(&self) -> FeedRequest {
        FeedRequest { start: self.start.clone(), limit: PAGE_LIMIT, wait: Duration::ZERO }
    }

    /// Takes in a page, with its question and the moment at which that was asked.
    pub(crate) fn take(
        &mut self,
        plan: &ServicePlan,
        began: Timestamp,
        ask: &FeedRequest,
        page: FeedPage,
    ) {
        let events = page.events.into_iter().map(|one| (one.position, Item::Event(one.event)));
        let others = page.set_aside.into_iter().map(|one| (one.position, Item::NoEvent(one)));
        let mut items: Vec<_> = events.chain(others).collect();
        items.sort_by_key(|(position, _)| *position);
        for (position, item) in items {
            self.push(plan, position, item);
        }
        // A feed that may wait tells what it knows; asked at once, it looks whether there is more.
        if ask.wait.is_zero() && page.cursor.position >= page.head {
            self.has_seen_end = true;
            self.read_to_end = Some((began, page.cursor.clone()));
        }
        self.queues.pass(page.cursor.clone());
        self.start = StartFrom::After(page.cursor);
    }

    fn push(&mut self, plan: &ServicePlan, position: u64, item: Item) {
        let (id, correlation) = match &item {
            Item::Event(event) if plan.reactions_to(&event.kind).next().is_none() => {
                (Some(event.id.clone()), None)
            }
            Item::Event(event) => (Some(event.id.clone()), Some(lane_of(event))),
            // It waits for nothing, and nothing for it.
            Item::NoEvent(_) => (None, Correlation::new(format!("set aside {position}")).ok()),
        };
        let place = Cursor { position, id };
        match correlation {
            Some(correlation) => self.queues.push(place, correlation, item),
            None => self.queues.pass(place),
        }
    }

    /// The next item that may be dealt with.
    pub(crate) fn begin(&mut self) -> Option<(&Correlation, &Item)> {
        self.queues.begin()
    }

    /// The event of this correlation that was begun is dealt with, or durably parked.
    pub(crate) fn done(&mut self, correlation: &Correlation) {
        self.queues.done(correlation);
    }

    /// Takes the place up to which all is done, if that has moved; with what was known of `before`,
    /// which is not saved yet.
    pub(crate) fn take_passed(&mut self, before: Option<&Checkpoint>) -> Option<Checkpoint> {
        let place = self.queues.take_watermark()?;
        let ended = self.read_to_end.take_if(|(_, end)| end.position <= place.position);
        let before = before.and_then(|passed| passed.read_to_end_at);
        Some(Checkpoint { place, read_to_end_at: ended.map(|(began, _)| began).or(before) })
    }
}

fn lane_of(event: &Event) -> Correlation {
    match broken(Law::LanesByCorrelation) {
        true => Correlation::from_checked(event.id.as_str()),
        false => event.correlation.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choreography::plan::RetryPolicy;
    use crate::declaration::Declaration;

    fn plan() -> ServicePlan {
        let declaration: Declaration = serde_json::from_str(r#"{"service": "a"}"#).unwrap();
        ServicePlan { declaration, retry: RetryPolicy::default() }
    }

    fn empty(cursor: Cursor) -> FeedPage {
        let head = cursor.position;
        FeedPage { events: Vec::new(), set_aside: Vec::new(), cursor, head }
    }

    /// A feed that waits may have events that it has not given a position yet.
    #[test]
    fn only_a_feed_that_was_asked_at_once_tells_that_there_is_no_more() {
        let mut reader = FeedReader::new(StartFrom::Earliest);
        let [first, second, third] = [1, 2, 3].map(Timestamp::from_millis);
        let mut read = |ask: FeedRequest, began| {
            reader.take(&plan(), began, &ask, empty(Cursor::START));
            (reader.ask(), reader.ask_now(), reader.take_passed(None).unwrap().read_to_end_at)
        };
        let at_once = FeedRequest { start: StartFrom::Earliest, limit: 1, wait: Duration::ZERO };
        let (ask, _, end) = read(at_once, first);
        assert_eq!((ask.wait, end), (WAIT, Some(first)));
        let (_, at_once, end) = read(ask, second);
        assert_eq!((at_once.wait, end), (Duration::ZERO, None));
        assert_eq!(read(at_once, third).2, Some(third));
    }

    #[test]
    fn what_is_known_of_a_place_that_is_not_saved_goes_on_to_the_next() {
        let mut reader = FeedReader::new(StartFrom::Earliest);
        let at = Timestamp::from_millis(1);
        let ask = reader.ask();
        reader.take(&plan(), at, &ask, empty(Cursor::START));
        let before = reader.take_passed(None);
        let ask = reader.ask();
        reader.take(&plan(), Timestamp::from_millis(2), &ask, empty(Cursor::START));
        assert_eq!(reader.take_passed(before.as_ref()).unwrap().read_to_end_at, Some(at));
        assert_eq!(reader.take_passed(before.as_ref()), None);
    }
}
