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
    /// None: it was told.
    data: Option<SpanData>,
    on: Arc<On>,
}

impl Span {
    /// A span with the id of `own`, below `parent`.
    pub(super) fn begin(
        on: &Arc<On>,
        own: &TraceContext,
        parent: Option<NonZeroU64>,
        span_kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let now = SystemTime::now();
        let data = SpanData {
            span_context: context(own),
            parent_span_id: parent.map_or(SpanId::INVALID, span_id),
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

    /// Says something about it, in the place of what was said under the same key.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let Some(data) = &mut self.data else { return };
        let said = data.attributes.iter_mut().find(|said| said.key.as_str() == key);
        match said {
            Some(said) => said.value = value.into(),
            None => data.attributes.push(KeyValue::new(key, value)),
        }
    }

    /// Whether it went wrong.
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

fn context(of: &TraceContext) -> SpanContext {
    let state = of.tracestate().and_then(|state| state.parse::<TraceState>().ok());
    SpanContext::new(
        TraceId::from_bytes(of.trace_id().get().to_be_bytes()),
        span_id(of.parent_id()),
        TraceFlags::new(of.flags()),
        false,
        state.unwrap_or_default(),
    )
}

fn span_id(id: NonZeroU64) -> SpanId {
    SpanId::from_bytes(id.get().to_be_bytes())
}
