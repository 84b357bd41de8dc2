//! Planted bugs: the faults of an engine in what it tells the core and does with its answers.
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
    /// A step refused at its first attempt is compensated, as if an attempt had been lost.
    CompensatesRefused,
    /// A step not known to have been done is not compensated.
    ForgetsUnknown,
    /// The step done first is compensated first.
    ForwardOrder,
    /// A restart finds no output.
    LosesOutput,
    /// A compensated step is asked again for its action.
    RunsAgain,
    /// The deadline turns back, though the pivot was asked and has not answered.
    PivotNotWaitedFor,
    /// An unanswered action, or one that is pending, is not told to the core.
    LostAttemptForgotten,
    /// An operation unanswered in an earlier incarnation is not told to the core.
    RestartNotTold,
    /// Of those unanswered in an earlier incarnation, only those with a turn are told to the core.
    RestartTellsNothingAhead,
    /// An unanswered action is taken for a refusal.
    TimeOutIsNo,
    /// An unanswered operation is taken for done.
    TimeOutIsDone,
    /// The end of a step is not forced: those after it begin before it is durable.
    CompletedNotForced,
    /// The turning back is not forced: compensations leave before it is durable.
    TurnedBackNotForced,
    /// The end of the saga is not forced: it is answered before it is durable.
    EndNotForced,
    /// Effects leave before the sync.
    EffectsBeforeSync,
    /// Compensations never leave.
    NeverCompensates,
    /// The acknowledgement of a compensation is not heard.
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

    /// The record as it is read back.
    pub fn reads(&self, record: &Record) -> Record {
        match (self.bug, record) {
            (Some(Bug::LosesOutput), Record::Completed(step, _)) => {
                Record::Completed(*step, Payload::null())
            }
            _ => record.clone(),
        }
    }

    /// The outstanding effects that are sent.
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

    /// True if the engine acts as if it had asked, and been told that it is done.
    pub fn leaves_out(&self, world: &World, effect: Effect) -> bool {
        self.bug == Some(Bug::ForgetsUnknown)
            && effect.operation == Operation::Compensation
            && world.output(effect.branch).is_none()
    }

    /// The destination of a call.
    pub fn reaches(&self, world: &World, call: Effect) -> Effect {
        let first = steps(self.shape).find(|step| world.participants[usize::from(*step)].stands());
        match (self.bug, call.operation, first) {
            (Some(Bug::ForwardOrder), Operation::Compensation, Some(branch)) => {
                Effect { branch, ..call }
            }
            _ => call,
        }
    }

    /// The answer of the pivot that the core is told when the deadline passes.
    pub fn hears_at_deadline(&self, world: &World) -> Option<(Effect, Answer)> {
        let branch = pivot(self.shape).filter(|_| self.bug == Some(Bug::PivotNotWaitedFor))?;
        let asked = world.network.slots[branch] == Slot::Asked(Operation::Action);
        let effect = Effect { branch: branch.try_into().ok()?, operation: Operation::Action };
        asked.then(|| (effect, refused()))
    }

    /// The answer that the core is told for a time-out.
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
