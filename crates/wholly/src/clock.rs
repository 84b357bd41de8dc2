//! The coordinator's clocks. The core gets the time as an argument.
//!
//! *Steady time* is the wall clock's time at the start plus what has passed since then by a clock that
//! nobody sets; the suspension of the machine counts. All waiting, all ids and all records use it. It
//! begins no earlier than the youngest id of the log, so that it never goes back, not even across a
//! restart whose wall clock was set back; a wait that goes on after a restart then takes at most its
//! whole length again.
//!
//! *Wall time* is for others: a participant compares `Wholly-Expires` with its own wall clock.

pub(crate) mod jumps;

use std::time::Duration;

use tokio::time::Instant;
pub(crate) use wholly_clock::Reading;
use wholly_clock::SteadyClock;
use wholly_core::Timestamp;

/// The longest sleep without a look at the clock: timers do not count the suspension of the machine.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The longest sleep on virtual time, which passes by sleeping only.
const LONGEST_VIRTUAL_SLEEP: Duration = Duration::from_secs(60 * 60);

/// The clock of a coordinator.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's.
    System(SteadyClock),
    /// Tokio's, which a test can pause, counted from a fixed time.
    #[cfg_attr(not(feature = "test"), allow(dead_code))]
    Tokio { base: Timestamp, since: Instant },
}

impl Clock {
    /// The system's clock, which begins now.
    pub fn system() -> Self {
        Self::System(SteadyClock::start())
    }

    /// The clock with a steady time that is nowhere before `least`. Virtual time is steady from test
    /// to test, and stays as it is.
    pub fn not_before(self, least: Timestamp) -> Self {
        match self {
            Self::System(clock) => Self::System(clock.not_before(least)),
            Self::Tokio { .. } => self,
        }
    }

    /// Steady time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Tokio { base, since } => *base + since.elapsed(),
        }
    }

    /// Both clocks.
    pub fn read(&self) -> Reading {
        match self {
            Self::System(clock) => clock.read(),
            Self::Tokio { .. } => Reading { steady: self.now(), wall_ahead_millis: 0 },
        }
    }

    /// The longest sleep before the clock is looked at again.
    pub fn longest_sleep(&self) -> Duration {
        if self.is_virtual() { LONGEST_VIRTUAL_SLEEP } else { LONGEST_SLEEP }
    }

    /// True if a test makes the time.
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Tokio { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_time_begins_with_the_wall_clock_and_no_earlier_than_the_log() {
        let clock = Clock::system();
        assert_eq!(clock.read().wall_ahead_millis, 0);
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let youngest = clock.now() + YEAR;
        let clock = clock.not_before(youngest);
        let reading = clock.read();
        assert!(reading.steady >= youngest && clock.now() >= reading.steady);
        let expires = reading.on_the_wall(reading.steady + Duration::from_secs(5));
        assert_eq!(reading.wall().until(expires), Duration::from_secs(5));
        // A millisecond is lost to rounding, and time passes between two looks.
        let behind = reading.wall().until(reading.steady);
        assert!(behind > YEAR / 2 && behind < YEAR * 2, "{behind:?}");
    }
}
