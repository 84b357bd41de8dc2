//! A step as it is written in code, and as it is parsed.

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_core::saga::{Compensation, Problem, Segment, StepDefinition};
use wholly_core::wire::{Answer, Call};
use wholly_core::{InvalidName, Payload, StepName};

use super::{Retry, Step, StepError};
use crate::participant::AnswerFuture;

/// A step of a [`Saga`](super::Saga) with the input `I`: it puts out an `O`.
///
/// Up to the pivot, say how it is taken back: [`undo`](Self::undo), or
/// [`needs_no_undo`](Self::needs_no_undo).
#[must_use = "a step does nothing outside a saga"]
pub struct SagaStep<I, O> {
    pub(super) written: Written,
    types: PhantomData<fn(I) -> O>,
}

/// A step of this name, done by this handler. A name has up to 59 of `a` to `z`, `0` to `9`, `-`
/// and `_`.
pub fn step<I, O, F, A>(name: &str, action: F) -> SagaStep<I, O>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(Step<I>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<O, StepError>> + Send + 'static,
{
    let action: Handler = Box::new(move |call| match Step::of_action(call) {
        Ok(step) => {
            let doing = action(step);
            Box::pin(async move {
                doing.await.and_then(|output| done(&output)).unwrap_or_else(StepError::into_answer)
            })
        }
        Err(stuck) => Box::pin(ready(stuck.into_answer())),
    });
    let written = Written {
        name: name.to_owned(),
        action,
        undo: Undo::NotSaid,
        after: None,
        pivot: false,
        timeout: None,
        retry: None,
    };
    SagaStep { written, types: PhantomData }
}

/// The answer with this output; one that cannot be kept, undone or read needs an operator.
fn done<O: Serialize>(output: &O) -> Result<Answer, StepError> {
    let output = Payload::of(output).map_err(|why| {
        StepError::stuck(format!("it was done, but its output cannot be kept: {why}"))
    })?;
    match output.as_str() {
        "null" => Ok(Answer::Done),
        _ => Ok(Answer::DoneWith { output }),
    }
}

impl<I, O> SagaStep<I, O> {
    /// The handler that takes it back. It is given the step's output, or `None` where it is not
    /// known whether the step was done: then it takes back what it finds, and sees to it that an
    /// attempt on its way does nothing any more. It is asked again until it is done.
    pub fn undo<F, A>(mut self, undo: F) -> Self
    where
        I: DeserializeOwned,
        O: DeserializeOwned,
        F: Fn(Step<I>, Option<O>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        self.written.undo = Undo::By(Box::new(move |call| match Step::of_compensation(call) {
            Ok((step, output)) => {
                let undoing = undo(step, output);
                Box::pin(async move {
                    let undone = undoing.await.map(|()| Answer::Done);
                    undone.unwrap_or_else(StepError::into_answer_to_undo)
                })
            }
            Err(stuck) => Box::pin(ready(stuck.into_answer())),
        }));
        self
    }

    /// Lets its effect stay when the saga turns back.
    pub fn needs_no_undo(mut self) -> Self {
        self.written.undo = Undo::NotNeeded;
        self
    }

    /// Makes it the pivot: once it is done there is no way back. The steps that come after it are
    /// tried until they are done, and have no undo. A saga has at most one pivot, and every other
    /// step comes before it or after it.
    pub fn pivot(mut self) -> Self {
        self.written.pivot = true;
        self
    }

    /// The steps that it comes after, instead of the one before it in the saga; none of them:
    /// `[]`. Steps that do not come after each other are done at once.
    pub fn after<'a>(mut self, steps: impl IntoIterator<Item = &'a str>) -> Self {
        self.written.after = Some(steps.into_iter().map(str::to_owned).collect());
        self
    }

    /// The time that one attempt may take, in whole milliseconds; then it is dropped, and unknown.
    /// By default the coordinator's setting.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.written.timeout = Some(timeout);
        self
    }

    /// The pauses between its tries, and their number.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.written.retry = Some(retry);
        self
    }
}

/// A handler whose types are known to itself alone.
pub(super) type Handler = Box<dyn Fn(Call) -> AnswerFuture<'static> + Send + Sync>;

/// The handlers of a program for a step.
pub(super) struct Handlers {
    pub action: Handler,
    pub undo: Option<Handler>,
}

/// A step that is not parsed yet.
pub(super) struct Written {
    name: String,
    action: Handler,
    undo: Undo,
    after: Option<Vec<String>>,
    pivot: bool,
    timeout: Option<Duration>,
    retry: Option<Retry>,
}

enum Undo {
    NotSaid,
    NotNeeded,
    By(Handler),
}

impl Written {
    /// The step in the definition, and its handlers; `None` where there is a problem.
    pub fn parse(
        self,
        place: usize,
        problems: &mut Vec<Problem>,
    ) -> Option<(StepDefinition, Handlers)> {
        let at = |members: &[&str]| {
            let members = members.iter().map(|member| Segment::from(*member));
            [Segment::from("steps"), Segment::from(place)].into_iter().chain(members).collect()
        };
        let name: Option<StepName> = parsed(&self.name, at(&["name"]), problems);
        let mut step_name = |name: String| parsed(&name, at(&["after"]), problems);
        let after = self.after.map(|after| after.into_iter().filter_map(&mut step_name).collect());
        let retry = self.retry.map(|retry| retry.parse(at(&["retry", "factor"]), problems));
        let (compensation, undo) = match self.undo {
            Undo::NotSaid => (None, None),
            Undo::NotNeeded => (Some(Compensation::NotNeeded), None),
            Undo::By(undo) => {
                let operation = |name| format!("{name}-undo");
                let operation = name
                    .as_ref()
                    .map(operation)
                    .and_then(|operation| parsed(&operation, at(&["compensation"]), problems));
                (operation.map(Compensation::By), Some(undo))
            }
        };
        let step = StepDefinition {
            name: name?,
            participant: None,
            action: None,
            compensation,
            payload: Some(everything()),
            after,
            pivot: self.pivot,
            timeout_millis: self.timeout.map(millis),
            retry,
        };
        Some((step, Handlers { action: self.action, undo }))
    }
}

/// A name, or a problem with it.
pub(super) fn parsed<T: FromStr<Err = InvalidName>>(
    name: &str,
    at: Vec<Segment>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    name.parse()
        .map_err(|why: InvalidName| problems.push(Problem { at, what: why.to_string() }))
        .ok()
}

pub(super) fn millis(duration: Duration) -> u64 {
    // A duration too long for this is too long for the definition, too.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The saga's input, and the outputs of the steps that it comes after.
fn everything() -> Payload {
    Payload::parse(r#"{"$from":""}"#).expect("it is short, and JSON")
}
