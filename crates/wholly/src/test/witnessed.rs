//! A saga's code, disturbed as a failure says, and watched.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::poll_immediate;
use tokio::time::Instant;
use wholly_core::BranchName;
use wholly_core::saga::{Graph, StepIndex};
use wholly_core::wire::{Answer, Call, Operation};

use super::failure::{Failure, Mishap};
use super::scripted::lock;
use crate::SagaOutcome;
use crate::participant::{AnswerFuture, Endpoint};

/// A saga's own handlers, with faults between them and the coordinator.
pub(super) struct Witnessed {
    code: Arc<dyn Endpoint>,
    failure: Failure,
    /// When the saga's deadline has passed.
    deadline: Instant,
    seen: Mutex<Seen>,
    /// The calls that are still under way when the saga has settled.
    late: Mutex<Vec<Call>>,
}

/// The record of the handlers' runs.
#[derive(Default)]
struct Seen {
    /// The number of the coordinator's start.
    incarnation: u32,
    /// The number of attempts at each fault's operation.
    attempts: Vec<usize>,
    runs: Vec<Run>,
    /// The number of events seen: the time by which runs are ordered.
    now: u64,
}

/// One run of a handler.
struct Run {
    incarnation: u32,
    step: BranchName,
    operation: Operation,
    began: u64,
    /// When it was done, if it was.
    done: Option<u64>,
    /// It did nothing, and never will.
    refused: bool,
    /// The coordinator heard that it was done.
    told: bool,
}

impl Witnessed {
    pub fn new(code: Arc<dyn Endpoint>, failure: Failure, deadline: Instant) -> Self {
        let attempts = vec![0; failure.0.len()];
        let seen = Mutex::new(Seen { attempts, ..Seen::default() });
        Self { code, failure, deadline, seen, late: Mutex::default() }
    }

    /// The coordinator starts again.
    pub fn next_life(&self) {
        lock(&self.seen).incarnation += 1;
    }

    /// The mishap of this call, if it has one.
    fn disturbance(&self, call: &Call) -> Option<Mishap> {
        let faults = self.failure.0.iter().enumerate();
        let (nth, fault) = { faults }.find(|(_, fault)| {
            fault.operation == call.operation && fault.step.as_str() == call.branch.as_str()
        })?;
        let mut seen = lock(&self.seen);
        let attempt = seen.attempts[nth];
        seen.attempts[nth] += 1;
        let until_deadline = fault.way.until_deadline.filter(|_| Instant::now() < self.deadline);
        until_deadline.or_else(|| fault.way.first.get(attempt).copied())
    }

    async fn run(&self, call: Call, loses_answer: bool) -> Answer {
        let nth = lock(&self.seen).begin(&call);
        let answer = self.code.call(call).await;
        lock(&self.seen).answered(nth, &answer, !loses_answer);
        match loses_answer {
            true => Answer::unknown("the answer was lost"),
            false => answer,
        }
    }

    /// Runs a handler up to where it first waits.
    async fn cut_off(&self, call: Call) -> Answer {
        let nth = lock(&self.seen).begin(&call);
        if let Some(answer) = poll_immediate(self.code.call(call)).await {
            lock(&self.seen).answered(nth, &answer, false);
        }
        Answer::unknown("it was cut off")
    }

    /// The saga has settled, and the late calls arrive. Nobody waits for an answer.
    pub async fn late_calls_arrive(&self) {
        let late = std::mem::take(&mut *lock(&self.late));
        for call in late {
            let arrives = AssertUnwindSafe(async { self.code.call(call).await });
            let _ = arrives.catch_unwind().await;
        }
    }

    /// Asserts that the handlers did what the saga says of itself.
    pub fn assert_all_or_nothing(&self, saga: &Graph, outcome: &SagaOutcome) {
        let seen = lock(&self.seen);
        seen.assert_nothing_twice();
        seen.assert_forward(saga);
        match outcome {
            SagaOutcome::Completed(_) => seen.assert_done(saga),
            SagaOutcome::Compensated(_) => seen.assert_undone(saga),
            SagaOutcome::Unsettled(_) => panic!("the saga has not settled"),
        }
    }
}

impl Endpoint for Witnessed {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        Box::pin(async move {
            match self.disturbance(&call) {
                None => self.run(call, false).await,
                Some(Mishap::LoseAnswer) => self.run(call, true).await,
                Some(Mishap::CutOff) => self.cut_off(call).await,
                Some(Mishap::Refuse) => Answer::refused("it was made to refuse"),
                // Without the noise of a panic that nobody expects.
                Some(Mishap::Panic) => resume_unwind(Box::new("it was made to panic")),
                Some(Mishap::LoseRequest) => Answer::unknown("the call was lost"),
                Some(Mishap::ArriveLate) => {
                    lock(&self.late).push(call);
                    Answer::unknown("the call is under way")
                }
            }
        })
    }
}

impl Seen {
    fn begin(&mut self, call: &Call) -> usize {
        self.now += 1;
        self.runs.push(Run {
            incarnation: self.incarnation,
            step: call.branch.clone(),
            operation: call.operation,
            began: self.now,
            done: None,
            refused: false,
            told: false,
        });
        self.runs.len() - 1
    }

    /// The handler of a run has answered, and the coordinator heard it, or did not.
    fn answered(&mut self, nth: usize, answer: &Answer, told: bool) {
        self.now += 1;
        let run = &mut self.runs[nth];
        match answer {
            Answer::Done | Answer::DoneWith { .. } => (run.done, run.told) = (Some(self.now), told),
            Answer::Refused { .. } => run.refused = true,
            _ => {}
        }
    }

    fn runs(&self, step: &str, operation: Operation) -> impl DoubleEndedIterator<Item = &Run> {
        let of_it = move |run: &&Run| run.step.as_str() == step && run.operation == operation;
        self.runs.iter().filter(of_it)
    }

    /// When it was first done.
    fn done(&self, step: &str, operation: Operation) -> Option<u64> {
        self.runs(step, operation).find_map(|run| run.done)
    }

    /// Nothing is asked again whose answer was heard, unless the coordinator has crashed since.
    fn assert_nothing_twice(&self) {
        for (nth, first) in self.runs.iter().enumerate().filter(|(_, run)| run.told) {
            let Run { incarnation, step, operation, .. } = first;
            let again = self.runs[nth + 1..].iter().any(|run| {
                (run.incarnation, &run.step, run.operation) == (*incarnation, step, *operation)
            });
            assert!(
                !again,
                "the {operation} of the step {step:?} was asked again once it was done"
            );
        }
    }

    /// No step begins before those that it comes after are done.
    fn assert_forward(&self, saga: &Graph) {
        for (step, earlier) in ordered(saga) {
            let Some(began) = self.runs(step, Operation::Action).next() else { continue };
            let done = self.done(earlier, Operation::Action);
            let right = done.is_some_and(|done| done < began.began);
            assert!(right, "the step {step:?} began before {earlier:?} was done");
        }
    }

    /// All steps are done, and none is undone.
    fn assert_done(&self, saga: &Graph) {
        for (step, _) in saga.steps() {
            let step = step.name.as_str();
            let done = self.done(step, Operation::Action);
            assert!(done.is_some(), "the saga completed without the step {step:?}");
            let undone = self.runs(step, Operation::Compensation).next();
            assert!(undone.is_none(), "the saga completed, and the step {step:?} was undone");
        }
    }

    /// Asserts that all that was or may have been done is undone, in reverse order, and not redone.
    fn assert_undone(&self, saga: &Graph) {
        for (step, node) in saga.steps() {
            let step = step.name.as_str();
            let may_have_run = |run: &&Run| !run.refused;
            let last = self.runs(step, Operation::Action).rfind(may_have_run);
            let Some(last) = last.filter(|_| node.compensation.is_some()) else { continue };
            let undone = self.done(step, Operation::Compensation);
            assert!(undone.is_some(), "the step {step:?} ran and was not undone");
            let first = self.runs(step, Operation::Compensation).next();
            let right = first.is_some_and(|undo| last.began < undo.began);
            assert!(right, "the step {step:?} ran again after its undo");
        }
        for (step, earlier) in ordered(saga) {
            let Some(undo) = self.runs(earlier, Operation::Compensation).next() else { continue };
            let Some(began) = self.runs(step, Operation::Compensation).next() else { continue };
            let done = self.done(step, Operation::Compensation).unwrap_or(u64::MAX);
            let right = began.began < undo.began && done < undo.began;
            assert!(right, "the step {earlier:?} was undone before {step:?} was");
        }
    }
}

/// Each step, with each that it comes after.
fn ordered(saga: &Graph) -> impl Iterator<Item = (&str, &str)> {
    let name = |index: StepIndex| saga.step(index).map_or("", |(step, _)| step.name.as_str());
    saga.steps().flat_map(move |(step, node)| {
        node.ancestors.iter().map(move |earlier| (step.name.as_str(), name(earlier)))
    })
}

#[cfg(test)]
mod tests {
    use wholly_core::{LogId, Payload, Timestamp, TransactionId};

    use super::*;
    use crate::in_code::{Saga, Step, StepError, step};
    use crate::participant::panic_message;

    use Operation::{Action, Compensation};

    fn id() -> TransactionId {
        TransactionId::mint(0, Timestamp::from_millis(1), 0, LogId::from_bits(7))
    }

    fn call(step: &str, operation: Operation, payload: &str) -> Call {
        let payload = Payload::parse(payload).unwrap();
        Call::new(id(), step.parse().unwrap(), operation, payload)
    }

    /// Judges these calls, in this order, as a saga that turned back, or one that completed.
    async fn told(calls: &[(&str, Operation)], completed: bool) {
        let does = async |cx: Step<bool>| match cx.input {
            true => Ok(()),
            false => Err(StepError::refused("not now")),
        };
        let undoes = async |_: Step<bool>, _: Option<()>| Ok(());
        let saga = Saga::new("witnessed", 1)
            .step(step("a", does).undo(undoes))
            .step(step("b", does).undo(undoes));
        let (saga, code) = saga.check().unwrap();
        let witnessed = Witnessed::new(Arc::new(code), Failure(Vec::new()), Instant::now());
        let id = id();
        for (step, operation) in calls {
            let (step, input) = match step.strip_prefix('!') {
                Some(step) => (step, "false"),
                None => (*step, "true"),
            };
            let action = format!(r#"{{"input":{input},"steps":{{}}}}"#);
            let payload = match operation {
                Compensation => format!(r#"{{"input":{action}}}"#),
                _ => action,
            };
            let call = call(step, *operation, &payload);
            witnessed.call(call).await;
        }
        let outcome = match completed {
            true => SagaOutcome::Completed(crate::Completed {
                id,
                outputs: Vec::new(),
                payloads_removed: false,
            }),
            false => {
                let reason = crate::Reason::Deadline { last_answers: String::new() };
                SagaOutcome::Compensated(crate::Compensated { id, reason })
            }
        };
        witnessed.assert_all_or_nothing(&saga, &outcome);
    }

    #[tokio::test]
    async fn what_is_cut_off_is_half_done() {
        use crate::test::failure::failures;

        let half = Arc::new(Mutex::new(Vec::new()));
        let seen = half.clone();
        let does = move |_: Step<bool>| {
            let seen = seen.clone();
            async move {
                lock(&seen).push("begun");
                tokio::task::yield_now().await;
                lock(&seen).push("done");
                Ok(())
            }
        };
        let saga = Saga::new("halves", 1).step(step("a", does).needs_no_undo());
        let (saga, code) = saga.check().unwrap();
        let cut_off = |way: &Failure| way.to_string().ends_with("is cut off half-way at first");
        let failure = failures(&saga).into_iter().find(cut_off).unwrap();
        let witnessed = Witnessed::new(Arc::new(code), failure, Instant::now());
        let call = call("a", Action, r#"{"input":true,"steps":{}}"#);
        let answer = witnessed.call(call.clone()).await;
        assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
        assert_eq!(*lock(&half), ["begun"]);
        assert_eq!(witnessed.call(call).await, Answer::Done);
        assert_eq!(*lock(&half), ["begun", "begun", "done"]);
    }

    #[tokio::test]
    async fn what_is_right_is_right() {
        told(&[("a", Action), ("b", Action)], true).await;
        let back = [("a", Action), ("b", Action), ("b", Compensation), ("a", Compensation)];
        told(&back, false).await;
        // A refused step has nothing to undo; its compensation may still run.
        told(&[("a", Action), ("!b", Action), ("a", Compensation)], false).await;
        told(&[("!a", Action), ("a", Compensation)], false).await;
        told(&[], false).await;
    }

    #[tokio::test]
    async fn what_is_wrong_is_seen() {
        let (a, b) = (("a", Action), ("b", Action));
        let (undo_a, undo_b) = (("a", Compensation), ("b", Compensation));
        for (calls, completed, wrong) in [
            (&[a][..], true, "completed without the step \"b\""),
            (&[a, b, undo_a], true, "the saga completed, and the step \"a\" was undone"),
            (&[b, a], true, "the step \"b\" began before \"a\" was done"),
            (&[a, a, b], true, "the action of the step \"a\" was asked again"),
            (&[a, b, undo_b], false, "the step \"a\" ran and was not undone"),
            (&[a, b, undo_a, undo_b], false, "the step \"a\" was undone before \"b\" was"),
            (&[undo_a, a], false, "the step \"a\" ran again after its undo"),
        ] {
            let seen = AssertUnwindSafe(told(calls, completed)).catch_unwind().await;
            let seen = seen.expect_err(wrong);
            assert!(panic_message(&*seen).contains(wrong), "{}", panic_message(&*seen));
        }
    }
}
