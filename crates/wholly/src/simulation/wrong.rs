//! The checks, and the violations found.

use std::fmt;

use super::world::World;

/// A property that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing leaves before the records that it rests on are durable.
    Durable,
    /// A told outcome never changes, and was durable.
    Told,
    /// A read shows what anybody was told before.
    Read,
    /// A transaction told to be stuck is stuck by the log.
    Stuck,
    /// A key gives one transaction.
    Keys,
    /// The log takes batches in good order, and can be read back.
    Log,
    /// The count of owed answers is right.
    Owed,
    /// A reply is one that was to be expected.
    Reply,
    /// Everything ends when the faults have stopped.
    Ends,
    /// A transaction in two phases ends everywhere the same way.
    Agreement,
    /// Nobody holds what the log does not know.
    Orphan,
    /// A recorded event did happen.
    Recorded,
    /// Nothing has its effect twice.
    Once,
    /// No step starts before its predecessors.
    After,
    /// A step is given its predecessors' outputs, and its compensation its own output.
    Given,
    /// A saga that turned back runs no step again.
    NotAgain,
    /// Once the pivot may have left, only its own answer turns the saga back.
    Pivot,
    /// Steps are compensated in reverse order.
    Reverse,
    /// Only what may have run is compensated.
    NoOther,
    /// All that may have run is compensated, or every step is done.
    Whole,
    /// A restored copy does nothing on its own for transactions that the original had in doubt.
    Restored,
    /// Nothing but the log that was open is opened again.
    Reopened,
    /// Nobody waits longer than the longest wait, however the wall clock jumps.
    Waits,
    /// An id that is minted is greater than every one that is durable.
    Ascends,
    /// A call expires at its deadline, by the wall clock.
    Expires,
    /// Nothing young is removed.
    Young,
    /// A damaged transaction is quarantined: nothing is sent, recorded or told of its end.
    Damaged,
}

/// Something that must not be.
#[derive(Debug)]
pub struct Wrong {
    pub check: Check,
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.what)
    }
}

/// Fails a check unless the condition holds.
pub fn ensure(holds: bool, check: Check, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(Wrong { check, what: what() }) }
}

impl World {
    /// Keeps the first violation.
    pub fn note_wrong(&mut self, found: Result<(), Wrong>) {
        if let Err(wrong) = found {
            self.wrong.get_or_insert(wrong);
        }
    }
}
