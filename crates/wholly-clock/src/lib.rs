//! The clocks of a process that waits, and that removes what is old.
//!
//! *Steady time* is the wall clock's time at the start plus the time since then by a clock that nobody
//! can set, which counts the suspension of the machine. Waits and retention use it. A jump of the wall
//! clock does not change it.
//!
//! An age still rests on the wall clock's time at the start. So if the wall clock proves to be or to have
//! been wrong, nothing is removed for an hour: see [`Jumps`] and [`Ages`].

mod ages;
mod jumps;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use ages::Ages;
pub use jumps::{JUMP, Jump, Jumps};
use wholly_core::Timestamp;

/// The system's clocks since a start.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    /// The steady time, since the Unix epoch, at which the system had been up for `since`.
    base: Duration,
    since: Duration,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Steady time.
    pub steady: Timestamp,
    /// The lead of the wall clock over steady time, in milliseconds; negative if it is behind.
    pub wall_ahead_millis: i64,
}

/// The steady time of this process, whose clock starts with the first call.
pub fn now() -> Timestamp {
    SteadyClock::of_process().now()
}

impl SteadyClock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { base: wall(), since: since_boot() }
    }

    /// The clock of this process, which starts with the first call.
    #[must_use]
    pub fn of_process() -> Self {
        static START: std::sync::LazyLock<SteadyClock> =
            std::sync::LazyLock::new(SteadyClock::start);
        *START
    }

    /// The same clock, with a steady time of at least `least` at its start.
    #[must_use]
    pub fn not_before(self, least: Timestamp) -> Self {
        Self { base: self.base.max(Duration::from_millis(least.as_millis())), ..self }
    }

    /// Steady time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        timestamp(steady(self.base, self.since))
    }

    /// Both clocks.
    #[must_use]
    pub fn read(self) -> Reading {
        let Self { base, since } = self;
        // A thread that loses the processor between two readings tries again, but not for ever.
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
}

impl Reading {
    /// The wall clock's time.
    #[must_use]
    pub fn wall(self) -> Timestamp {
        self.on_the_wall(self.steady)
    }

    /// The wall clock's time at a steady time, if the wall clock does not jump.
    #[must_use]
    pub fn on_the_wall(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add_signed(self.wall_ahead_millis))
    }
}

/// The wall clock's time since the Unix epoch; 0 for a clock before 1970.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn steady(base: Duration, since: Duration) -> Duration {
    base.saturating_add(since_boot().saturating_sub(since))
}

/// The time since the system was started, suspensions included.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(up.tv_nsec).unwrap_or_default())
}

/// The time since this program was started, as its timers count.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// The lead of `one` over `other` in milliseconds, rounded to the nearest: the two clocks are read some
/// nanoseconds apart.
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
    fn steady_time_begins_with_the_wall_clock() {
        let clock = SteadyClock::start();
        assert_eq!(clock.read().wall_ahead_millis, 0);
        assert!(clock.read().steady <= clock.now());
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
