//! Where a test looks at the files: between any two writes of an opening, a batch and a stop.

use std::cell::RefCell;

type Look = Box<dyn FnMut(&'static str)>;

thread_local! {
    static LOOK: RefCell<Option<Look>> = const { RefCell::new(None) };
}

/// Who looks from now on, on this thread.
pub(super) fn look(look: Option<Look>) {
    LOOK.set(look);
}

/// The files are as a kill would leave them here.
pub(super) fn reached(point: &'static str) {
    // It is taken out meanwhile, for it may open the log itself.
    if let Some(mut look) = LOOK.take() {
        look(point);
        LOOK.set(Some(look));
    }
}
