//! The limits of one participant: its slots, its share of what is in flight, and its rate.

use std::num::NonZeroU32;

/// The limits of one participant: its calls in progress, its transactions in flight if it has a limit
/// of its own, and its calls a second if they have one.
///
/// ```
/// use wholly::Slots;
///
/// let slots = Slots::new(16, 4)?;
/// assert_eq!((slots.total(), slots.reserved_for_second_phase()), (16, 4));
/// assert_eq!((Slots::default().total(), Slots::default().reserved_for_second_phase()), (256, 64));
/// assert_eq!(slots.with_in_flight_limit(1_000).in_flight_limit(), Some(1_000));
/// assert_eq!(slots.with_calls_per_second(50).calls_per_second(), Some(50));
/// # Ok::<(), wholly::InvalidSlots>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    total: usize,
    reserved_for_second_phase: usize,
    in_flight_limit: Option<usize>,
    calls_per_second: Option<NonZeroU32>,
}

/// Slots that would leave a phase without any, or without a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reserved} of {total} slots cannot be kept for the second phase: each phase needs at least \
     one, and a participant has at most {}",
    Slots::LIMIT
)]
#[non_exhaustive]
pub struct InvalidSlots {
    /// The slots in all.
    pub total: usize,
    /// The slots for the second phase.
    pub reserved: usize,
}

impl Slots {
    /// The most slots of a participant.
    pub const LIMIT: usize = 65_536;

    /// `total` slots, of which `reserved_for_second_phase` are kept for commits, aborts and
    /// compensations.
    ///
    /// # Errors
    /// When that leaves the first phase no slot, reserves none, or is more than [`Slots::LIMIT`].
    pub fn new(total: usize, reserved_for_second_phase: usize) -> Result<Self, InvalidSlots> {
        match (1..total).contains(&reserved_for_second_phase) && total <= Self::LIMIT {
            true => Ok(Self {
                total,
                reserved_for_second_phase,
                in_flight_limit: None,
                calls_per_second: None,
            }),
            false => Err(InvalidSlots { total, reserved: reserved_for_second_phase }),
        }
    }

    /// Sets the most transactions for which this participant may owe an answer, in the place of
    /// [`Settings::in_flight_limit_per_participant`](crate::Settings::in_flight_limit_per_participant).
    #[must_use]
    pub const fn with_in_flight_limit(self, limit: usize) -> Self {
        Self { in_flight_limit: Some(limit), ..self }
    }

    /// The most calls that begin in a second, of both phases together; those of the second go
    /// first. They leave evenly, at most a hundredth of a second's number at once. No limit unless
    /// set; 0 counts as 1.
    #[must_use]
    pub const fn with_calls_per_second(self, limit: u32) -> Self {
        let limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Self { calls_per_second: Some(limit), ..self }
    }

    /// The number of calls that may be in progress at once.
    pub const fn total(self) -> usize {
        self.total
    }

    /// The number of slots that only commits, aborts and compensations may hold.
    pub const fn reserved_for_second_phase(self) -> usize {
        self.reserved_for_second_phase
    }

    /// The most transactions for which it may owe an answer, if it has a limit of its own.
    pub const fn in_flight_limit(self) -> Option<usize> {
        self.in_flight_limit
    }

    /// The most calls that begin in a second, if there is a limit.
    pub const fn calls_per_second(self) -> Option<u32> {
        match self.calls_per_second {
            Some(limit) => Some(limit.get()),
            None => None,
        }
    }

    /// The number of slots that calls of the first phase may hold.
    pub(super) const fn for_first_phase(self) -> usize {
        self.total - self.reserved_for_second_phase
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            total: 256,
            reserved_for_second_phase: 64,
            in_flight_limit: None,
            calls_per_second: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_a_slot() {
        for (total, reserved) in [(0, 0), (1, 0), (1, 1), (4, 4), (4, 5), (4, 0), (65_537, 1)] {
            assert_eq!(Slots::new(total, reserved), Err(InvalidSlots { total, reserved }));
        }
        assert!(Slots::new(2, 1).is_ok());
        assert!(Slots::new(Slots::LIMIT, 1).is_ok());
    }
}
