//! The true course of each saga: all that was sent, was done, and is durable.
//!
//! It is kept beside the log and beside the core, so that both can be held against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use wholly_core::saga::{Graph, Reason, Record, Resolution, Side, StepIndex};
use wholly_core::{BranchName, Payload, Record as AnyRecord, TransactionId};

use super::definitions::{expected, must_be_durable, needs_none};
use super::seen::Seen;
use super::wrong::{Check, Wrong, ensure};

/// Every saga that was ever accepted.
#[derive(Default)]
pub struct Ledger {
    pub sagas: BTreeMap<TransactionId, Saga>,
}

/// The true course of a saga.
pub struct Saga {
    pub graph: Arc<Graph>,
    pub input: Payload,
    pub steps: Vec<StepTruth>,
    /// As far as the log holds it for good.
    pub started: bool,
    pub turned_back: bool,
    pub settled: bool,
}

/// The true course of a step.
#[derive(Default)]
pub struct StepTruth {
    /// Its participant's knowledge of it.
    pub row: BarrierRow,
    /// The number of effects of its action, and of its compensation.
    pub done: u32,
    pub undone: u32,
    /// The output of its action.
    pub output: Option<Payload>,
    /// The payload of its action's first call.
    pub given: Option<Payload>,
    /// The number of its action's calls that left.
    pub attempts: u32,
    /// Its first attempt ever was refused: the coordinator's incarnation that heard it.
    pub refused_at_first: Option<u64>,
    /// The last incarnation that heard a refusal.
    pub refusal_heard: Option<u64>,
    /// As far as the log holds it for good: all its predecessors were done, and gave its input; or
    /// a restart could not tell.
    pub begun: bool,
    /// A restart could not tell whether an earlier incarnation had asked it.
    pub ahead: bool,
    /// The coordinator's incarnation; a later one cannot tell whether it has left.
    pub begun_in: u64,
    pub lost: bool,
    pub completed: Option<Payload>,
    pub refused: bool,
    pub resolved_away: bool,
}

/// A participant's row of a step, by the rules of the barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BarrierRow {
    #[default]
    None,
    Done,
    Refused,
    Compensated,
    /// The compensation came first.
    Empty,
}

impl Ledger {
    /// The loop hands records to the log, which may yet lose them.
    pub fn handed_over(
        &mut self,
        id: TransactionId,
        records: &[(wholly_core::Timestamp, AnyRecord)],
    ) {
        if let Some((_, AnyRecord::Saga(Record::Started(started)))) = records.first() {
            let steps = started.saga.steps().map(|_| StepTruth::default()).collect();
            let (graph, input) = (started.saga.clone(), started.input.clone());
            let saga =
                Saga { graph, input, steps, started: false, turned_back: false, settled: false };
            self.sagas.entry(id).or_insert(saga);
        }
    }

    /// A record is durable in this incarnation of the coordinator: it must be true.
    pub fn recorded(
        &mut self,
        id: TransactionId,
        record: &Record,
        incarnation: u64,
        seen: &mut Seen,
    ) -> Result<(), Wrong> {
        let Some(saga) = self.sagas.get_mut(&id) else { return Ok(()) };
        saga.recorded(record, incarnation, seen).map_err(|wrong| Wrong {
            what: format!("{id}: {record:?} is durable, and {}", wrong.what),
            ..wrong
        })
    }

    pub fn any_is_turning_back(&self) -> bool {
        self.sagas.values().any(|saga| saga.turned_back && !saga.settled)
    }
}

impl Saga {
    pub fn recorded(
        &mut self,
        record: &Record,
        incarnation: u64,
        seen: &mut Seen,
    ) -> Result<(), Wrong> {
        match record {
            Record::Started(_) => {
                self.started = true;
                self.begin_ready(incarnation);
            }
            Record::Lost(step) => self.recorded_as_lost(*step)?,
            Record::Completed(step, output) => {
                self.recorded_as_completed(*step, output, incarnation)?
            }
            Record::Refused(step, _) => {
                let is_pivot = self.pivot().is_some_and(|(pivot, _)| pivot == *step);
                seen.pivots_refused += u64::from(is_pivot);
                let step = &mut self.steps[usize::from(*step)];
                step.refused = true;
                *if step.lost {
                    &mut seen.refused_after_a_lost_attempt
                } else {
                    &mut seen.refused_at_first
                } += 1;
                // A pivot's refusal is checked when the saga turns back.
                let heard = step.refusal_heard.is_some();
                ensure(heard || is_pivot, Check::Recorded, || "nobody refused it".to_owned())?;
            }
            Record::TurnedBack(reason) => {
                self.turned_back = true;
                seen.count_reason(reason);
                self.check_pivot_answered(incarnation)?;
            }
            Record::Compensated(step) => self.check_over(*step, Check::Recorded)?,
            Record::Resolved(step, Resolution::Completed(output), _) => {
                seen.resolved_as_completed += 1;
                self.recorded_as_completed(*step, output, incarnation)?;
            }
            Record::Resolved(step, Resolution::Compensated, _) => {
                *if self.turned_back {
                    &mut seen.compensated_by_hand
                } else {
                    &mut seen.resolved_as_compensated
                } += 1;
                self.steps[usize::from(*step)].resolved_away = true;
                self.check_over(*step, Check::Recorded)?;
            }
            // As after a restart: whether what has begun has left, cannot be told.
            Record::Released(..) => self.steps.iter_mut().for_each(|step| step.begun_in = 0),
            Record::Stuck(..) => {}
            Record::Settled => {
                self.settled = true;
                self.check_whole()?;
            }
        }
        Ok(())
    }

    fn recorded_as_lost(&mut self, index: StepIndex) -> Result<(), Wrong> {
        let may_have_begun = self.may_have_begun(index);
        let step = &mut self.steps[usize::from(index)];
        step.lost = true;
        if !step.begun {
            (step.begun, step.ahead) = (true, true);
            ensure(may_have_begun, Check::NoOther, || "it never had its turn".to_owned())?;
        }
        Ok(())
    }

    /// True if an earlier incarnation may have asked a step: each predecessor is durable, or need
    /// not be and may have been done.
    fn may_have_begun(&self, index: StepIndex) -> bool {
        let mut after = self.graph.nodes()[usize::from(index)].after.iter();
        after.all(|earlier| {
            let is_durable = self.steps[usize::from(earlier)].completed.is_some();
            is_durable || (!must_be_durable(&self.graph, earlier) && self.may_have_begun(earlier))
        })
    }

    fn recorded_as_completed(
        &mut self,
        index: StepIndex,
        output: &Payload,
        incarnation: u64,
    ) -> Result<(), Wrong> {
        let step = &mut self.steps[usize::from(index)];
        step.completed = Some(output.clone());
        let is_true = step.done == 1 && step.output.as_ref().is_some_and(|o| o.same_as(output));
        let (done, gave) = (step.done, step.output.clone());
        if !self.turned_back {
            self.begin_ready(incarnation);
        }
        ensure(is_true, Check::Recorded, || format!("it was done {done} times and gave {gave:?}"))
    }

    fn begin_ready(&mut self, incarnation: u64) {
        for (index, node) in (0..).zip(self.graph.clone().nodes()) {
            let done = |step: StepIndex| self.steps[usize::from(step)].completed.is_some();
            let begun = node.after.iter().all(done) && self.expected(index).is_some();
            let step = &mut self.steps[usize::from(index)];
            if begun && !step.begun {
                (step.begun, step.begun_in) = (true, incarnation);
            }
        }
    }

    /// Returns the payload that a step must be given, if all of it is there.
    pub fn expected(&self, index: StepIndex) -> Option<Value> {
        let output = |step: StepIndex| self.steps[usize::from(step)].output.clone();
        expected(&self.graph, index, &self.input, output)
    }

    /// A saga turns back: if its pivot has left, then only by the pivot's own answer.
    fn check_pivot_answered(&self, incarnation: u64) -> Result<(), Wrong> {
        let Some((_, pivot)) = self.pivot() else { return Ok(()) };
        let answered =
            pivot.attempts == 0 || pivot.refusal_heard == Some(incarnation) || pivot.resolved_away;
        ensure(answered, Check::Pivot, || "its pivot is unanswered".to_owned())
    }

    /// Nothing is left to take back of a step.
    pub fn check_over(&self, index: StepIndex, check: Check) -> Result<(), Wrong> {
        ensure(needs_none(&self.graph, index) || self.is_over(index), check, || {
            let StepTruth { row, attempts, .. } = &self.steps[usize::from(index)];
            format!("the step {index} is {row:?} at its participant after {attempts} attempts")
        })
    }

    fn is_over(&self, index: StepIndex) -> bool {
        let step = &self.steps[usize::from(index)];
        match step.row {
            BarrierRow::Compensated | BarrierRow::Empty | BarrierRow::Refused => true,
            BarrierRow::Done => false,
            // A participant may forget its refusal; the only attempt proves it.
            BarrierRow::None if step.refused_at_first.is_some() && step.attempts == 1 => true,
            BarrierRow::None => !step.begun && step.attempts == 0,
        }
    }

    /// At the end: every step is done, or each that may have run is taken back.
    pub fn check_whole(&self) -> Result<(), Wrong> {
        for (index, step) in (0..).zip(&self.steps) {
            ensure(step.done <= 1 && step.undone <= 1, Check::Once, || {
                format!("the step {index} was done {}, undone {} times", step.done, step.undone)
            })?;
            if self.turned_back {
                self.check_over(index, Check::Whole)?;
            } else {
                ensure(step.done == 1 && step.undone == 0, Check::Whole, || {
                    format!("the step {index} was done {}, undone {}", step.done, step.undone)
                })?;
            }
        }
        Ok(())
    }

    pub fn pivot(&self) -> Option<(StepIndex, &StepTruth)> {
        let mut nodes = (0..).zip(self.graph.nodes());
        let (index, _) = nodes.find(|(_, node)| node.side == Side::Pivot)?;
        Some((index, &self.steps[usize::from(index)]))
    }

    /// The steps that come after this one, directly or not.
    pub fn behind(&self, index: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        let nodes = (0..).zip(self.graph.nodes());
        nodes.filter(move |(_, node)| node.ancestors.has(index)).map(|(other, _)| other)
    }

    pub fn named(&self, name: &BranchName) -> Option<StepIndex> {
        let mut steps = (0..).zip(self.graph.steps());
        steps.find(|(_, (step, _))| step.name.as_str() == name.as_str()).map(|(index, _)| index)
    }
}

impl Seen {
    fn count_reason(&mut self, reason: &Reason) {
        match reason {
            Reason::Refused { .. } => self.refused += 1,
            Reason::Deadline { .. } => self.deadlines += 1,
            Reason::Cancelled { .. } => self.cancels += 1,
            Reason::Exhausted { .. } => self.exhausted += 1,
            Reason::Unresolved { .. } => self.unresolved += 1,
            Reason::Resolved { .. } => {}
        }
    }
}
