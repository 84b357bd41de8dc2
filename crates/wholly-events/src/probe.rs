//! Planted bugs: laws of this crate that the simulation breaks, each of which it must catch. Outside
//! of tests there are none.

/// A law that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    /// Events of one correlation are dealt with one after the other.
    LanesByCorrelation,
    /// A cursor is believed only with its event's id.
    CursorsAreJudged,
    /// The result of a call is known before it is undone.
    NoUndoOfACallThatIsOut,
    /// An undone reaction is suppressed where it comes late.
    LateOnesAreSuppressed,
    /// A mark is kept for as long as its event may be read again.
    MarksOutliveTheirEvents,
    /// A reaction that undoes waits for what was there before, but for what it undoes.
    UndoingWaitsItsTurn,
    /// A time-out fires only when no awaited event can be on its way unread.
    TimeoutsKnowAllEvents,
}

/// True if the law is broken.
#[cfg(not(test))]
pub(crate) fn broken(_: Law) -> bool {
    false
}

#[cfg(test)]
pub(crate) use with_tests::*;

#[cfg(test)]
mod with_tests {
    use std::cell::Cell;

    use super::Law;

    thread_local! {
        static BROKEN: Cell<Option<Law>> = const { Cell::new(None) };
    }

    /// Breaks a law from now on, on this thread.
    pub(crate) fn break_law(law: Option<Law>) {
        BROKEN.set(law);
    }

    pub(crate) fn broken(law: Law) -> bool {
        BROKEN.get() == Some(law)
    }
}
