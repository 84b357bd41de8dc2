//! The trace of the call that a handler answers, for the spans and calls of the service's own.

use std::cell::RefCell;
use std::sync::Arc;

use wholly_core::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<Arc<TraceContext>>> = const { RefCell::new(None) };
}

/// In a handler: the trace that the call which it answers belongs to, if it does. Elsewhere, `None`.
///
/// Handlers run on the database's own thread, to which what a service keeps of a request in its
/// tasks does not come along.
pub fn trace() -> Option<Arc<TraceContext>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Does the work of a call that belongs to this trace.
pub(super) fn within<T>(trace: Option<Arc<TraceContext>>, work: impl FnOnce() -> T) -> T {
    /// Also where the handler panics.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }

    CURRENT.set(trace);
    let _leave = Leave;
    work()
}
