//! The tail of a service's own feed, in memory. Most followers have read everything before it, so
//! their reads need no database.
//!
//! INVARIANT: an event is added only after the commit that assigned its position has returned. The
//! tail has every event of the feed after its first cursor.

use std::collections::VecDeque;

use super::tables::Sequenced;
use super::{FeedPage, StartFrom};
use crate::cursor::Cursor;
use crate::wire::PositionedEvent;

/// The largest number of events in the tail.
const EVENTS: usize = 4_096;
/// The largest total size of their data; the last event is always kept.
const DATA_BYTES: usize = 4 * 1024 * 1024;

/// The last events of the feed.
#[derive(Debug, Default)]
pub(crate) struct FeedTail {
    /// The cursor before the first event; none while no position is known.
    before: Option<Cursor>,
    events: VecDeque<PositionedEvent>,
    data_bytes: usize,
}

impl FeedTail {
    /// The cursor of the last event, if known.
    pub(crate) fn head(&self) -> Option<Cursor> {
        self.events.back().map(place).or_else(|| self.before.clone())
    }

    /// Appends the events that the sequencer found after the head.
    pub(crate) fn take(&mut self, found: Sequenced) {
        match found.page {
            // Pages with invalid entries are served from the database.
            Some(page) if page.set_aside.is_empty() && self.head().is_some() => {
                self.data_bytes +=
                    page.events.iter().map(|one| one.event.data.len()).sum::<usize>();
                self.events.extend(page.events);
                self.forget();
            }
            Some(_) | None => *self = Self { before: Some(found.head), ..Self::default() },
        }
    }

    fn forget(&mut self) {
        while self.events.len() > 1
            && (self.events.len() > EVENTS || self.data_bytes > DATA_BYTES)
            && let Some(first) = self.events.pop_front()
        {
            self.data_bytes -= first.event.data.len();
            self.before = Some(place(&first));
        }
    }

    /// The events after a cursor, if the cursor is within the tail.
    pub(crate) fn page(&self, start: &StartFrom, limit: u64) -> Option<FeedPage> {
        let StartFrom::After(after) = start else { return None };
        let first = match &self.before {
            Some(before) if before == after => 0,
            _ => {
                let position = after.position;
                let nth = self.events.binary_search_by_key(&position, |one| one.position).ok()?;
                (after.id.as_ref() == Some(&self.events[nth].event.id)).then_some(nth + 1)?
            }
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.range(first..).take(limit).cloned().collect();
        let cursor = events.last().map_or_else(|| after.clone(), place);
        Some(FeedPage { events, set_aside: Vec::new(), cursor, head: self.head()?.position })
    }
}

fn place(one: &PositionedEvent) -> Cursor {
    Cursor::at(one.position, one.event.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, NewEvent};
    use crate::names::ServiceName;

    fn placed(position: u64, data: &str) -> PositionedEvent {
        let event = NewEvent::new("OrderCreated", "ORD001", &()).unwrap();
        let event = event.from_source(ServiceName::new("order").unwrap());
        PositionedEvent { position, event: Event { data: data.to_owned(), ..event } }
    }

    fn found(before: &Cursor, events: &[PositionedEvent]) -> Sequenced {
        let cursor = events.last().map_or_else(|| before.clone(), place);
        let (events, set_aside, head) = (events.to_vec(), Vec::new(), cursor.position);
        let page = FeedPage { events, set_aside, cursor: cursor.clone(), head };
        Sequenced { head: cursor, page: Some(page) }
    }

    fn positions(tail: &FeedTail, after: &Cursor, limit: u64) -> Option<Vec<u64>> {
        let page = tail.page(&StartFrom::After(after.clone()), limit)?;
        Some(page.events.iter().map(|one| one.position).collect())
    }

    #[test]
    fn a_page_begins_only_at_a_known_cursor() {
        let mut tail = FeedTail::default();
        assert_eq!(positions(&tail, &Cursor::START, 9), None);
        tail.take(Sequenced { head: Cursor::START, page: None });
        let events = [1, 2, 4].map(|position| placed(position, "x"));
        tail.take(found(&Cursor::START, &events[..1]));
        tail.take(found(&place(&events[0]), &events[1..]));
        assert_eq!(positions(&tail, &Cursor::START, 9), Some(vec![1, 2, 4]));
        assert_eq!(positions(&tail, &Cursor::START, 2), Some(vec![1, 2]));
        assert_eq!(positions(&tail, &place(&events[1]), 9), Some(vec![4]));
        assert_eq!(positions(&tail, &place(&events[2]), 9), Some(vec![]));
        // The first position has no event, the second has another event.
        assert_eq!(positions(&tail, &place(&placed(3, "x")), 9), None);
        assert_eq!(positions(&tail, &place(&placed(2, "x")), 9), None);
        assert!(tail.page(&StartFrom::Earliest, 9).is_none());
    }

    #[test]
    fn a_gap_empties_the_tail() {
        let mut tail = FeedTail::default();
        tail.take(Sequenced { head: Cursor::START, page: None });
        let one = placed(1, "x");
        tail.take(found(&Cursor::START, std::slice::from_ref(&one)));
        let other = place(&placed(1, "x"));
        tail.take(Sequenced { head: other.clone(), page: None });
        assert_eq!(positions(&tail, &Cursor::START, 9), None);
        assert_eq!(positions(&tail, &place(&one), 9), None);
        assert_eq!(positions(&tail, &other, 9), Some(vec![]));
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut tail = FeedTail::default();
        tail.take(Sequenced { head: Cursor::START, page: None });
        let large = "x".repeat(DATA_BYTES / 2);
        let mut events: Vec<_> = [&*large, &large, "x"]
            .into_iter()
            .zip(1..)
            .map(|(data, position)| placed(position, data))
            .collect();
        tail.take(found(&Cursor::START, &events));
        assert_eq!(positions(&tail, &Cursor::START, 9), None);
        assert_eq!(positions(&tail, &place(&events[0]), 9), Some(vec![2, 3]));
        let before = place(&events[2]);
        events = (4..).map(|position| placed(position, "")).take(EVENTS + 1).collect();
        tail.take(found(&before, &events));
        assert_eq!((tail.events.len(), tail.data_bytes), (EVENTS, 0));
    }
}
