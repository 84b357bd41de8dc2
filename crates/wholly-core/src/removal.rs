//! What is left of a transaction's records once its payloads are removed: the history, without what
//! its client and its participants gave to be carried.
//!
//! Removed are the payloads of branches, a saga's input, the payloads that its definition writes
//! down, and the outputs of its steps. Names, the client's key, times and reasons stay: they are
//! the history.
//!
//! INVARIANT: what is left folds to a transaction in the same state.

use std::sync::Arc;

use crate::saga::{self, Graph, Resolution};
use crate::{Payload, Record, Transaction, two_phase};

/// Points at nothing once the input is `null`: what did not resolve does not resolve without its
/// payload either, and so was never asked.
const RESOLVES_TO_NOTHING: &str = r#"{"$from":"/input/removed"}"#;

impl Record {
    /// The record without its payloads. `of` is the transaction, settled; `None` where the rest of
    /// a definition makes no sense without them.
    pub fn without_payloads(&self, of: &Transaction) -> Option<Self> {
        Some(match (self, of) {
            (Self::TwoPhase(record), _) => Self::TwoPhase(of_two_phase(record.clone())),
            (Self::Saga(record), Transaction::Saga(of)) => Self::Saga(of_saga(record.clone(), of)?),
            (Self::Saga(_), Transaction::TwoPhase(_)) => return None,
        })
    }
}

fn of_two_phase(mut record: two_phase::Record) -> two_phase::Record {
    if let two_phase::Record::Started(started) = &mut record {
        started.branches.iter_mut().for_each(|branch| branch.payload = Payload::null());
    }
    record
}

fn of_saga(record: saga::Record, of: &saga::Transaction) -> Option<saga::Record> {
    use saga::Record::{Completed, Resolved, Started};
    Some(match record {
        Started(started) => {
            let mut definition = started.saga.definition().clone();
            for (step, left) in definition.steps.iter_mut().zip(of.unresolved()) {
                step.payload = match left {
                    true => Some(Payload::parse(RESOLVES_TO_NOTHING).ok()?),
                    false => None,
                };
            }
            let saga = Arc::new(Graph::new(definition).ok()?);
            Started(saga::Started { saga, input: Payload::null(), ..started })
        }
        Completed(step, _) => Completed(step, Payload::null()),
        Resolved(step, Resolution::Completed(_), reason) => {
            Resolved(step, Resolution::Completed(Payload::null()), reason)
        }
        other => other,
    })
}
