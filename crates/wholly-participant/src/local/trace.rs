//! The trace of the call that a handler answers, for the spans and calls of the service's own.

use std::sync::Arc;

use wholly_core::TraceContext;

tokio::task_local! {
    static CURRENT: Option<Arc<TraceContext>>;
}

/// In a handler: the trace of the call that it answers, if that has one. Elsewhere, `None`.
///
/// A handler may run on a thread of the database's own, which knows nothing of what a service keeps
/// of a request in its tasks.
pub fn trace() -> Option<Arc<TraceContext>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Does the blocking work of a call that belongs to this trace.
pub fn with_trace<T>(trace: Option<Arc<TraceContext>>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(trace, work)
}
