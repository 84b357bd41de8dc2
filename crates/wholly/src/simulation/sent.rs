//! Checks that each call that leaves rests on durable records, and is allowed by the protocol.

use serde_json::Value;
use wholly_core::saga::{Side, StepIndex};
use wholly_core::wire::{Call, CompensationPayload, Operation};
use wholly_core::{Record, two_phase};

use super::definitions::must_be_durable;
use super::ledger::{Saga, StepTruth};
use super::planted::Bug;
use super::world::World;
use super::wrong::{Check, Wrong, ensure};

impl World {
    /// Checks a call that leaves.
    pub fn check_sent(&self, call: &Call) -> Result<(), Wrong> {
        if self.bug == Some(Bug::EffectsBeforeTheSync) {
            // This mutation is to be caught by its consequences.
            return Ok(());
        }
        let checked = match call.operation {
            _ if self.is_held(call.transaction) => Err(Wrong {
                check: Check::Restored,
                what: "and a restored copy holds it".to_owned(),
            }),
            Operation::Action => self.saga_of(call)?.check_action(call),
            Operation::Compensation => {
                self.saga_of(call)?.check_compensation(call, self.incarnations)
            }
            _ => self.check_durable(call),
        };
        checked.map_err(|wrong| Wrong {
            what: format!(
                "{} {} of {} left, {}",
                call.operation, call.branch, call.transaction, wrong.what
            ),
            ..wrong
        })
    }

    fn saga_of(&self, call: &Call) -> Result<&Saga, Wrong> {
        let saga = self.ledger.sagas.get(&call.transaction).filter(|saga| saga.started);
        saga.ok_or_else(|| Wrong {
            check: Check::Durable,
            what: format!("{} left before {} was durable", call.branch, call.transaction),
        })
    }

    /// INVARIANT: no effect leaves before its record is durable.
    fn check_durable(&self, call: &Call) -> Result<(), Wrong> {
        let records = self.durable_records(call.transaction).unwrap_or_default();
        let allowed = match call.operation {
            Operation::Commit => records.iter().any(commits),
            _ => matches!(records.first(), Some(Record::TwoPhase(two_phase::Record::Started(_)))),
        };
        ensure(allowed, Check::Durable, || "before its record was durable".to_owned())
    }
}

fn commits(record: &Record) -> bool {
    use two_phase::{Decision, Record as Of};
    matches!(record, Record::TwoPhase(Of::Committed | Of::Decided(Decision::Committed, _)))
}

impl Saga {
    fn asked(&self, call: &Call) -> Result<(StepIndex, &StepTruth), Wrong> {
        let index = self.named(&call.branch);
        let index = index.ok_or_else(|| Wrong {
            check: Check::NoOther,
            what: "which the saga does not have".to_owned(),
        })?;
        Ok((index, &self.steps[usize::from(index)]))
    }

    fn check_action(&self, call: &Call) -> Result<(), Wrong> {
        let (index, step) = self.asked(call)?;
        let (_, node) = self.graph.step(index).expect("it is a step of this graph");
        ensure(!self.turned_back, Check::NotAgain, || "although the saga turned back".to_owned())?;
        for earlier in node.after.iter() {
            let StepTruth { done, completed, .. } = &self.steps[usize::from(earlier)];
            ensure(*done == 1, Check::After, || format!("before the step {earlier} was done"))?;
            let may_be_lost = !must_be_durable(&self.graph, earlier);
            ensure(completed.is_some() || may_be_lost, Check::Durable, || {
                format!("before it was durable that the step {earlier} was done")
            })?;
        }
        let persistent = self.pivot().is_none_or(|(_, pivot)| pivot.completed.is_some());
        ensure(persistent || node.side != Side::After, Check::Durable, || {
            "before it was durable that there is no way back".to_owned()
        })?;
        ensure(call.operation_name.as_ref() == Some(&node.action), Check::Given, || {
            format!("called {:?}", call.operation_name)
        })?;
        ensure(call.expires.is_some() == (node.side != Side::After), Check::Given, || {
            format!("and expires at {:?}", call.expires)
        })?;
        let same = step.given.as_ref().is_none_or(|given| given.same_as(&call.payload));
        ensure(same, Check::Given, || {
            format!("with {:?}, and before with {:?}", call.payload, step.given)
        })?;
        let expected = self.expected(index);
        ensure(call.payload.to::<Value>().ok() == expected, Check::Given, || {
            format!("with {:?} instead of {expected:?}", call.payload)
        })
    }

    fn check_compensation(&self, call: &Call, incarnation: u64) -> Result<(), Wrong> {
        let (index, step) = self.asked(call)?;
        let (_, node) = self.graph.step(index).expect("it is a step of this graph");
        ensure(self.turned_back, Check::Durable, || "before turning back was durable".to_owned())?;
        let named = node.compensation.is_some() && call.operation_name == node.compensation;
        ensure(named, Check::NoOther, || format!("called {:?}", call.operation_name))?;
        ensure(step.begun, Check::NoOther, || "although it never had its turn".to_owned())?;
        let in_this_life =
            step.begun_in == incarnation && step.refused_at_first == Some(incarnation);
        let refused_at_first = in_this_life || (step.refused && !step.lost);
        ensure(!refused_at_first, Check::NoOther, || {
            "although it was refused at its first attempt".to_owned()
        })?;
        self.check_turn_back(index)?;
        self.check_taken_back(step, call)
    }

    /// A compensation is given its action's payload, and the action's output if it is known.
    fn check_taken_back(&self, step: &StepTruth, call: &Call) -> Result<(), Wrong> {
        let parts = call.payload.to::<CompensationPayload<Value, Value>>();
        let Ok(CompensationPayload { input, output }) = parts else {
            return ensure(false, Check::Given, || format!("with {:?}", call.payload));
        };
        let given = step.given.as_ref().map(|given| given.to::<Value>().unwrap());
        ensure(given.as_ref().is_none_or(|given| *given == input), Check::Given, || {
            format!("with the input {input:?} instead of {given:?}")
        })?;
        let gave = step.output.as_ref().map(|output| output.to::<Value>().unwrap());
        let known = step.completed.is_some();
        let right = match &output {
            Some(_) => output == gave,
            None => !known,
        };
        ensure(right, Check::Given, || format!("with the output {output:?} instead of {gave:?}"))
    }
}
