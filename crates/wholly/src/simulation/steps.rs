//! The participants' side of a saga: the barrier's rules, and the effects in plain sight.

use serde_json::json;
use wholly_core::saga::StepIndex;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{Payload, TransactionId};

use super::definitions::{is_retriable, needs_none};
use super::ledger::{BarrierRow, Saga, StepTruth};
use super::planted::Bug;
use super::world::World;
use super::wrong::{Check, Wrong, ensure};

impl World {
    /// A participant takes a call for a saga's step.
    pub fn take_step(&mut self, who: usize, call: &Call) -> Answer {
        if self.chance(5) {
            return Answer::pending(None);
        }
        let Some(saga) = self.ledger.sagas.get(&call.transaction) else {
            return Answer::unknown("there is no such saga");
        };
        let Some(index) = saga.named(&call.branch) else {
            return Answer::unknown("there is no such step");
        };
        let row = saga.steps[usize::from(index)].row;
        match call.operation {
            Operation::Action => self.act(who, call, index, row),
            _ => self.take_back(call.transaction, index, row),
        }
    }

    fn act(&mut self, who: usize, call: &Call, index: StepIndex, row: BarrierRow) -> Answer {
        let id = call.transaction;
        let accepts_late = self.bug == Some(Bug::LateActionAcceptedAfterTheCompensation);
        match row {
            BarrierRow::Done => self.repeat(id, index),
            BarrierRow::Refused => Answer::refused("no stock"),
            BarrierRow::Compensated | BarrierRow::Empty if !accepts_late => {
                self.seen.late_actions += 1;
                Answer::refused("it was taken back before")
            }
            _ if call.expires.is_some_and(|at| self.wall() >= at) => {
                self.refuse(who, id, index, "it has expired")
            }
            _ if self.refuses(who, id, index) => self.refuse(who, id, index, "no stock"),
            _ => {
                let output = self.output(index);
                let saga = self.ledger.sagas.get_mut(&id).expect("it is called for this saga");
                let done = saga.done(index, output);
                self.seen.pivots_done_at_a_later_try += u64::from(
                    saga.pivot().is_some_and(|(pivot, step)| pivot == index && step.attempts > 1),
                );
                self.note_wrong(done.map_err(|wrong| of(id, wrong)));
                self.repeat(id, index)
            }
        }
    }

    /// True if a step is refused: after the pivot, only by a participant that may do it next time.
    fn refuses(&mut self, who: usize, id: TransactionId, index: StepIndex) -> bool {
        let forgetful = self.forgets(who, id, index);
        match is_retriable(&self.ledger.sagas[&id].graph, index) {
            true => {
                let refuses = forgetful && self.chance(20);
                self.seen.refusals_past_the_pivot += u64::from(refuses);
                refuses
            }
            false => self.chance(10),
        }
    }

    /// True if a participant forgets its refusal. It must not forget that of a pivot that is never
    /// taken back: an earlier attempt that arrives later would be done after all.
    fn forgets(&self, who: usize, id: TransactionId, index: StepIndex) -> bool {
        let saga = &self.ledger.sagas[&id];
        let is_pivot = saga.pivot().is_some_and(|(pivot, _)| pivot == index);
        self.participants[who].forgetful && !(is_pivot && needs_none(&saga.graph, index))
    }

    fn refuse(&mut self, who: usize, id: TransactionId, index: StepIndex, why: &str) -> Answer {
        if self.forgets(who, id, index) {
            self.seen.forgotten_refusals += 1;
        } else if let Some(step) = self.step_mut(id, index) {
            step.row = BarrierRow::Refused;
        }
        Answer::refused(why)
    }

    /// Something that nobody could guess, now and then nothing, or not what others hope for.
    fn output(&mut self, index: StepIndex) -> Payload {
        match self.below(25) {
            0 => Payload::null(),
            1 => Payload::of(&json!({"step": index})).unwrap(),
            _ => Payload::of(&json!({"step": index, "token": self.random.next()})).unwrap(),
        }
    }

    fn repeat(&mut self, id: TransactionId, index: StepIndex) -> Answer {
        let output = self.step_mut(id, index).and_then(|step| step.output.clone());
        match output.filter(|output| !output.same_as(&Payload::null())) {
            Some(output) => Answer::DoneWith { output },
            None => Answer::Done,
        }
    }

    fn take_back(&mut self, id: TransactionId, index: StepIndex, row: BarrierRow) -> Answer {
        if self.chance(5) {
            self.seen.refused_compensations += 1;
            return Answer::refused("not now");
        }
        let Some(saga) = self.ledger.sagas.get_mut(&id) else { return Answer::Done };
        let StepTruth { ahead, ref completed, .. } = saga.steps[usize::from(index)];
        let known = completed.is_some();
        self.seen.ahead_compensated += u64::from(ahead && row == BarrierRow::Done && !known);
        match row {
            BarrierRow::None => {
                self.seen.empty_compensations += 1;
                saga.steps[usize::from(index)].row = BarrierRow::Empty;
            }
            BarrierRow::Done => {
                self.seen.unknown_compensated += u64::from(!known);
                let undone = saga.undone(index);
                self.note_wrong(undone.map_err(|wrong| of(id, wrong)));
            }
            BarrierRow::Refused | BarrierRow::Compensated | BarrierRow::Empty => {}
        }
        Answer::Done
    }

    pub fn step_mut(&mut self, id: TransactionId, index: StepIndex) -> Option<&mut StepTruth> {
        self.ledger.sagas.get_mut(&id)?.steps.get_mut(usize::from(index))
    }
}

fn of(id: TransactionId, wrong: Wrong) -> Wrong {
    Wrong { what: format!("{id}: {}", wrong.what), ..wrong }
}

impl Saga {
    /// An action has its effect.
    fn done(&mut self, index: StepIndex, output: Payload) -> Result<(), Wrong> {
        let step = &mut self.steps[usize::from(index)];
        step.row = BarrierRow::Done;
        step.done += 1;
        step.output = Some(output);
        ensure(step.done == 1, Check::Once, || format!("the step {index} is done again"))?;
        let node = &self.graph.nodes()[usize::from(index)];
        for earlier in node.after.iter() {
            ensure(self.steps[usize::from(earlier)].done == 1, Check::After, || {
                format!("the step {index} is done before the step {earlier}")
            })?;
        }
        if needs_none(&self.graph, index) {
            return Ok(());
        }
        for earlier in node.ancestors.iter() {
            let row = self.steps[usize::from(earlier)].row;
            ensure(
                !matches!(row, BarrierRow::Compensated | BarrierRow::Empty),
                Check::Reverse,
                || format!("the step {index} is done after the step {earlier} was taken back"),
            )?;
        }
        Ok(())
    }

    /// A compensation has its effect.
    fn undone(&mut self, index: StepIndex) -> Result<(), Wrong> {
        let step = &mut self.steps[usize::from(index)];
        step.row = BarrierRow::Compensated;
        step.undone += 1;
        ensure(step.undone == 1, Check::Once, || format!("the step {index} is undone again"))?;
        self.check_turn_back(index)
    }

    /// A step may be taken back: every one that comes after it is over, and the pivot is not done.
    pub fn check_turn_back(&self, index: StepIndex) -> Result<(), Wrong> {
        self.behind(index).try_for_each(|later| self.check_over(later, Check::Reverse))?;
        let done = self.pivot().filter(|&(pivot, step)| {
            (step.row == BarrierRow::Done && pivot != index) || step.completed.is_some()
        });
        ensure(done.is_none(), Check::Pivot, || {
            format!("the step {index} is taken back although the pivot is done")
        })
    }
}
