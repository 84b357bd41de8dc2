//! Retention: the removal of transactions, and of payloads, that were kept for long enough.
//!
//! A sweep removes piece after piece, with a pause between two, so that no append waits for more
//! than one piece. It first deletes whole transactions, then removes the payloads of younger ones.
//!
//! INVARIANT: nothing is removed that is young by either clock, and nothing at all while the clocks
//! are distrusted ([`Jumps`](crate::clock::jumps::Jumps)).

use std::time::Duration;

use wholly_core::Timestamp;

use crate::clock::Reading;
use crate::log::{AppendError, LogWriter};
use crate::payloads::without_payloads;
use crate::settings::Retention;

/// The most transactions of a piece.
const PIECE: usize = 64;
/// The pause between two pieces.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest and the shortest pause between two sweeps; in between a hundredth of the retention.
const RARELY: Duration = Duration::from_secs(10 * 60);
const OFTEN: Duration = Duration::from_millis(100);

/// A piece of a sweep. Transactions that ended before this time lose their history or payloads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Removal {
    Transactions { before: Timestamp },
    Payloads { before: Timestamp },
}

/// The number of transactions that a piece removed.
pub(crate) type Removed = Result<usize, AppendError>;

impl Removal {
    pub fn run(self, writer: &mut dyn LogWriter) -> Removed {
        match self {
            Self::Transactions { before } => writer.trim(before, PIECE),
            Self::Payloads { before } => writer.remove_payloads(before, PIECE, &without_payloads),
        }
    }
}

/// The sweeps of one incarnation.
pub(crate) struct Sweeps {
    retention: Retention,
    not_before: Timestamp,
    state: SweepState,
}

enum SweepState {
    /// The next piece is due then.
    Due { at: Timestamp, payloads: bool },
    /// The log has a piece.
    Removing { payloads: bool },
}

impl Sweeps {
    pub fn new(retention: Retention, now: Timestamp) -> Self {
        Self { retention, not_before: now, state: SweepState::Due { at: now, payloads: false } }
    }

    /// The time at which the next piece is due; `None` where nothing is ever removed, or a piece is
    /// under way.
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            SweepState::Due { at, .. } if self.retention != Retention::FOR_EVER => {
                Some(at.max(self.not_before))
            }
            _ => None,
        }
    }

    /// Nothing is removed before this time.
    pub fn not_before(&mut self, at: Timestamp) {
        self.not_before = at.max(self.not_before);
    }

    /// The piece that is due.
    pub fn next(&mut self, now: Reading) -> Option<Removal> {
        self.due().filter(|at| *at <= now.steady)?;
        let SweepState::Due { payloads, .. } = self.state else { return None };
        let earlier = now.steady.min(now.wall());
        let before = |kept: Duration| {
            let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(earlier.as_millis().saturating_sub(kept))
        };
        let removal = match (payloads, self.retention.history, self.retention.payloads) {
            (false, Some(kept), _) => Removal::Transactions { before: before(kept) },
            (_, _, Some(kept)) => Removal::Payloads { before: before(kept) },
            (_, _, None) => return None,
        };
        let payloads = matches!(removal, Removal::Payloads { .. });
        self.state = SweepState::Removing { payloads };
        Some(removal)
    }

    /// Takes the result of a piece; after one that found nothing, payloads or the next sweep follow.
    pub fn done(&mut self, removed: usize, now: Timestamp) {
        let SweepState::Removing { payloads } = self.state else { return };
        let both = self.retention.payloads.is_some() && self.retention.history.is_some();
        self.state = match (removed, payloads) {
            (1.., _) => SweepState::Due { at: now + PAUSE, payloads },
            (0, false) if both => SweepState::Due { at: now, payloads: true },
            (0, _) => SweepState::Due { at: now + self.every(), payloads: false },
        };
    }

    fn every(&self) -> Duration {
        let kept = [self.retention.history, self.retention.payloads];
        let shortest = kept.into_iter().flatten().min().unwrap_or(RARELY);
        (shortest / 100).clamp(OFTEN, RARELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(millis: u64) -> Timestamp {
        Timestamp::default() + 100 * DAY + Duration::from_millis(millis)
    }

    /// What is removed at this time, and before when, in days after the epoch.
    fn piece(sweeps: &mut Sweeps, now: Timestamp) -> Option<(&'static str, u64)> {
        piece_by(sweeps, Reading { steady: now, wall_ahead_millis: 0 })
    }

    fn piece_by(sweeps: &mut Sweeps, now: Reading) -> Option<(&'static str, u64)> {
        let days = |before: Timestamp| before.as_millis() / DAY.as_millis() as u64;
        Some(match sweeps.next(now)? {
            Removal::Transactions { before } => ("transactions", days(before)),
            Removal::Payloads { before } => ("payloads", days(before)),
        })
    }

    #[test]
    fn a_sweep_goes_from_piece_to_piece_and_then_rests() {
        let retention = Retention { history: Some(30 * DAY), payloads: Some(7 * DAY) };
        let mut sweeps = Sweeps::new(retention, at(0));
        assert_eq!(piece(&mut sweeps, at(0)), Some(("transactions", 70)));
        assert_eq!(piece(&mut sweeps, at(0)), None, "one piece at a time");
        sweeps.done(PIECE, at(5));
        assert_eq!((sweeps.due(), piece(&mut sweeps, at(14))), (Some(at(15)), None));
        assert_eq!(piece(&mut sweeps, at(15)), Some(("transactions", 70)));
        sweeps.done(0, at(20));
        assert_eq!(piece(&mut sweeps, at(20)), Some(("payloads", 93)));
        sweeps.done(1, at(30));
        assert_eq!(piece(&mut sweeps, at(40)), Some(("payloads", 93)));
        sweeps.done(0, at(50));
        assert_eq!(sweeps.due(), Some(at(50) + RARELY));
    }

    #[test]
    fn nothing_is_removed_that_is_young_by_either_clock_or_while_they_are_distrusted() {
        let days = |days: i64| days * 24 * 60 * 60 * 1_000;
        let retention = Retention { history: Some(30 * DAY), payloads: None };
        for (wall_ahead_millis, before) in [(days(700), 70), (0, 70), (-days(20), 50)] {
            let mut sweeps = Sweeps::new(retention, at(0));
            let now = |millis| Reading { steady: at(millis), wall_ahead_millis };
            sweeps.not_before(at(3_600_000));
            assert_eq!(piece_by(&mut sweeps, now(3_599_999)), None);
            assert_eq!(sweeps.due(), Some(at(3_600_000)));
            assert_eq!(piece_by(&mut sweeps, now(3_600_000)), Some(("transactions", before)));
            // Distrust in the middle of a sweep pauses it.
            sweeps.not_before(at(7_200_000));
            sweeps.done(PIECE, at(3_600_001));
            assert_eq!(sweeps.due(), Some(at(7_200_000)));
        }
    }

    #[test]
    fn only_what_was_asked_for_is_removed() {
        let mut sweeps = Sweeps::new(Retention::FOR_EVER, at(0));
        assert_eq!((sweeps.due(), piece(&mut sweeps, at(9))), (None, None));
        for (history, payloads, only) in
            [(Some(DAY), None, "transactions"), (None, Some(DAY), "payloads")]
        {
            let mut sweeps = Sweeps::new(Retention { history, payloads }, at(0));
            for _ in 0..3 {
                let now = sweeps.due().unwrap();
                assert_eq!(piece(&mut sweeps, now).unwrap().0, only);
                sweeps.done(0, now);
            }
        }
    }
}
