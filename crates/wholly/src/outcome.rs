//! The outcome of a transaction, as a caller is told.

use wholly_core::saga::{self, Reason};
use wholly_core::two_phase::{self, AbortReason};
use wholly_core::{Payload, Protocol as _, StepName, Transaction, TransactionId};

use crate::replay::Replayed;

/// The end of a transaction in two phases, or that it has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every branch has committed. The decision is durable; that nothing is left to do may be
    /// recorded, and read, a little later.
    Committed(Committed),
    /// No branch has committed, and every one has said so. The decision is durable, as above.
    Aborted(Aborted),
    /// Decided or not, it goes on, with or without a caller. Ask by its id.
    Unsettled(TransactionId),
}

/// A transaction that committed everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The transaction.
    pub id: TransactionId,
}

/// A transaction that happened nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Aborted {
    /// The transaction.
    pub id: TransactionId,
    /// The reason.
    pub reason: AbortReason,
}

/// The end of a saga, or that it has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SagaOutcome {
    /// It is settled: every step is done.
    Completed(Completed),
    /// It is settled: what was done is taken back.
    Compensated(Compensated),
    /// Forward or back, it goes on, with or without a caller. Ask by its id.
    Unsettled(TransactionId),
}

/// A saga whose steps are all done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completed {
    /// The saga.
    pub id: TransactionId,
    /// The output of each step, in the order of the definition; `null` where it gave none.
    pub outputs: Vec<(StepName, Payload)>,
    /// True if the outputs were kept for as long as they are, and removed: `outputs` is empty.
    pub payloads_removed: bool,
}

/// A saga that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compensated {
    /// The saga.
    pub id: TransactionId,
    /// The reason why it turned back.
    pub reason: Reason,
}

impl Outcome {
    /// The transaction's id.
    pub fn id(&self) -> TransactionId {
        match self {
            Self::Committed(Committed { id })
            | Self::Aborted(Aborted { id, .. })
            | Self::Unsettled(id) => *id,
        }
    }

    fn of(id: TransactionId, transaction: &two_phase::Transaction) -> Self {
        match (transaction.is_settled(), transaction.abort_reason()) {
            (false, _) => Self::Unsettled(id),
            (true, Some(reason)) => Self::Aborted(Aborted { id, reason: reason.clone() }),
            (true, None) => Self::Committed(Committed { id }),
        }
    }
}

impl SagaOutcome {
    /// The saga's id.
    pub fn id(&self) -> TransactionId {
        match self {
            Self::Completed(Completed { id, .. })
            | Self::Compensated(Compensated { id, .. })
            | Self::Unsettled(id) => *id,
        }
    }

    fn of(id: TransactionId, saga: &saga::Transaction) -> Self {
        match (saga.is_settled(), saga.reason()) {
            (false, _) => Self::Unsettled(id),
            (true, Some(reason)) => Self::Compensated(Compensated { id, reason: reason.clone() }),
            (true, None) => {
                let output = |(step, at): (&saga::StepDefinition, &saga::Step)| {
                    Some((step.name.clone(), at.output()?.clone()))
                };
                Self::Completed(Completed {
                    id,
                    outputs: saga.steps().filter_map(output).collect(),
                    payloads_removed: false,
                })
            }
        }
    }
}

impl Completed {
    /// The output of a step, in the program's own type; `None` if the saga has no such step or it
    /// gave something else.
    pub fn output<T: serde::de::DeserializeOwned>(&self, step: &str) -> Option<T> {
        let (_, output) = self.outputs.iter().find(|(name, _)| name.as_str() == step)?;
        output.to().ok()
    }
}

/// The end of a transaction of any pattern, or that it has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOutcome {
    /// The end of one in two phases.
    TwoPhase(Outcome),
    /// The end of a saga.
    Saga(SagaOutcome),
    /// It was quarantined: its records cannot be used, not even to tell its pattern.
    Quarantined(TransactionId),
}

impl AnyOutcome {
    /// The transaction's id.
    pub fn id(&self) -> TransactionId {
        match self {
            Self::TwoPhase(outcome) => outcome.id(),
            Self::Saga(outcome) => outcome.id(),
            Self::Quarantined(id) => *id,
        }
    }

    /// True if it has ended.
    pub fn is_settled(&self) -> bool {
        !matches!(
            self,
            Self::TwoPhase(Outcome::Unsettled(_))
                | Self::Saga(SagaOutcome::Unsettled(_))
                | Self::Quarantined(_)
        )
    }

    pub(crate) fn of(id: TransactionId, transaction: &Transaction) -> Self {
        match transaction {
            Transaction::TwoPhase(transaction) => Self::TwoPhase(Outcome::of(id, transaction)),
            Transaction::Saga(saga) => Self::Saga(SagaOutcome::of(id, saga)),
        }
    }

    /// The outcome of a stored transaction, whose payloads may have been removed.
    pub(crate) fn of_stored(id: TransactionId, stored: &Replayed) -> Self {
        let mut outcome = Self::of(id, &stored.transaction);
        if let Self::Saga(SagaOutcome::Completed(completed)) = &mut outcome
            && stored.payloads_removed
        {
            completed.outputs.clear();
            completed.payloads_removed = true;
        }
        outcome
    }

    /// The outcome that is told of an open transaction, whether or not it has settled in memory.
    pub(crate) fn unsettled(id: TransactionId, transaction: &Transaction) -> Self {
        match transaction {
            Transaction::TwoPhase(_) => Self::TwoPhase(Outcome::Unsettled(id)),
            Transaction::Saga(_) => Self::Saga(SagaOutcome::Unsettled(id)),
        }
    }

    /// The outcome of the same transaction while it had not settled.
    pub(crate) fn not_settled(self) -> Self {
        match self {
            Self::TwoPhase(outcome) => Self::TwoPhase(Outcome::Unsettled(outcome.id())),
            Self::Saga(outcome) => Self::Saga(SagaOutcome::Unsettled(outcome.id())),
            Self::Quarantined(id) => Self::Quarantined(id),
        }
    }

    /// The outcome as a caller of a two-phase transaction takes it.
    pub(crate) fn two_phase(self) -> Outcome {
        match self {
            Self::TwoPhase(outcome) => outcome,
            other => Outcome::Unsettled(other.id()),
        }
    }

    /// The outcome as a caller of a saga takes it.
    pub(crate) fn saga(self) -> SagaOutcome {
        match self {
            Self::Saga(outcome) => outcome,
            other => SagaOutcome::Unsettled(other.id()),
        }
    }
}
