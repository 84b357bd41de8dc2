//! The pace of calls to one participant: the configured rate, and the pause that it asks for.
//!
//! Both hold for the participant as a whole. A service that answers 429 or 503 has no capacity,
//! and to put off only the one transaction would leave every other one calling it.

use std::time::Duration;

use tokio::time::Instant;
use wholly_core::wire::Answer;

/// The longest pause that a participant may ask for all its calls. A commit may wait among them,
/// and rows are locked until it comes.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The bursts of a second: this part of a second's calls may leave at once. A timer
/// is no more exact than a millisecond.
const BURSTS_PER_SECOND: u32 = 100;

/// The rate is kept by the generic cell rate algorithm.
pub(super) struct Throttle {
    /// The time from one call to the next at an even rate, and the lead that calls may have.
    rate: Option<(Duration, Duration)>,
    /// The time at which the calls so far would have ended at an even rate.
    even: Instant,
    paused_until: Option<Instant>,
}

impl Throttle {
    pub(super) fn new(calls_per_second: Option<u32>) -> Self {
        let now = Instant::now();
        let rate = calls_per_second.map(|rate| {
            let interval = Duration::from_secs(1) / rate.max(1);
            (interval, interval * (rate / BURSTS_PER_SECOND).saturating_sub(1))
        });
        Self { rate, even: now, paused_until: None }
    }

    /// The time at which the next call may leave; `None` if it may now.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        // The usual participant has neither, and costs no look at the clock.
        let by_rate = self.rate.map(|(_, ahead)| self.even.checked_sub(ahead).unwrap_or(self.even));
        by_rate.max(self.paused_until).filter(|at| *at > Instant::now())
    }

    /// A call leaves.
    pub(super) fn called(&mut self) {
        if let Some((interval, _)) = self.rate {
            self.even = self.even.max(Instant::now()) + interval;
        }
    }

    /// An answer came, which may ask for a pause.
    pub(super) fn answered(&mut self, answer: &Answer) {
        if let Answer::Unknown { retry_after: Some(pause), .. } = answer {
            let until = Instant::now() + (*pause).min(LONGEST_PAUSE);
            self.paused_until = self.paused_until.max(Some(until));
        }
    }
}
