//! An operator who resolves a step by hand: reads the durable records, makes the participant do it,
//! and reports the result.

use wholly_core::saga::Resolution;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{BranchName, Effect, Ended, Payload, Protocol as _, Transaction, TransactionId};

use super::definitions::is_retriable;
use super::world::World;
use crate::replay::replay;

impl World {
    /// Something that an operator can say of a saga, having seen to it that it is true.
    pub fn find_out(&mut self, id: TransactionId) -> Option<(BranchName, Ended)> {
        let stored = self.incarnation.as_ref()?.reader.history(id).ok()??;
        let Transaction::Saga(saga) = replay(&stored).ok()?.transaction else { return None };
        let effects: Vec<Effect> = saga.effects().collect();
        let nth = self.below(effects.len() as u64) as usize;
        let effect = *effects.get(nth)?;
        let who = self.who_does(id, effect.branch);
        let participant = &self.participants[who];
        // A call by hand is one that the coordinator does not know of.
        if participant.down || participant.cut || participant.forgetful {
            return None;
        }
        let request = saga.request(effect)?;
        let (branch, operation) = (request.branch, effect.operation);
        let (operation_name, expires) = (request.operation_name, request.expires);
        let call = Call::new(id, branch.clone(), operation, request.payload);
        let call = Call { operation_name, expires, ..call };
        let answer = self.take_step(who, &call);
        self.note(|| format!("by hand: {branch} {operation} {id}: {answer:?}"));
        let retriable = is_retriable(&self.ledger.sagas[&id].graph, effect.branch);
        Some((branch, Ended::Saga(resolution(operation, answer, retriable)?)))
    }
}

/// The resolution that an answer to a call by hand allows an operator.
fn resolution(operation: Operation, answer: Answer, retriable: bool) -> Option<Resolution> {
    match (operation, answer) {
        (Operation::Action, Answer::Done) => Some(Resolution::Completed(Payload::null())),
        (Operation::Action, Answer::DoneWith { output }) => Some(Resolution::Completed(output)),
        (Operation::Action, Answer::Refused { .. }) if !retriable => Some(Resolution::Compensated),
        (Operation::Compensation, Answer::Done) => Some(Resolution::Compensated),
        _ => None,
    }
}
