//! Who is told of each transaction that has settled.

use std::sync::Arc;

use wholly_core::{Name, TraceContext, Transaction, TransactionId};

/// A transaction that has settled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SettledTransaction {
    /// The transaction, whose id tells when it began.
    pub id: TransactionId,
    /// What it is called.
    pub name: Name,
    /// `two-phase` or `saga`.
    pub pattern: &'static str,
    /// `committed` or `aborted`; `completed` or `compensated`.
    pub state: &'static str,
    /// The trace that it belongs to, if its client gave one.
    pub trace: Option<Arc<TraceContext>>,
}

/// Told in the loop, which waits for it.
pub(crate) type OnSettled = Box<dyn Fn(SettledTransaction) + Send + Sync>;

impl SettledTransaction {
    pub(super) fn of(id: TransactionId, transaction: &Transaction) -> Self {
        let (pattern, state) = match transaction {
            Transaction::TwoPhase(transaction) => ("two-phase", transaction.state().as_str()),
            Transaction::Saga(saga) => ("saga", saga.state().as_str()),
        };
        let (name, trace) = (transaction.name().clone(), transaction.trace().cloned());
        Self { id, name, pattern, state, trace }
    }
}
