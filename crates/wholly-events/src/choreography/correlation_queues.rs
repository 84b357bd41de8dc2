//! Queues of a follower's events by correlation, and the watermark of the feed. Events of one
//! correlation are handled one after the other, those of different correlations concurrently.
//!
//! Pure: the follower takes events to handle and reports those that it has handled.
//!
//! INVARIANT: every event before the watermark is handled or durably parked.

use std::collections::{HashMap, VecDeque};

use crate::cursor::Cursor;
use crate::names::Correlation;

/// The events that a follower has read and not yet handled.
#[derive(Debug)]
pub(crate) struct CorrelationQueues<T> {
    /// Cursors in feed order, each with true if it is done. Done ones at the front are removed.
    places: VecDeque<(Cursor, bool)>,
    /// The queue of each correlation. Its first event is being handled, or is ready.
    waiting: HashMap<Correlation, VecDeque<(u64, T)>>,
    /// Correlations whose first event is ready.
    ready: VecDeque<Correlation>,
    watermark: Option<Cursor>,
}

impl<T> Default for CorrelationQueues<T> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            watermark: None,
        }
    }
}

impl<T> CorrelationQueues<T> {
    /// The number of cursors that the watermark has not passed.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Appends an event to the queue of its correlation.
    pub(crate) fn push(&mut self, place: Cursor, correlation: Correlation, event: T) {
        let position = place.position;
        self.places.push_back((place, false));
        let queue = self.waiting.entry(correlation.clone()).or_default();
        queue.push_back((position, event));
        if queue.len() == 1 {
            self.ready.push_back(correlation);
        }
    }

    /// Appends a cursor without an event to handle.
    pub(crate) fn skip(&mut self, place: Cursor) {
        self.places.push_back((place, true));
        self.advance_watermark();
    }

    /// Takes the next ready event, with its correlation.
    pub(crate) fn take_ready(&mut self) -> Option<(&Correlation, &T)> {
        let correlation = self.ready.pop_front()?;
        let (correlation, queue) = self.waiting.get_key_value(&correlation)?;
        let (_, event) = queue.front()?;
        Some((correlation, event))
    }

    /// Reports that the current event of this correlation is handled or durably parked.
    pub(crate) fn done(&mut self, correlation: &Correlation) {
        let Some(queue) = self.waiting.get_mut(correlation) else { return };
        let Some((position, _)) = queue.pop_front() else { return };
        if queue.is_empty() {
            self.waiting.remove(correlation);
        } else {
            self.ready.push_back(correlation.clone());
        }
        // Positions ascend, so a binary search finds the cursor.
        let at = self.places.partition_point(|(place, _)| place.position < position);
        if let Some((_, done)) = self.places.get_mut(at) {
            *done = true;
        }
        self.advance_watermark();
    }

    /// Takes the watermark, if it has moved since it was last taken.
    pub(crate) fn take_watermark(&mut self) -> Option<Cursor> {
        self.watermark.take()
    }

    fn advance_watermark(&mut self) {
        while let Some((place, true)) = self.places.front() {
            // A feed accepts a cursor only with an id, which invalid entries do not have.
            if place.id.is_some() || place.position == 0 {
                self.watermark = Some(place.clone());
            }
            self.places.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventId;

    fn place(position: u64) -> Cursor {
        Cursor::at(position, EventId::new(format!("e{position}")).unwrap())
    }

    fn correlation(name: &str) -> Correlation {
        Correlation::new(name).unwrap()
    }

    fn begun(queues: &mut CorrelationQueues<u64>) -> Vec<u64> {
        std::iter::from_fn(|| queues.take_ready().map(|(_, event)| *event)).collect()
    }

    #[test]
    fn events_of_one_correlation_keep_their_order_and_others_go_on() {
        let mut queues = CorrelationQueues::default();
        for (position, name) in [(1, "a"), (2, "a"), (3, "b"), (5, "a")] {
            queues.push(place(position), correlation(name), position);
        }
        assert_eq!(begun(&mut queues), [1, 3]);
        queues.done(&correlation("b"));
        assert!(begun(&mut queues).is_empty());
        queues.done(&correlation("a"));
        assert_eq!(begun(&mut queues), [2]);
        queues.done(&correlation("a"));
        assert_eq!(begun(&mut queues), [5]);
    }

    #[test]
    fn the_watermark_passes_only_events_that_are_done() {
        let mut queues = CorrelationQueues::default();
        queues.push(place(1), correlation("a"), 1);
        queues.push(place(2), correlation("b"), 2);
        queues.skip(place(3));
        assert_eq!(begun(&mut queues), [1, 2]);
        queues.done(&correlation("b"));
        assert_eq!(queues.take_watermark(), None);
        queues.done(&correlation("a"));
        assert_eq!(queues.take_watermark(), Some(place(3)));
        assert_eq!((queues.take_watermark(), queues.len()), (None, 0));
    }
}
