//! Jumps of the wall clock, which was set, or was wrong at the start.
//!
//! No wait uses the wall clock, so a jump stalls nothing. But the end of a retention is an age, and an age
//! rests on the wall clock's time at the start. So if the wall clock proves to be or to have been wrong,
//! nothing is removed for an hour, in which an operator can set it right.

use std::time::Duration;

use wholly_core::Timestamp;

use super::Reading;

/// The least change that is a jump. A slewed clock changes by half a millisecond a second, and the
/// steady clock with it.
pub const JUMP: Duration = Duration::from_millis(500);

/// The jumps of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Jumps {
    wall_ahead_millis: i64,
    distrusted_until: Timestamp,
}

/// A jump of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The distance; negative where the clock went back.
    pub by_millis: i64,
}

impl Jumps {
    /// The time for which nothing is removed after a jump.
    pub const DISTRUST_FOR: Duration = Duration::from_secs(60 * 60);

    /// Begins with the clocks at the start, which agree with what is stored.
    #[must_use]
    pub fn trusting(at: Reading) -> Self {
        let wall_ahead_millis = at.wall_ahead_millis;
        Self { wall_ahead_millis, distrusted_until: Timestamp::default() }
    }

    /// Begins with the clocks at the start, which disagree with what is stored.
    #[must_use]
    pub fn distrusting(at: Reading) -> Self {
        Self::trusting(at).distrusted_from(at.steady)
    }

    /// Compares the clocks with their last reading.
    pub fn look(&mut self, now: Reading) -> Option<Jump> {
        let by_millis = now.wall_ahead_millis.saturating_sub(self.wall_ahead_millis);
        self.wall_ahead_millis = now.wall_ahead_millis;
        if Duration::from_millis(by_millis.unsigned_abs()) < JUMP {
            return None;
        }
        *self = self.distrusted_from(now.steady);
        Some(Jump { by_millis })
    }

    /// The end of the time in which nothing is removed, in steady time.
    #[must_use]
    pub fn distrusted_until(&self) -> Timestamp {
        self.distrusted_until
    }

    fn distrusted_from(self, now: Timestamp) -> Self {
        Self { distrusted_until: now + Self::DISTRUST_FOR, ..self }
    }
}
