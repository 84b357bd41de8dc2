//! Planted bugs: laws of this crate that the simulation breaks on purpose and must catch broken.
//! Outside of tests no law can be broken.

/// A law that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    /// Events of one correlation are handled one after the other.
    LanesByCorrelation,
    /// A cursor is accepted only with the id of its event.
    CursorsAreJudged,
    /// A call is undone only after its result is known.
    NoUndoOfACallThatIsOut,
    /// A reaction that was undone in advance is suppressed when its event arrives.
    LateOnesAreSuppressed,
    /// An inbox row is kept as long as its event may be read again.
    MarksOutliveTheirEvents,
    /// An undo waits for earlier parked events, except for those that it undoes.
    UndoingWaitsItsTurn,
    /// A time-out fires only when no awaited event can be unread.
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
