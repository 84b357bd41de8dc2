//! A participant whose calls are shown: the trace that it is given goes on behind the call's span.

use std::sync::Arc;

use opentelemetry::trace::{SpanContext, SpanKind, Status};
use wholly::{Answer, Call, Participant, ParticipantName};

use super::span::{Span, behind, context, span_id, written};
use super::{On, random};

pub struct Traced<P> {
    pub(super) inner: P,
    pub(super) name: ParticipantName,
    pub(super) on: Option<Arc<On>>,
}

impl<P: Participant> Traced<P> {
    async fn around<F: Future<Output = Answer> + Send>(
        &self,
        mut call: Call,
        ask: impl FnOnce(Call) -> F,
    ) -> Answer {
        let span = self.span(&mut call);
        let answer = ask(call).await;
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
    }

    /// The span of a call, which then goes out with the span's id.
    fn span(&self, call: &mut Call) -> Option<Span> {
        let on = self.on.as_ref()?;
        let trace = call.trace.as_deref().map(context).filter(SpanContext::is_sampled)?;
        let own = behind(&trace, span_id(random()?));
        let name = format!("{} {}", call.operation_name(), self.name);
        // The transaction's span, which is told once it has settled.
        let parent = span_id(call.transaction.random_half());
        let mut span = Span::begin(on, own.clone(), parent, SpanKind::Client, name);
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

impl<P: Participant> Participant for Traced<P> {
    async fn prepare(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.prepare(call)).await
    }

    async fn commit(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.commit(call)).await
    }

    async fn abort(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.abort(call)).await
    }

    async fn commit_one_phase(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.commit_one_phase(call)).await
    }

    async fn action(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.action(call)).await
    }

    async fn compensate(&self, call: Call) -> Answer {
        self.around(call, |call| self.inner.compensate(call)).await
    }

    fn offers_one_phase(&self) -> bool {
        self.inner.offers_one_phase()
    }

    fn address(&self) -> Option<String> {
        self.inner.address()
    }
}
