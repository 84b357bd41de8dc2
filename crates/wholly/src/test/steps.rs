//! The effects of steps at a participant of sagas.

use std::collections::BTreeMap;

use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{BranchName, TransactionId};

/// The standing of a participant in a saga's step, by its own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepStanding {
    /// The action has its effect.
    Completed,
    /// It had its effect, which was taken back.
    Compensated,
    /// The compensation came first and found nothing: the action has no effect and never will.
    Empty,
    /// The action was refused before it had an effect.
    Refused,
}

/// Every step for which a participant did anything.
#[derive(Default)]
pub(super) struct Steps(BTreeMap<TransactionId, BTreeMap<BranchName, StepStanding>>);

impl Steps {
    pub fn standing(&self, id: TransactionId, step: &str) -> Option<StepStanding> {
        self.0.get(&id)?.get(step).copied()
    }

    pub fn of(&self, id: TransactionId) -> Vec<BranchName> {
        self.0.get(&id).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    pub fn transactions(&self) -> impl Iterator<Item = TransactionId> + '_ {
        self.0.keys().copied()
    }

    /// Notes the participant's standing by an answer.
    pub fn note(&mut self, call: &Call, answer: &Answer) {
        use Operation::{Action, Compensation};
        use StepStanding::{Compensated, Completed, Empty, Refused};
        let before = self.standing(call.transaction, call.branch.as_str());
        let now = match (call.operation, answer, before) {
            // Also after its compensation, where a barrier should have refused it.
            (Action, Answer::Done | Answer::DoneWith { .. }, _) => Completed,
            (Action, Answer::Refused { .. }, None) => Refused,
            (Compensation, Answer::Done, Some(Completed)) => Compensated,
            (Compensation, Answer::Done, None) => Empty,
            _ => return,
        };
        self.0.entry(call.transaction).or_default().insert(call.branch.clone(), now);
    }
}
