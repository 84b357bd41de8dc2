//! The probes of this log's tests: a look at the files between any two writes, and planted bugs,
//! each of which a test must catch. Outside of tests there is neither.

/// A law of this log that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A copy opens as the original, if it is said to have been moved.
    CopyOpensAsMoved,
    /// The nonce of the side file means nothing.
    AnyNonce,
    /// The head of the side file means nothing.
    AnyHead,
    /// The side file is written before the commit that it describes.
    SideFileFirst,
    /// A log that is gone is made anew.
    MadeAnew,
    /// The presence of the files is not checked.
    NoLook,
    /// Files with several names are opened.
    SeveralNames,
    /// New files are readable by everybody.
    Public,
    /// The write-ahead log is trusted as far as SQLite reads it.
    BrokenFrameIsTheEnd,
    /// Checksums are not compared.
    AnyChecksum,
    /// Batches may be missing.
    AnyChain,
    /// Indexes are trusted.
    AnyIndex,
    /// Removal gives damaged entries a new checksum.
    RemovalBlesses,
}

/// Marks a point where the files are as a kill would leave them.
#[cfg(not(test))]
pub(super) fn reached(_: &'static str) {}

/// True if the law is broken.
#[cfg(not(test))]
pub(super) fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(super) use with_tests::*;

#[cfg(test)]
mod with_tests {
    use std::cell::{Cell, RefCell};

    use super::Bug;

    type Look = Box<dyn FnMut(&'static str)>;

    thread_local! {
        static LOOK: RefCell<Option<Look>> = const { RefCell::new(None) };
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Sets the look of this thread from now on.
    pub(in super::super) fn look(look: Option<Look>) {
        LOOK.set(look);
    }

    /// Sets the broken law of this thread from now on.
    pub(in super::super) fn plant(bug: Option<Bug>) {
        BUG.set(bug);
    }

    pub(in super::super) fn reached(point: &'static str) {
        // The look is taken out meanwhile, for it may open the log itself.
        if let Some(mut look) = LOOK.take() {
            look(point);
            LOOK.set(Some(look));
        }
    }

    pub(in super::super) fn planted(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}
