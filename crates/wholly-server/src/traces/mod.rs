//! Traces: one from the client through the coordinator to the participants.
//!
//! The trace that a client gives with a submission is carried on to the participants in any build.
//! With the feature `opentelemetry`, the server adds its own spans:
//!
//! ```text
//! the client's span ─▶ POST /v1/transactions ─▶ the transaction ─▶ a call to a participant ─▶ the participant's spans
//! ```
//!
//! The log has the context behind the request's span. The transaction's span takes its id from the
//! transaction's, so that its calls stand below it also after a restart, before it has ended.
//!
//! INVARIANT: nothing waits for a trace, and a span that cannot be told is counted and dropped.
//!
//! INVARIANT: no span holds a payload, a key, or what a participant said, which may repeat one.

#[cfg(not(feature = "opentelemetry"))]
mod off;
#[cfg(feature = "opentelemetry")]
mod on;

use axum::http::{HeaderMap, HeaderValue};
use wholly::TraceContext;
use wholly_core::wire::header;

#[cfg(not(feature = "opentelemetry"))]
pub use off::Traces;
#[cfg(feature = "opentelemetry")]
pub use on::Traces;

/// Traces cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {why}")]
pub struct TracesError {
    why: String,
}

/// The trace that a request belongs to, if there is one: an invalid header is ignored.
fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    TraceContext::of_headers(values(header::TRACEPARENT), values(header::TRACESTATE))
}
