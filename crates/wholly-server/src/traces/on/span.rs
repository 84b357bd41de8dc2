//! A span: it begins when it is made, and ends and is told when it is dropped.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use wholly::TraceContext;

use super::{On, not_before};

pub struct Span {
    /// `None` once it was told.
    data: Option<SpanData>,
    on: Arc<On>,
}

impl Span {
    /// A span with this context, below a parent that may be invalid: there is none then.
    pub(super) fn begin(
        on: &Arc<On>,
        span_context: SpanContext,
        parent_span_id: SpanId,
        span_kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let now = SystemTime::now();
        let data = SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote: span_kind == SpanKind::Server,
            span_kind,
            name: name.into(),
            start_time: now,
            end_time: now,
            attributes: Vec::with_capacity(6),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("wholly")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        };
        Self { data: Some(data), on: Arc::clone(on) }
    }

    /// It began earlier.
    pub fn begun_at(&mut self, at: SystemTime) {
        if let Some(data) = &mut self.data {
            data.start_time = at;
        }
    }

    /// Sets an attribute, in the place of one with the same key.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let Some(data) = &mut self.data else { return };
        let said = data.attributes.iter_mut().find(|said| said.key.as_str() == key);
        match said {
            Some(said) => said.value = value.into(),
            None => data.attributes.push(KeyValue::new(key, value)),
        }
    }

    /// The status of the span.
    pub fn status(&mut self, status: Status) {
        if let Some(data) = &mut self.data {
            data.status = status;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut data) = self.data.take() {
            data.end_time = not_before(data.start_time);
            self.on.exporter.tell(data);
        }
    }
}

/// The context of the span behind which a trace goes on. The text has been checked.
pub(super) fn context(trace: &TraceContext) -> SpanContext {
    let parent = trace.traceparent();
    let state = trace.tracestate().and_then(|state| state.parse::<TraceState>().ok());
    SpanContext::new(
        TraceId::from_hex(&parent[3..35]).unwrap_or(TraceId::INVALID),
        SpanId::from_hex(&parent[36..52]).unwrap_or(SpanId::INVALID),
        TraceFlags::new(u8::from_str_radix(&parent[53..], 16).unwrap_or_default()),
        false,
        state.unwrap_or_default(),
    )
}

/// The same trace behind another span of it.
pub(super) fn behind(trace: &SpanContext, id: SpanId) -> SpanContext {
    let (of, flags, state) = (trace.trace_id(), trace.trace_flags(), trace.trace_state().clone());
    SpanContext::new(of, id, flags, false, state)
}

/// The text of a valid context.
pub(super) fn written(of: &SpanContext) -> Option<TraceContext> {
    let (trace, span, flags) = (of.trace_id(), of.span_id(), of.trace_flags());
    format!("00-{trace}-{span}-{flags:02x} {}", of.trace_state().header()).parse().ok()
}

pub(super) fn span_id(id: NonZeroU64) -> SpanId {
    SpanId::from(id.get())
}
