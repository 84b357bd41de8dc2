//! What became of a transaction, as a caller is told.

use wholly_core::TransactionId;
use wholly_core::two_phase::{AbortReason, State, Transaction};

/// How a transaction ended, or that it has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is settled: every branch has committed.
    Committed(Committed),
    /// It is settled: no branch has.
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
    /// Why.
    pub reason: AbortReason,
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

    pub(crate) fn of(id: TransactionId, transaction: &Transaction) -> Self {
        match transaction.state() {
            _ if !transaction.is_settled() => Self::Unsettled(id),
            State::Committed => Self::committed(id),
            State::Aborted(reason) => Self::aborted(id, reason.clone()),
            State::Init | State::Prepared => Self::Unsettled(id),
        }
    }

    pub(crate) fn committed(id: TransactionId) -> Self {
        Self::Committed(Committed { id })
    }

    pub(crate) fn aborted(id: TransactionId, reason: AbortReason) -> Self {
        Self::Aborted(Aborted { id, reason })
    }
}
