//! The oldest transaction of which something holds.
//!
//! Ids ascend, so transactions lie here in the order of their begin; one that was loaded from the
//! log is put in its place. A query takes off the front those of which it no longer holds. Ended
//! ones behind an open one are swept out when they are as many as all the rest, so that a step
//! costs the same however many are in flight.

use std::collections::VecDeque;

use wholly_core::TransactionId;

/// The number of transactions from which a sweep is worth its cost.
const FEW: usize = 1_024;

#[derive(Default)]
pub(super) struct Oldest {
    ids: VecDeque<TransactionId>,
    /// The number that the last sweep left.
    left: usize,
}

impl Oldest {
    /// Adds a transaction: as a rule younger than all before it.
    pub fn push(&mut self, id: TransactionId, holds: impl Fn(TransactionId) -> bool) {
        match self.ids.back() {
            Some(youngest) if *youngest > id => {
                let place = self.ids.partition_point(|other| *other < id);
                self.ids.insert(place, id);
            }
            _ => self.ids.push_back(id),
        }
        if self.ids.len() > 2 * self.left + FEW {
            self.ids.retain(|id| holds(*id));
            self.left = self.ids.len();
        }
    }

    /// The oldest transaction of which `holds` is true.
    pub fn first(&mut self, holds: impl Fn(TransactionId) -> bool) -> Option<TransactionId> {
        while let Some(&id) = self.ids.front() {
            if holds(id) {
                return Some(id);
            }
            self.ids.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wholly_core::{LogId, Timestamp};

    use super::*;

    #[test]
    fn the_oldest_is_found_and_what_ended_behind_it_is_let_go() {
        let mut oldest = Oldest::default();
        let (mut last, mut open) = (0, HashSet::new());
        let mut began = Vec::new();
        for nth in 0..10 * FEW {
            let id = TransactionId::mint(last, Timestamp::default(), 0, LogId::from_bits(0));
            last = id.ordinal();
            began.push(id);
            // The first stays open, each other one until the next begins.
            if nth > 1 {
                open.remove(&began[nth - 1]);
            }
            open.insert(id);
            oldest.push(id, |id| open.contains(&id));
            assert_eq!(oldest.first(|id| open.contains(&id)), Some(began[0]));
            assert!(oldest.ids.len() <= 2 * FEW, "{} are kept", oldest.ids.len());
        }
        open.remove(&began[0]);
        assert_eq!(oldest.first(|id| open.contains(&id)), began.last().copied());
        assert_eq!(oldest.first(|_| false), None);
    }
}
