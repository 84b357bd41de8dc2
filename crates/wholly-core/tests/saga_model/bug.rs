//! Planted bugs: what a wrong engine would tell the core, or do with what the core says.
//!
//! The core stays as it is; each bug changes an input, a record or an effect on its way.

use wholly_core::saga::{Record, Transaction};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{Effect, Payload};
use wholly_core::{Protocol as _, State};

use crate::network::Slot;
use crate::participant::refused;
use crate::scenario::Scenario;
use crate::shape::{pivot, steps};
use crate::world::World;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What was refused at its first attempt is compensated, as if an attempt had been lost.
    CompensatesRefused,
    /// What is not known to have been done is not compensated.
    ForgetsUnknown,
    /// What was done first is compensated first.
    ForwardOrder,
    /// A restart finds no output.
    LosesOutput,
    /// What was compensated is asked again for its action.
    RunsAgain,
    /// The deadline turns back, though the pivot was asked and has not answered.
    PivotNotWaitedFor,
    /// An unanswered action, or one that is pending, is not told to the core.
    LostAttemptForgotten,
    /// What is unanswered in an earlier incarnation is not told to the core.
    RestartNotTold,
    /// Of what is unanswered in an earlier incarnation, only what has its turn is told to the core.
    RestartTellsNothingAhead,
    /// An unanswered action is taken for a refusal.
    TimeOutIsNo,
    /// What is unanswered is taken for done.
    TimeOutIsDone,
    /// That a step is done is not forced: those after it begin before it is durable.
    CompletedNotForced,
    /// That the saga turns back is not forced: compensations leave before it is durable.
    TurnedBackNotForced,
    /// That the saga is completed is not forced: it is answered before it is durable.
    EndNotForced,
    /// Effects leave before the sync.
    EffectsBeforeSync,
    /// Compensations never leave.
    NeverCompensates,
    /// What was compensated is not heard.
    DeafToAcknowledgement,
    /// A crash loses a batch and keeps later ones.
    GapInLog,
}

impl Scenario {
    pub fn forces(&self, saga: &Transaction, record: &Record) -> bool {
        match (self.bug, record) {
            (Some(Bug::CompletedNotForced), Record::Completed(..))
            | (Some(Bug::TurnedBackNotForced), Record::TurnedBack(_))
            | (Some(Bug::EndNotForced), Record::Settled) => false,
            _ => saga.forces(record),
        }
    }

    /// What is read back of a record.
    pub fn reads(&self, record: &Record) -> Record {
        match (self.bug, record) {
            (Some(Bug::LosesOutput), Record::Completed(step, _)) => {
                Record::Completed(*step, Payload::null())
            }
            _ => record.clone(),
        }
    }

    /// What is sent of what is outstanding.
    pub fn sends(&self, world: &World) -> Vec<Effect> {
        let mut effects: Vec<Effect> = world.live.effects().collect();
        match self.bug {
            Some(Bug::NeverCompensates) => effects.retain(|e| e.operation == Operation::Action),
            Some(Bug::RunsAgain) if world.live.state() == State::Compensating => {
                let undone = steps(self.shape).zip(&world.participants);
                let undone = undone.filter(|(_, participant)| participant.undone > 0);
                effects.extend(
                    undone.map(|(branch, _)| Effect { branch, operation: Operation::Action }),
                );
            }
            _ => {}
        }
        effects
    }

    /// Whether the engine does as if it had asked, and been told that it is done.
    pub fn leaves_out(&self, world: &World, effect: Effect) -> bool {
        self.bug == Some(Bug::ForgetsUnknown)
            && effect.operation == Operation::Compensation
            && world.output(effect.branch).is_none()
    }

    /// Where a call arrives.
    pub fn reaches(&self, world: &World, call: Effect) -> Effect {
        let first = steps(self.shape).find(|step| world.participants[usize::from(*step)].stands());
        match (self.bug, call.operation, first) {
            (Some(Bug::ForwardOrder), Operation::Compensation, Some(branch)) => {
                Effect { branch, ..call }
            }
            _ => call,
        }
    }

    /// What the core is told of the pivot when the deadline passes.
    pub fn hears_at_deadline(&self, world: &World) -> Option<(Effect, Answer)> {
        let branch = pivot(self.shape).filter(|_| self.bug == Some(Bug::PivotNotWaitedFor))?;
        let asked = world.network.slots[branch] == Slot::Asked(Operation::Action);
        let effect = Effect { branch: branch.try_into().ok()?, operation: Operation::Action };
        asked.then(|| (effect, refused()))
    }

    /// What the core is told of a time-out.
    pub fn hears_of_time_out(&self, operation: Operation) -> Option<Answer> {
        match (self.bug, operation) {
            (Some(Bug::LostAttemptForgotten), Operation::Action) => None,
            (Some(Bug::TimeOutIsNo), Operation::Action) => Some(refused()),
            (Some(Bug::TimeOutIsDone), _) => Some(Answer::Done),
            _ => Some(Answer::unknown("lost")),
        }
    }

    /// The answers that the core is told of when one arrives.
    pub fn hears(&self, operation: Operation, answer: Answer) -> Vec<Answer> {
        match (self.bug, operation, &answer) {
            (Some(Bug::DeafToAcknowledgement), Operation::Compensation, _)
            | (Some(Bug::LostAttemptForgotten), Operation::Action, Answer::Pending { .. }) => {
                Vec::new()
            }
            (Some(Bug::CompensatesRefused), Operation::Action, Answer::Refused { .. }) => {
                vec![Answer::unknown("lost"), answer]
            }
            _ => vec![answer],
        }
    }
}
