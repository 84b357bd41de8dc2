//! The state of a follower: the next read, the events being handled, and the checkpoint.
//!
//! Pure: the follower passes in pages and reports handled events.

use std::time::Duration;

use wholly_core::Timestamp;

use super::correlation_queues::CorrelationQueues;
use super::plan::ServicePlan;
use crate::cursor::Cursor;
use crate::event::Event;
use crate::feed::{FeedError, FeedInfo, FeedPage, FeedRequest, SetAside, StartFrom};
use crate::names::{Correlation, ServiceName};
use crate::probe::{Law, broken};

/// The largest number of events that are read and not yet handled.
const UNDONE_LIMIT: usize = 2_048;
/// The largest number of events of a page.
const PAGE_LIMIT: u64 = 512;
/// The wait of a read for new events.
const WAIT: Duration = Duration::from_secs(20);

/// A follower's progress in one feed.
#[derive(Debug)]
pub(crate) struct FeedReader {
    /// The start of the next read.
    start: StartFrom,
    queues: CorrelationQueues<Item>,
    /// The last read that reached the end of the feed: its start time and its last cursor.
    read_to_end: Option<(Timestamp, Cursor)>,
    /// True after a read has reached the end of the feed.
    has_seen_end: bool,
}

/// An entry of a feed to handle.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// An event to which the service reacts.
    Event(Event),
    /// An invalid entry, which is stored.
    NoEvent(SetAside),
}

/// A watermark of a feed, as it is stored: every event up to it is handled or parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) place: Cursor,
    /// The start of a read that reached the end of the feed and is handled now.
    pub(crate) read_to_end_at: Option<Timestamp>,
}

impl FeedReader {
    pub(crate) fn new(start: StartFrom) -> Self {
        Self { start, queues: CorrelationQueues::default(), read_to_end: None, has_seen_end: false }
    }

    /// True if another page may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.queues.len() < UNDONE_LIMIT
    }

    /// The next read. It waits for new events only after the end of the feed was reached.
    pub(crate) fn ask(&self) -> FeedRequest {
        let wait = if self.has_seen_end { WAIT } else { Duration::ZERO };
        FeedRequest { wait, ..self.ask_now() }
    }

    /// The next read, without a wait.
    pub(crate) fn ask_now(&self) -> FeedRequest {
        FeedRequest { start: self.start.clone(), limit: PAGE_LIMIT, wait: Duration::ZERO }
    }

    /// Takes in a page, with its request and the time of the request.
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
        // Only a read without a wait makes the feed look for events that have no position yet.
        if ask.wait.is_zero() && page.cursor.position >= page.head {
            self.has_seen_end = true;
            self.read_to_end = Some((began, page.cursor.clone()));
        }
        self.queues.skip(page.cursor.clone());
        self.start = StartFrom::After(page.cursor);
    }

    fn push(&mut self, plan: &ServicePlan, position: u64, item: Item) {
        let (id, correlation) = match &item {
            Item::Event(event) if plan.reactions_to(&event.kind).next().is_none() => {
                (Some(event.id.clone()), None)
            }
            Item::Event(event) => (Some(event.id.clone()), Some(queue_of(event))),
            // Invalid entries have queues of their own: they wait for nothing.
            Item::NoEvent(_) => (None, Correlation::new(format!("set aside {position}")).ok()),
        };
        let place = Cursor { position, id };
        match correlation {
            Some(correlation) => self.queues.push(place, correlation, item),
            None => self.queues.skip(place),
        }
    }

    /// Takes the next entry that may be handled, with its queue.
    pub(crate) fn take_ready(&mut self) -> Option<(&Correlation, &Item)> {
        self.queues.take_ready()
    }

    /// Reports that the current event of this queue is handled or durably parked.
    pub(crate) fn done(&mut self, correlation: &Correlation) {
        self.queues.done(correlation);
    }

    /// Takes the checkpoint, if the watermark has moved. `before` is the last one, if it is not yet
    /// saved; its end of the feed is kept.
    pub(crate) fn take_checkpoint(&mut self, before: Option<&Checkpoint>) -> Option<Checkpoint> {
        let place = self.queues.take_watermark()?;
        let ended = self.read_to_end.take_if(|(_, end)| end.position <= place.position);
        let before = before.and_then(|passed| passed.read_to_end_at);
        Some(Checkpoint { place, read_to_end_at: ended.map(|(began, _)| began).or(before) })
    }
}

fn queue_of(event: &Event) -> Correlation {
    match broken(Law::LanesByCorrelation) {
        true => Correlation::from_checked(event.id.as_str()),
        false => event.correlation.clone(),
    }
}

/// Refuses a feed that cannot be followed safely.
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

    /// A feed that answers after a wait may have events without a position.
    #[test]
    fn only_a_read_without_a_wait_reaches_the_end() {
        let mut reader = FeedReader::new(StartFrom::Earliest);
        let [first, second, third] = [1, 2, 3].map(Timestamp::from_millis);
        let mut read = |ask: FeedRequest, began| {
            reader.take(&plan(), began, &ask, empty(Cursor::START));
            (reader.ask(), reader.ask_now(), reader.take_checkpoint(None).unwrap().read_to_end_at)
        };
        let at_once = FeedRequest { start: StartFrom::Earliest, limit: 1, wait: Duration::ZERO };
        let (ask, _, end) = read(at_once, first);
        assert_eq!((ask.wait, end), (WAIT, Some(first)));
        let (_, at_once, end) = read(ask, second);
        assert_eq!((at_once.wait, end), (Duration::ZERO, None));
        assert_eq!(read(at_once, third).2, Some(third));
    }

    #[test]
    fn the_end_of_a_checkpoint_that_is_not_saved_is_kept_by_the_next() {
        let mut reader = FeedReader::new(StartFrom::Earliest);
        let at = Timestamp::from_millis(1);
        let ask = reader.ask();
        reader.take(&plan(), at, &ask, empty(Cursor::START));
        let before = reader.take_checkpoint(None);
        let ask = reader.ask();
        reader.take(&plan(), Timestamp::from_millis(2), &ask, empty(Cursor::START));
        assert_eq!(reader.take_checkpoint(before.as_ref()).unwrap().read_to_end_at, Some(at));
        assert_eq!(reader.take_checkpoint(before.as_ref()), None);
    }
}
