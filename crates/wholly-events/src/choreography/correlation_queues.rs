//! The order in which a follower's events are dealt with: those of one correlation one after the
//! other, those of different ones at once; and how far all of them are done.
//!
//! Pure: the follower asks what to begin and tells what has ended.
//!
//! INVARIANT: the watermark is a place before which every event is dealt with or durably parked.

use std::collections::{HashMap, VecDeque};

use crate::cursor::Cursor;
use crate::names::Correlation;

/// Events on their way through a follower.
#[derive(Debug)]
pub(crate) struct CorrelationQueues<T> {
    /// Places in the order of the feed; those in front that are done are taken off.
    places: VecDeque<(Cursor, bool)>,
    /// The events of each correlation that is on its way; the first one is being dealt with, or is
    /// ready to be.
    waiting: HashMap<Correlation, VecDeque<(u64, T)>>,
    /// Correlations whose first event may begin.
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
    /// Events that are not done, and places behind them.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// An event that is to be dealt with, behind all others.
    pub(crate) fn push(&mut self, place: Cursor, correlation: Correlation, event: T) {
        let position = place.position;
        self.places.push_back((place, false));
        let lane = self.waiting.entry(correlation.clone()).or_default();
        lane.push_back((position, event));
        if lane.len() == 1 {
            self.ready.push_back(correlation);
        }
    }

    /// A place at which there is nothing to do.
    pub(crate) fn pass(&mut self, place: Cursor) {
        self.places.push_back((place, true));
        self.settle();
    }

    /// The next event that may begin, with its correlation.
    pub(crate) fn begin(&mut self) -> Option<(&Correlation, &T)> {
        let correlation = self.ready.pop_front()?;
        let (correlation, lane) = self.waiting.get_key_value(&correlation)?;
        let (_, event) = lane.front()?;
        Some((correlation, event))
    }

    /// The event of this correlation that was begun is dealt with, or durably parked.
    pub(crate) fn done(&mut self, correlation: &Correlation) {
        let Some(lane) = self.waiting.get_mut(correlation) else { return };
        let Some((position, _)) = lane.pop_front() else { return };
        if lane.is_empty() {
            self.waiting.remove(correlation);
        } else {
            self.ready.push_back(correlation.clone());
        }
        // Positions ascend, so the place is found by halving.
        let at = self.places.partition_point(|(place, _)| place.position < position);
        if let Some((_, done)) = self.places.get_mut(at) {
            *done = true;
        }
        self.settle();
    }

    /// The place before which all is done, if it has moved since it was last taken.
    pub(crate) fn take_watermark(&mut self) -> Option<Cursor> {
        self.watermark.take()
    }

    fn settle(&mut self) {
        while let Some((place, true)) = self.places.front() {
            // A feed knows a place by its event's id; what is no event has none.
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

    fn begun(lanes: &mut CorrelationQueues<u64>) -> Vec<u64> {
        std::iter::from_fn(|| lanes.begin().map(|(_, event)| *event)).collect()
    }

    #[test]
    fn events_of_one_correlation_keep_their_order_and_others_go_on() {
        let mut lanes = CorrelationQueues::default();
        for (position, name) in [(1, "a"), (2, "a"), (3, "b"), (5, "a")] {
            lanes.push(place(position), correlation(name), position);
        }
        assert_eq!(begun(&mut lanes), [1, 3]);
        lanes.done(&correlation("b"));
        assert!(begun(&mut lanes).is_empty());
        lanes.done(&correlation("a"));
        assert_eq!(begun(&mut lanes), [2]);
        lanes.done(&correlation("a"));
        assert_eq!(begun(&mut lanes), [5]);
    }

    #[test]
    fn the_watermark_moves_only_over_what_is_done() {
        let mut lanes = CorrelationQueues::default();
        lanes.push(place(1), correlation("a"), 1);
        lanes.push(place(2), correlation("b"), 2);
        lanes.pass(place(3));
        assert_eq!(begun(&mut lanes), [1, 2]);
        lanes.done(&correlation("b"));
        assert_eq!(lanes.take_watermark(), None);
        lanes.done(&correlation("a"));
        assert_eq!(lanes.take_watermark(), Some(place(3)));
        assert_eq!((lanes.take_watermark(), lanes.len()), (None, 0));
    }
}
