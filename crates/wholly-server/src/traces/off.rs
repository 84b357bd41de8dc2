//! Built without the feature: a trace is carried on, and nothing is shown in it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use prometheus_client::registry::Registry;
use wholly::{Builder, Endpoint, ParticipantName, TraceContext};

use super::TracesError;
use crate::config::traces;

/// Carries traces on.
#[derive(Clone)]
pub struct Traces;

impl Traces {
    /// Without the feature no configuration has traces.
    pub fn start(_: Option<traces::Traces>) -> Result<Self, TracesError> {
        Ok(Self)
    }

    /// Shows nothing.
    pub fn of_transactions(&self, builder: Builder) -> Builder {
        builder
    }

    /// Shows nothing.
    pub fn of_calls(&self, _: &ParticipantName, endpoint: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        endpoint
    }

    /// A submission arrived.
    pub fn submission(&self, headers: &HeaderMap) -> SubmissionTrace {
        SubmissionTrace(super::given(headers))
    }

    /// Counts nothing.
    pub fn register(&self, _: &mut Registry) {}

    /// Nothing is left.
    pub async fn flush(&self, _: Duration) {}
}

/// A submission that is being answered.
pub struct SubmissionTrace(Option<TraceContext>);

impl SubmissionTrace {
    /// The trace that its transaction belongs to.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.as_ref()
    }

    /// It is answered.
    pub fn answered(self, _: &Response) {}
}
