//! The ages of stored things, by clocks that may be wrong.

use std::time::Duration;

use wholly_core::Timestamp;

use super::{JUMP, Jumps, Reading};

/// The longest time without a change that a stop of the process explains; after a longer one the clock
/// may be wrong.
const LONG_STANDSTILL: Duration = Duration::from_secs(60 * 60);
/// The shortest one that counts: any restart takes some time, however short the retention.
const SHORT_STANDSTILL: Duration = Duration::from_secs(60);

/// The ages of the things in a store.
///
/// INVARIANT: a thing is old only if it is old by both clocks. Within an hour of a jump of the wall clock,
/// or of a start whose clock disagrees with the store, nothing is old.
#[derive(Clone, Copy, Debug)]
pub struct Ages(Jumps);

impl Ages {
    /// Begins with the clocks at the start, the youngest time in the store, and the store's shortest
    /// retention.
    #[must_use]
    pub fn from(at: Reading, youngest: Option<Timestamp>, kept: Duration) -> Self {
        let standstill = kept.clamp(SHORT_STANDSTILL, LONG_STANDSTILL);
        let agrees = youngest.is_none_or(|youngest| {
            at.wall().until(youngest) < JUMP && youngest.until(at.wall()) <= standstill
        });
        Self(if agrees { Jumps::trusting(at) } else { Jumps::distrusting(at) })
    }

    /// The time before which things with this retention may be removed; `None` while no age is trusted.
    /// Two jumps between two calls may cancel out: call it at least each minute.
    pub fn before(&mut self, now: Reading, kept: Duration) -> Option<Timestamp> {
        self.0.look(now);
        if now.steady < self.0.distrusted_until() {
            return None;
        }
        let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        let earlier = now.steady.min(now.wall());
        Some(Timestamp::from_millis(earlier.as_millis().saturating_sub(kept)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

    fn back(from: Timestamp, by: Duration) -> Timestamp {
        Timestamp::from_millis(from.as_millis() - u64::try_from(by.as_millis()).unwrap())
    }

    fn reading(steady: Timestamp, wall_ahead_millis: i64) -> Reading {
        Reading { steady, wall_ahead_millis }
    }

    #[test]
    fn a_jump_makes_nothing_old_for_an_hour_and_nothing_that_is_young_by_either_clock_after_it() {
        let start = Timestamp::default() + 1_000 * DAY;
        for ahead in [-700 * DAY_MILLIS, 700 * DAY_MILLIS] {
            let mut ages = Ages::from(reading(start, 0), Some(start), DAY);
            assert_eq!(ages.before(reading(start + HOUR, 0), DAY), Some(back(start, 23 * HOUR)));
            let jumped = start + 2 * HOUR;
            assert_eq!(ages.before(reading(jumped, ahead), DAY), None);
            let just = back(jumped + HOUR, Duration::from_millis(1));
            assert_eq!(ages.before(reading(just, ahead), DAY), None);
            let now = reading(jumped + HOUR, ahead);
            let earlier = now.steady.min(now.wall());
            assert_eq!(ages.before(now, DAY), Some(back(earlier, DAY)));
        }
    }

    #[test]
    fn a_start_whose_clock_disagrees_with_the_store_makes_nothing_old_for_an_hour() {
        let youngest = Timestamp::default() + 1_000 * DAY;
        for (start, trusted) in [
            (youngest, true),
            (youngest + HOUR, true),
            (youngest + 700 * DAY, false),
            (back(youngest, 700 * DAY), false),
        ] {
            let mut ages = Ages::from(reading(start, 0), Some(youngest), DAY);
            assert_eq!(ages.before(reading(start, 0), DAY).is_some(), trusted);
            assert!(ages.before(reading(start + HOUR, 0), DAY).is_some());
        }
        let mut empty = Ages::from(reading(youngest, 0), None, DAY);
        assert!(empty.before(reading(youngest, 0), DAY).is_some());
    }
}
