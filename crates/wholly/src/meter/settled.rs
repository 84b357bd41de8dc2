//! The callback for each transaction that has settled.

use std::sync::Arc;

use wholly_core::{Name, Pattern, State, TraceContext, Transaction, TransactionId, View};

/// A transaction that has settled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SettledTransaction {
    /// The transaction, whose id tells when it began.
    pub id: TransactionId,
    /// Its name.
    pub name: Name,
    /// Its pattern.
    pub pattern: Pattern,
    /// The state in which it settled.
    pub state: State,
    /// The trace that it belongs to, if its client gave one.
    pub trace: Option<Arc<TraceContext>>,
}

/// Told in the loop, which waits for it.
pub(crate) type OnSettled = Box<dyn Fn(SettledTransaction) + Send + Sync>;

impl SettledTransaction {
    pub(super) fn of(id: TransactionId, transaction: &Transaction) -> Self {
        let View { pattern, state, name, trace, .. } = transaction.view();
        let (name, trace) = (name.clone(), trace.cloned());
        Self { id, name, pattern, state, trace }
    }
}
