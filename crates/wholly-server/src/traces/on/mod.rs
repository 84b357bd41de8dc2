//! Built with the feature: the server's own work is shown as spans.

mod call;
mod export;
mod span;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::response::Response;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use prometheus_client::registry::Registry;
use ring::rand::{SecureRandom, SystemRandom};
use wholly::{Builder, Endpoint, ParticipantName, SettledTransaction, TraceContext, TransactionId};

use self::call::Traced;
use self::export::Exporter;
use self::span::{Span, behind, context, span_id, written};
use super::TracesError;
use crate::config::traces;

/// Tells spans; `None` if the configuration has no collector.
#[derive(Clone)]
pub struct Traces(Option<Arc<On>>);

struct On {
    /// The share of the traces that begin here.
    sampled: f64,
    exporter: Exporter,
}

impl Traces {
    /// Begins to send spans, if the configuration or one of OpenTelemetry's variables names a
    /// collector.
    ///
    /// # Errors
    /// When nothing can be sent there.
    pub fn start(configured: Option<traces::Traces>) -> Result<Self, TracesError> {
        let configured = configured.or_else(|| export::by_variable().then(Default::default));
        let Some(configured) = configured else { return Ok(Self(None)) };
        let (sampled, exporter) = (configured.sampled, Exporter::start(configured)?);
        Ok(Self(Some(Arc::new(On { sampled, exporter }))))
    }

    /// Shows each transaction from its beginning until it has settled.
    pub fn of_transactions(&self, builder: Builder) -> Builder {
        match self.0.clone() {
            Some(on) => builder.on_settled(move |settled| on.settled(settled)),
            None => builder,
        }
    }

    /// Shows each call to a participant.
    pub fn of_calls(&self, name: &ParticipantName, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        match self.0.clone() {
            Some(on) => Arc::new(Traced { inner, name: name.clone(), on }),
            None => inner,
        }
    }

    /// A submission arrived.
    pub fn submission(&self, headers: &HeaderMap) -> SubmissionTrace {
        let given = super::given(headers);
        let Some(on) = &self.0 else { return SubmissionTrace { trace: given, span: None } };
        match given.as_ref().map(context) {
            Some(parent) if parent.is_sampled() => on.show(&parent),
            Some(_) => SubmissionTrace { trace: given, span: None },
            None => on.begin(),
        }
    }

    /// Counts the dropped spans.
    pub fn register(&self, registry: &mut Registry) {
        if let Some(on) = &self.0 {
            let help = "Spans that were dropped, because the collector did not take them in time";
            registry.register("trace_spans_dropped", help, on.exporter.dropped.clone());
        }
    }

    /// Sends the remaining spans, if the collector takes them in time.
    pub async fn flush(&self, patience: Duration) {
        if let Some(on) = &self.0 {
            // Spans that it does not take are lost with the process, as after a crash.
            let _ = tokio::time::timeout(patience, on.exporter.flush()).await;
        }
    }
}

impl On {
    /// A submission that belongs to a client's trace, which is recorded.
    fn show(self: &Arc<Self>, given: &SpanContext) -> SubmissionTrace {
        let Some(id) = random() else {
            return SubmissionTrace { trace: written(given), span: None };
        };
        let own = behind(given, span_id(id));
        let trace = written(&own);
        SubmissionTrace { trace, span: Some(self.request(own, given.span_id())) }
    }

    /// A submission with which a trace begins. One that is not recorded goes on, too: else each
    /// participant would begin its own.
    fn begin(self: &Arc<Self>) -> SubmissionTrace {
        let (Some(high), Some(low), Some(id)) = (random(), random(), random()) else {
            return SubmissionTrace { trace: None, span: None };
        };
        // 53 bits make each share the same.
        let sampled = ((low.get() >> 11) as f64) < self.sampled * (1_u64 << 53) as f64;
        let trace = TraceId::from(u128::from(high.get()) << 64 | u128::from(low.get()));
        let flags = TraceFlags::default().with_sampled(sampled);
        let own = SpanContext::new(trace, span_id(id), flags, false, TraceState::NONE);
        let trace = written(&own);
        let span = sampled.then(|| self.request(own, SpanId::INVALID));
        SubmissionTrace { trace, span }
    }

    fn request(self: &Arc<Self>, own: SpanContext, parent: SpanId) -> Span {
        let mut span = Span::begin(self, own, parent, SpanKind::Server, "POST /v1/transactions");
        span.set("http.request.method", "POST");
        span.set("http.route", "/v1/transactions");
        span
    }

    fn settled(self: &Arc<Self>, settled: SettledTransaction) {
        let SettledTransaction { id, name, pattern, state, trace, .. } = settled;
        let trace = trace.as_deref().map(context).filter(SpanContext::is_sampled);
        let Some(trace) = trace else { return };
        let own = behind(&trace, span_id(id.random_half()));
        let kind = SpanKind::Internal;
        let mut span = Span::begin(self, own, trace.span_id(), kind, "transaction");
        span.begun_at(UNIX_EPOCH + Duration::from_millis(id.minted_at().as_millis()));
        span.set("wholly.transaction", id.to_string());
        span.set("wholly.pattern", pattern.as_str());
        span.set("wholly.name", name.to_string());
        span.set("wholly.state", state.as_str());
    }
}

/// A submission that is being answered. Its span ends with it, also if its client is gone.
pub struct SubmissionTrace {
    trace: Option<TraceContext>,
    span: Option<Span>,
}

impl SubmissionTrace {
    /// The trace that its transaction belongs to.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// It is answered.
    pub fn answered(self, response: &Response) {
        let Some(mut span) = self.span else { return };
        let status = response.status();
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.status(Status::error(""));
        }
        if let Some(id) = response.extensions().get::<TransactionId>() {
            span.set("wholly.transaction", id.to_string());
        }
    }
}

/// An id; `None` if the system has no random numbers, and so no ids that differ.
fn random() -> Option<NonZeroU64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    NonZeroU64::new(u64::from_ne_bytes(bytes))
}

/// The later of two moments, for a clock may go back.
fn not_before(began: SystemTime) -> SystemTime {
    SystemTime::now().max(began)
}
