//! Whether what happened is what had to.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wholly::saga::Record;
use wholly::test::{Harness, Received};
use wholly::{
    Answer, AnyOutcome, Operation, PartState, Payload, Reason, SagaOutcome, Snapshot, TransactionId,
};

use crate::graphs::{Expected, Fate, Plan, Side, Turn, input, output};
use crate::ledger::Row;
use crate::ways::WayBack;
use crate::{Case, Parts};

/// Judges a run that has settled. `undisturbed`: the coordinator was not killed, so that chance
/// has less of a say.
pub async fn judge(case: &Case, parts: &Parts, harness: &Harness, undisturbed: bool) {
    let ids = harness.coordinator().list(&wholly::Filter::default(), None, 2).await.unwrap().ids();
    let [id] = ids[..] else {
        // Killed before it was durable that it began.
        assert!(ids.is_empty() && !undisturbed, "{ids:?}");
        assert_eq!(parts.scripted.received(), []);
        return;
    };
    let received = parts.scripted.received();
    let snapshot = harness.coordinator().get(id).await.unwrap().unwrap();
    let run = Run {
        case,
        expected: case.plan.expect(&case.failures),
        actions: by_step(&case.plan, &received, Operation::Action),
        compensations: by_step(&case.plan, &received, Operation::Compensation),
        undisturbed,
        alone: undisturbed && case.failures.len() == 1,
    };
    run.outcome(id, &snapshot);
    for step in 0..case.plan.steps.len() {
        let name = &case.plan.steps[step].name;
        let row = parts.ledger.row(name);
        let seen = || format!("{name}: {row:?}, {:?}\n{received:#?}", run.expected);
        assert!(run.has_its_effect(step, row), "effects of {}", seen());
        assert!(run.has_its_state(step, snapshot.steps[step].state), "{snapshot:#?}");
        assert!(run.is_asked_as_often(step), "calls of {}", seen());
        assert!(run.is_asked_in_order(step), "order of {}", seen());
        run.is_given_what_it_should(step);
    }
    if run.alone {
        assert_eq!(stuck(&snapshot), run.expected_stuck(), "{snapshot:#?}");
    }
}

struct Run<'a> {
    case: &'a Case,
    expected: Expected,
    /// By step, each with its place among all calls, in the order of their arrival.
    actions: Vec<Vec<(usize, Received)>>,
    compensations: Vec<Vec<(usize, Received)>>,
    undisturbed: bool,
    /// Undisturbed, and one action alone failed: the number of calls is known.
    alone: bool,
}

fn by_step(
    plan: &Plan,
    received: &[Received],
    operation: Operation,
) -> Vec<Vec<(usize, Received)>> {
    let calls = received.iter().cloned().enumerate();
    let calls: Vec<_> = calls.filter(|(_, r)| r.call.operation == operation).collect();
    let of = |name: &str| {
        calls.iter().filter(|(_, r)| r.call.branch.as_str() == name).cloned().collect()
    };
    plan.steps.iter().map(|step| of(&step.name)).collect()
}

fn is_done(answer: &Answer) -> bool {
    matches!(answer, Answer::Done | Answer::DoneWith { .. })
}

/// The place of the `nth` call that was answered as done.
fn done(calls: &[(usize, Received)], nth: usize) -> Option<usize> {
    calls.iter().filter(|(_, r)| is_done(&r.answer)).map(|(place, _)| *place).nth(nth)
}

impl Run<'_> {
    fn plan(&self) -> &Plan {
        &self.case.plan
    }

    fn outcome(&self, id: TransactionId, snapshot: &Snapshot) {
        let turned_by = &self.expected.turned_by;
        let AnyOutcome::Saga(outcome) = snapshot.outcome() else { panic!("{snapshot:#?}") };
        assert_eq!((outcome.id(), snapshot.stuck), (id, false));
        assert_eq!(snapshot.input.as_ref().unwrap().to::<Value>().unwrap(), input());
        match outcome {
            SagaOutcome::Completed(done) => {
                assert_eq!(turned_by, &[], "it completed: {snapshot:#?}");
                for step in &self.plan().steps {
                    assert_eq!(done.output::<Value>(&step.name), Some(output(&step.name)));
                }
            }
            SagaOutcome::Compensated(back) => {
                let (step, turn) = match &back.reason {
                    Reason::Refused { step, .. } => (Some(step), Turn::Refused),
                    Reason::Exhausted { step, .. } => (Some(step), Turn::Exhausted),
                    Reason::Deadline { .. } => (None, Turn::Deadline),
                    other => panic!("turned back by {other:?}: {snapshot:#?}"),
                };
                let is = |&(by, expected): &(usize, Turn)| {
                    let is_step = step.is_none_or(|s| s.as_str() == self.plan().steps[by].name);
                    expected == turn && is_step
                };
                assert!(turned_by.iter().any(is), "{turned_by:?}: {snapshot:#?}");
            }
            SagaOutcome::Unsettled(_) => panic!("it has not settled: {snapshot:#?}"),
        }
    }

    /// Whether what turned the saga back must have found it done.
    fn is_done_before_turning(&self, step: usize) -> bool {
        self.expected.turned_by.iter().all(|&(by, _)| self.plan().follows(by, step))
    }

    fn has_its_effect(&self, step: usize, row: Row) -> bool {
        let once = row.done <= 1;
        let undone = match self.plan().can_be_undone(step) {
            true => row.undone == row.done,
            false => row.undone == 0,
        };
        once && match self.expected.fates[step] {
            Fate::Done => (row.done, row.undone) == (1, 0),
            Fate::Undone if self.is_done_before_turning(step) => row.done == 1 && undone,
            Fate::Undone | Fate::UndoneUnknown => undone,
            Fate::Refused | Fate::Never => (row.done, row.undone) == (0, 0),
        }
    }

    fn has_its_state(&self, step: usize, state: PartState) -> bool {
        use PartState::{Compensated, Completed, Failed, Pending};
        let has_undo = self.plan().can_be_undone(step);
        match self.expected.fates[step] {
            Fate::Done => state == Completed,
            Fate::Undone if has_undo || self.is_done_before_turning(step) => state == Compensated,
            Fate::UndoneUnknown if has_undo => state == Compensated,
            // Nobody asks again what became of it.
            Fate::Undone => state == Compensated || state == Pending,
            Fate::UndoneUnknown => state == Pending || state == Failed,
            // After a restart it is not known to be its only attempt.
            Fate::Refused if !self.undisturbed && state != Failed => {
                state == if has_undo { Compensated } else { Pending }
            }
            Fate::Refused => state == Failed,
            Fate::Never if self.may_seem_begun(step) => state == Pending || state == Compensated,
            Fate::Never => state == Pending,
        }
    }

    /// Whether a restart cannot tell that it never had its turn: then it is taken back in vain.
    fn may_seem_begun(&self, step: usize) -> bool {
        !self.undisturbed && !self.plan().reads && self.plan().can_be_undone(step)
    }

    fn is_asked_as_often(&self, step: usize) -> bool {
        let fate = self.expected.fates[step];
        let (forth, back) = (self.actions[step].len(), self.compensations[step].len());
        let failure = self.case.failures.iter().find(|f| f.step == step);
        let expected_forth = match failure {
            _ if fate == Fate::Never => Some(0),
            _ if !self.alone => None,
            Some(failure) => failure.way.arrivals(self.plan().side(step)),
            None => Some(1),
        };
        let is_taken_back = matches!(fate, Fate::Undone | Fate::UndoneUnknown);
        let right_back = match is_taken_back && self.plan().can_be_undone(step) {
            true if self.alone => back == self.way_back(step).map_or(1, WayBack::arrivals),
            true => back >= 1,
            false if fate == Fate::Refused && !self.undisturbed => {
                self.plan().can_be_undone(step) || back == 0
            }
            false if fate == Fate::Never && self.may_seem_begun(step) => true,
            false => back == 0,
        };
        expected_forth.is_none_or(|expected| forth == expected) && right_back
    }

    fn way_back(&self, step: usize) -> Option<WayBack> {
        self.case.back.iter().find(|f| f.step == step).map(|f| f.way)
    }

    /// No action before what it comes after is done, and no compensation before those of all that
    /// come after it are known to be.
    fn is_asked_in_order(&self, step: usize) -> bool {
        let first = |calls: &[(usize, Received)]| calls.first().map(|(place, _)| *place);
        let is_before = |earlier: Option<usize>, later: usize| earlier.is_some_and(|e| e < later);
        let (forth, back) = (first(&self.actions[step]), first(&self.compensations[step]));
        let mut earlier = self.plan().steps[step].after.iter();
        let begun_by_back = back.filter(|_| !self.may_seem_begun(step));
        let begun = forth.into_iter().chain(begun_by_back).min();
        let forth_in_order = begun.is_none_or(|begun| {
            earlier.all(|&step| is_before(done(&self.actions[step], 0), begun))
        });
        let needed =
            |later: usize| self.way_back(later).map_or(0, |way| way.done_before_it_is_known() - 1);
        let mut later = (0..self.plan().steps.len()).filter(|&later| {
            // What was refused for sure needs none. A crash may forget that, and then it gets one.
            self.expected.fates[later] != Fate::Refused
                && self.plan().follows(later, step)
                && !self.compensations[later].is_empty()
        });
        let back_in_order = back.is_none_or(|back| {
            later.all(|l| is_before(done(&self.compensations[l], needed(l)), back))
        });
        forth_in_order && back_in_order
    }

    fn is_given_what_it_should(&self, step: usize) {
        let plan = self.plan();
        let (name, input) = (&plan.steps[step].name, plan.payload(step));
        let known = payload(&json!({"input": input, "output": output(name)}));
        let unknown = payload(&json!({"input": input}));
        let input = payload(&input);
        for (_, Received { call, .. }) in &self.actions[step] {
            assert!(call.payload.same_as(&input), "{name} was given {:?}", call.payload);
            assert_eq!(call.operation_name(), format!("do-{name}"));
            assert_eq!(call.expires.is_some(), plan.side(step) != Side::After);
        }
        for (_, Received { call, .. }) in &self.compensations[step] {
            let may_be_unknown = !(self.alone && self.expected.fates[step] == Fate::Undone);
            let right = match self.expected.fates[step] {
                Fate::Undone if call.payload.same_as(&known) => true,
                _ => may_be_unknown && call.payload.same_as(&unknown),
            };
            assert!(right, "to undo {name}: {:?}", call.payload);
            assert_eq!(call.operation_name(), format!("undo-{name}"));
            assert_eq!(call.expires, None);
        }
    }

    /// What an operator must have been told of.
    fn expected_stuck(&self) -> BTreeSet<usize> {
        let side = |step: usize| self.case.plan.side(step);
        let forth = self.case.failures.iter().filter(|f| f.way.is_stuck(side(f.step)));
        let back = self.case.back.iter().filter(|f| f.way == WayBack::Stuck);
        forth.map(|f| f.step).chain(back.map(|f| f.step)).collect()
    }
}

fn stuck(snapshot: &Snapshot) -> BTreeSet<usize> {
    let step = |record: &wholly::Record| match record {
        wholly::Record::Saga(Record::Stuck(step, _)) => Some(usize::from(*step)),
        _ => None,
    };
    snapshot.history.iter().filter_map(|event| step(&event.record)).collect()
}

fn payload(value: &Value) -> Payload {
    Payload::of(value).unwrap()
}
