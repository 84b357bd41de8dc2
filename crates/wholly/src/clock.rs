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

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wholly_core::Timestamp;

/// The longest sleep without a look at the clock: timers do not count the suspension of the machine.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The longest sleep on virtual time, which passes by sleeping only.
const LONGEST_VIRTUAL_SLEEP: Duration = Duration::from_secs(60 * 60);

/// The clock of a coordinator.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's.
    System {
        /// Steady time when the system had been up for `since`, from the Unix epoch on.
        base: Duration,
        since: Duration,
    },
    /// Tokio's, which a test can pause, counted from a fixed time.
    #[cfg_attr(not(feature = "test"), allow(dead_code))]
    Tokio { base: Timestamp, since: Instant },
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub steady: Timestamp,
    /// The lead of the wall clock over steady time; negative where it is behind.
    pub wall_ahead_millis: i64,
}

impl Clock {
    /// The system's clock, which begins now.
    pub fn system() -> Self {
        Self::System { base: wall(), since: since_boot() }
    }

    /// The clock with a steady time that is nowhere before `least`. Virtual time is steady from test
    /// to test, and stays as it is.
    pub fn not_before(self, least: Timestamp) -> Self {
        match self {
            Self::System { base, since } => {
                Self::System { base: base.max(Duration::from_millis(least.as_millis())), since }
            }
            Self::Tokio { .. } => self,
        }
    }

    /// Steady time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System { base, since } => timestamp(steady(*base, *since)),
            Self::Tokio { base, since } => *base + since.elapsed(),
        }
    }

    /// Both clocks.
    pub fn read(&self) -> Reading {
        let Self::System { base, since } = *self else {
            return Reading { steady: self.now(), wall_ahead_millis: 0 };
        };
        // Who loses the processor between two looks sees no moment; but not for ever.
        const ONE_MOMENT: Duration = Duration::from_millis(1);
        const TRIES: usize = 10;
        let mut steady_now = steady(base, since);
        let mut wall_now = wall();
        for _ in 0..TRIES {
            let after = steady(base, since);
            if after.saturating_sub(steady_now) <= ONE_MOMENT {
                break;
            }
            (steady_now, wall_now) = (after, wall());
        }
        Reading {
            steady: timestamp(steady_now),
            wall_ahead_millis: rounded_millis(wall_now, steady_now),
        }
    }

    /// The longest sleep before the clock is looked at again.
    pub fn longest_sleep(&self) -> Duration {
        if self.is_virtual() { LONGEST_VIRTUAL_SLEEP } else { LONGEST_SLEEP }
    }

    /// Whether a test makes the time.
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Tokio { .. })
    }
}

impl Reading {
    /// The wall clock's time.
    pub fn wall(self) -> Timestamp {
        self.on_the_wall(self.steady)
    }

    /// The wall clock's time at this steady time, unless it jumps.
    pub fn on_the_wall(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add_signed(self.wall_ahead_millis))
    }
}

/// The wall clock, from the Unix epoch on. A clock before 1970 counts as 1970.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn steady(base: Duration, since: Duration) -> Duration {
    base.saturating_add(since_boot().saturating_sub(since))
}

/// The time for which the system has been up, suspended or not.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(up.tv_nsec).unwrap_or_default())
}

/// The time for which this program has run, as far as its timers count.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// How many milliseconds `one` is later than `other`, to the nearest: between two looks at two clocks
/// some nanoseconds pass.
fn rounded_millis(one: Duration, other: Duration) -> i64 {
    let millis = |later: Duration, earlier: Duration| {
        let by = later.saturating_sub(earlier).saturating_add(Duration::from_micros(500));
        i64::try_from(by.as_millis()).unwrap_or(i64::MAX)
    };
    if one >= other { millis(one, other) } else { -millis(other, one) }
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

    #[test]
    fn how_far_two_clocks_are_apart_is_rounded_alike_on_both_sides() {
        let at = Duration::from_nanos;
        for (one, other, millis) in [
            (5_000_000_300, 5_000_000_000, 0),
            (5_000_000_000, 5_000_000_300, 0),
            (7_000_000_300, 5_000_000_000, 2_000),
            (5_000_000_000, 7_000_000_300, -2_000),
        ] {
            assert_eq!(rounded_millis(at(one), at(other)), millis);
        }
    }
}
