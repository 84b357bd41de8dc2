//! The failures of a saga's steps, one after the other.

use std::fmt;

use wholly_core::StepName;
use wholly_core::saga::{Graph, Side, StepIndex};
use wholly_core::wire::Operation;

/// The faults of one run: none, one step in one way, or that and what turns the saga back.
#[derive(Clone, Debug)]
pub(super) struct Failure(pub Vec<Fault>);

/// One operation of one step, and the way in which its attempts fail.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub step: StepName,
    pub operation: Operation,
    pub way: &'static Way,
}

#[derive(Debug)]
pub(super) struct Way {
    /// The failure in words.
    name: &'static str,
    /// The mishaps of the first attempts, one each; the others go well.
    pub first: &'static [Mishap],
    /// The mishap of all attempts until the deadline has passed.
    pub until_deadline: Option<Mishap>,
}

/// The mishap of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The handler is not called, and the answer is no.
    Refuse,
    /// The handler is not called: it panics.
    Panic,
    /// The handler is not called, and nothing is answered.
    LoseRequest,
    /// The handler is called, and its answer is lost.
    LoseAnswer,
    /// The handler is dropped where it first waits, as by a time-out.
    CutOff,
    /// Nothing is answered, and the handler is called when the saga has settled: something that it
    /// called was under way for so long.
    ArriveLate,
}

use Mishap::{ArriveLate, CutOff, LoseAnswer, LoseRequest, Panic, Refuse};

const fn way(name: &'static str, first: &'static [Mishap]) -> Way {
    Way { name, first, until_deadline: None }
}

static REFUSED: Way = way("is refused", &[Refuse]);
static REFUSED_AFTER_LOST: Way =
    way("is done, its answer is lost, then it is refused", &[LoseAnswer, Refuse]);
/// Only for a step with a compensation that suspends it.
static AFTER_ITS_UNDO: Way =
    way("is under way until its compensation is done", &[ArriveLate, Refuse]);

static ACTION: [Way; 8] = [
    way("is lost at first", &[LoseRequest]),
    way("is done, its answer is lost, then it is done again", &[LoseAnswer]),
    way("is cut off half-way at first", &[CutOff]),
    way("is cut off half-way, then refused", &[CutOff, Refuse]),
    way("is lost, then refused", &[LoseRequest, Refuse]),
    way("panics at first", &[Panic]),
    Way { name: "is lost until the deadline", first: &[], until_deadline: Some(LoseRequest) },
    Way {
        name: "is done, and its answers are lost until the deadline",
        first: &[],
        until_deadline: Some(LoseAnswer),
    },
];

static COMPENSATION: [Way; 5] = [
    // Often enough that the saga is stuck meanwhile.
    way("is lost for a while", &[LoseRequest; 11]),
    way("is done, and its answer is lost twice", &[LoseAnswer, LoseAnswer]),
    way("is cut off half-way twice", &[CutOff, CutOff]),
    way("is refused for a while", &[Refuse, Refuse, Refuse]),
    way("panics at first", &[Panic]),
];

/// Every step failed in every way: its action, and its compensation if it has one.
pub(super) fn failures(saga: &Graph) -> Vec<Failure> {
    let mut failures = vec![Failure(Vec::new())];
    for (index, (step, node)) in (0..).zip(saga.steps()) {
        let fault = |operation, way| Fault { step: step.name.clone(), operation, way };
        let actions = [&REFUSED, &REFUSED_AFTER_LOST].into_iter().chain(&ACTION);
        failures.extend(actions.map(|way| Failure(vec![fault(Operation::Action, way)])));
        if node.compensation.is_none() {
            continue;
        }
        failures.push(Failure(vec![fault(Operation::Action, &AFTER_ITS_UNDO)]));
        let unknown = Some(fault(Operation::Action, &REFUSED_AFTER_LOST));
        for turns_back in unknown.into_iter().chain(refused_after(saga, index)) {
            failures.extend(
                COMPENSATION.iter().map(|way| {
                    Failure(vec![turns_back.clone(), fault(Operation::Compensation, way)])
                }),
            );
        }
    }
    failures
}

/// A step that is refused once this one is done, if any can be.
fn refused_after(saga: &Graph, done: StepIndex) -> Option<Fault> {
    let mut steps = saga.steps();
    let (step, _) = steps.find(|(_, node)| node.ancestors.has(done) && node.side != Side::After)?;
    Some(Fault { step: step.name.clone(), operation: Operation::Action, way: &REFUSED })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no step fails");
        }
        for (nth, Fault { step, operation, way }) in self.0.iter().enumerate() {
            let then = if nth > 0 { "; then " } else { "" };
            write!(f, "{then}the {operation} of the step {step:?} {}", way.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_code::{Saga, StepError, step};

    #[test]
    fn every_step_fails_in_every_way() {
        let does = async |_| Ok::<_, StepError>(());
        let saga = Saga::<()>::new("failing", 1)
            .step(step("a", does).undo(async |_, _| Ok(())))
            .step(step("b", does).undo(async |_, _| Ok(())).pivot())
            .step(step("c", does));
        let (saga, _) = saga.check().unwrap();
        let all: Vec<String> = failures(&saga).iter().map(Failure::to_string).collect();
        let said = |what: &str| all.iter().filter(|failure| failure.contains(what)).count();
        assert_eq!(all[0], "no step fails");
        assert_eq!(said("no step fails"), 1);
        for (step, ways) in [("a", 11), ("b", 11), ("c", 10)] {
            let alone = format!("the action of the step {step:?} ");
            let alone = all.iter().filter(|f| f.starts_with(&alone) && !f.contains("; then"));
            assert_eq!(alone.count(), ways, "{all:#?}");
        }
        // Of a known action, and of an unknown one; steps after the pivot have none.
        assert_eq!(said(r#"then the compensation of the step "a""#), 10);
        assert_eq!(said(r#"then the compensation of the step "b""#), 5);
        assert_eq!(said(r#"then the compensation of the step "c""#), 0);
        let known =
            r#"the action of the step "b" is refused; then the compensation of the step "a""#;
        assert_eq!(said(known), 5);
        assert_eq!(all.len(), 1 + 11 + 11 + 10 + 15);
    }
}
