//! The properties that are checked, and the words for what is wrong.

use std::fmt;

/// A property that a run must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    /// A reaction deals with an event once, and its effect happens once.
    Once,
    /// Every committed event was dealt with by every reaction to it.
    Delivered,
    /// Each follower keeps what is no event, and nothing else.
    Kept,
    /// A dropped event emits the refusal that was said, or nothing.
    Dropped,
    /// Handlers see the events of a publisher and a correlation in the order of their commits.
    Ordered,
    /// No event is there without the change that it tells of.
    Orphan,
    /// A position is one event's for ever.
    Positions,
    /// A cursor is believed exactly where its publisher has, or had, the event that it names.
    Believed,
    /// A time-out fires only where no awaited event was there before it fell due.
    TimedOut,
    /// Trimming takes what is old, all of it, and nothing else.
    Trimmed,
    /// Every order ends confirmed or cancelled.
    Ends,
    /// A confirmed order has goods and money, a cancelled one neither; nothing is made or lost.
    Whole,
}

/// A property that a run does not have.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) property: Property,
    pub(super) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.what)
    }
}

pub(super) fn ensure(
    holds: bool,
    property: Property,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { property, what: what() }) }
}
