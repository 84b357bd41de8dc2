//! The checked properties, and their violations.

use std::fmt;

/// A property of every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    /// A reaction handles an event once, and takes effect once.
    Once,
    /// Every committed event was handled by every reaction to it.
    Delivered,
    /// Each follower stores the invalid entries, and nothing else.
    Kept,
    /// A dropped event emits the operator's refusal, or nothing.
    Dropped,
    /// Handlers see the events of a publisher and a correlation in the order of their commits.
    Ordered,
    /// No event exists without its transaction's change.
    Orphan,
    /// A position belongs to one event for ever.
    Positions,
    /// A cursor is accepted if and only if its publisher has, or had, the event that it names.
    Believed,
    /// A time-out fires only if no awaited event was published before the due time.
    TimedOut,
    /// Trimming deletes all old rows, and nothing else.
    Trimmed,
    /// Every order ends confirmed or cancelled.
    Ends,
    /// A confirmed order has goods and money, a cancelled one has neither; no goods appear or
    /// vanish.
    Whole,
}

/// A violated property, with its description.
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

/// The result of a step or a check.
pub(super) type Checked<T = ()> = Result<T, Violation>;

pub(super) fn ensure(holds: bool, property: Property, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { property, what: what() }) }
}
