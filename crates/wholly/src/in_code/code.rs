//! A saga in code as the coordinator calls it.

use std::collections::BTreeMap;
use std::future::ready;

use wholly_core::BranchName;
use wholly_core::wire::{Answer, Call, Operation, cut};

use super::written::Handlers;
use crate::participant::{AnswerFuture, Endpoint};

/// The handlers of one version of a saga, by their steps.
pub(crate) struct Code {
    steps: BTreeMap<BranchName, Handlers>,
}

impl Code {
    pub(super) fn new(steps: BTreeMap<BranchName, Handlers>) -> Self {
        Self { steps }
    }
}

impl Endpoint for Code {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        let handlers = self.steps.get(&call.branch);
        let handler = match call.operation {
            Operation::Action => handlers.map(|handlers| &handlers.action),
            Operation::Compensation => handlers.and_then(|handlers| handlers.undo.as_ref()),
            _ => None,
        };
        match handler {
            Some(handler) => handler(call),
            None => Box::pin(ready(unknown_here(&call))),
        }
    }
}

/// The graph of a saga that runs is that of its start; its code may have changed since.
fn unknown_here(call: &Call) -> Answer {
    let Call { branch, operation, .. } = call;
    let reason = format!(
        "this version of the program has no {operation} for the step {branch:?}; register what \
         the saga was started with, and give what has changed a new version"
    );
    Answer::Stuck { reason: cut(reason) }
}
