//! A participant whose calls are spans: its trace goes on behind the call's span.

use std::sync::Arc;

use opentelemetry::trace::{SpanContext, SpanKind, Status};
use wholly::{Answer, AnswerFuture, Call, Endpoint, ParticipantName, Slots};

use super::span::{Span, behind, context, span_id, written};
use super::{On, random};

pub struct Traced {
    pub(super) inner: Arc<dyn Endpoint>,
    pub(super) name: ParticipantName,
    pub(super) on: Arc<On>,
}

impl Traced {
    /// The span of a call, which then goes out with the span's id.
    fn span(&self, call: &mut Call) -> Option<Span> {
        let trace = call.trace.as_deref().map(context).filter(SpanContext::is_sampled)?;
        let own = behind(&trace, span_id(random()?));
        let name = format!("{} {}", call.operation_name(), self.name);
        // The transaction's span, which is told once it has settled.
        let parent = span_id(call.transaction.random_half());
        let mut span = Span::begin(&self.on, own.clone(), parent, SpanKind::Client, name);
        span.set("wholly.transaction", call.transaction.to_string());
        span.set("wholly.pattern", call.operation.pattern().as_str());
        span.set("wholly.participant", self.name.to_string());
        span.set("wholly.branch", call.branch.to_string());
        span.set("wholly.operation", call.operation_name().to_owned());
        // Until it answers: a call that takes too long is dropped.
        span.set(ANSWER, "unknown");
        span.status(Status::error("no answer in time"));
        call.trace = written(&own).map(Arc::new);
        Some(span)
    }
}

const ANSWER: &str = "wholly.answer";

impl Endpoint for Traced {
    fn call(&self, mut call: Call) -> AnswerFuture<'_> {
        Box::pin(async move {
            let span = self.span(&mut call);
            let answer = self.inner.call(call).await;
            if let Some(mut span) = span {
                span.set(ANSWER, answer.as_str());
                span.status(match answer {
                    Answer::Unknown { .. } | Answer::Heuristic { .. } | Answer::Stuck { .. } => {
                        Status::error("")
                    }
                    _ => Status::Unset,
                });
            }
            answer
        })
    }

    fn offers_one_phase(&self) -> bool {
        self.inner.offers_one_phase()
    }

    fn slots(&self) -> Slots {
        self.inner.slots()
    }

    fn address(&self) -> Option<String> {
        self.inner.address()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }
}
