//! What the tests of this log put into it: a look at the files between any two writes, and planted
//! bugs, each of which a test must catch. Outside of tests there is neither.

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
    /// Nobody looks whether the files are still there.
    NoLook,
    /// Files with several names are opened.
    SeveralNames,
    /// New files are readable by everybody.
    Public,
    /// The write-ahead log is believed as far as SQLite reads it.
    BrokenFrameIsTheEnd,
    /// Checksums are not compared.
    AnyChecksum,
    /// Batches may be missing.
    AnyChain,
    /// Indexes are believed.
    AnyIndex,
    /// Removal gives what is damaged a new checksum.
    RemovalBlesses,
}

/// The files are as a kill would leave them here.
#[cfg(not(test))]
pub(super) fn reached(_: &'static str) {}

/// Whether a law is broken.
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

    /// Who looks from now on, on this thread.
    pub(in super::super) fn look(look: Option<Look>) {
        LOOK.set(look);
    }

    /// Which law is broken from now on, on this thread.
    pub(in super::super) fn plant(bug: Option<Bug>) {
        BUG.set(bug);
    }

    pub(in super::super) fn reached(point: &'static str) {
        // It is taken out meanwhile, for it may open the log itself.
        if let Some(mut look) = LOOK.take() {
            look(point);
            LOOK.set(Some(look));
        }
    }

    pub(in super::super) fn planted(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}
