//! The transactions that need an operator, as the handles see them.

use std::collections::BTreeMap;

use tokio::sync::watch;
use wholly_core::{Timestamp, TransactionId};

use crate::engine::StuckChange;

/// The transactions that need an operator, and since when. Clones share one register.
#[derive(Clone, Default)]
pub(super) struct StuckRegister(watch::Sender<BTreeMap<TransactionId, Timestamp>>);

impl StuckRegister {
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<TransactionId, Timestamp>> {
        self.0.subscribe()
    }

    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Begins anew with those that were found in the log.
    pub fn start_with(&self, found: Vec<StuckChange>) {
        let found = found.into_iter().filter_map(|(id, since)| Some((id, since?))).collect();
        self.0.send_if_modified(|stuck| std::mem::replace(stuck, found) != *stuck);
    }

    /// Takes changes that are durable.
    pub fn change(&self, changes: Vec<StuckChange>) {
        if changes.is_empty() {
            return;
        }
        self.0.send_modify(|stuck| {
            for (id, since) in changes {
                match since {
                    // One that was loaded again is told again.
                    Some(since) if stuck.insert(id, since).is_none() => {
                        tracing::warn!(transaction = %id, "the transaction is stuck, and needs an operator");
                    }
                    Some(_) => {}
                    None => {
                        tracing::info!(transaction = %id, "the transaction is no longer stuck");
                        stuck.remove(&id);
                    }
                }
            }
        });
    }
}
