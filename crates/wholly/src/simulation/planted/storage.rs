//! Mutations of how a log is opened, and of what is made of damage.

use wholly_core::TransactionId;

use super::Bug;
use crate::engine::{Cancel, Input};
use crate::log::StoredTransaction;
use crate::simulation::restored::PERSON;
use crate::simulation::storage::Instead;
use crate::simulation::world::World;

impl World {
    /// Whether what lies in the log's place is opened as if nothing had been told.
    pub(in crate::simulation) fn planted_opening(&self, what: Instead) -> bool {
        match self.bug {
            Some(Bug::OlderCopyTakenUp) => what == Instead::OlderCopy,
            Some(Bug::OtherLogTakenUp) => what == Instead::OtherLog,
            Some(Bug::NewLogTakenUp) => what == Instead::NewLog,
            _ => false,
        }
    }

    /// What a mutation reads of a transaction with damaged entries: those before the damage, as if
    /// there were no others.
    pub(super) fn planted_damage(&self, stored: StoredTransaction) -> Option<StoredTransaction> {
        let shortens =
            matches!(self.bug, Some(Bug::DamagedEntryDropped | Bug::DamagedTransactionAborted));
        if !shortens || stored.damage.is_none() {
            return Some(stored);
        }
        let before = (0..).zip(stored.entries).take_while(|(nth, entry)| entry.sequence == *nth);
        let entries: Vec<_> = before.map(|(_, entry)| entry).collect();
        (!entries.is_empty()).then_some(StoredTransaction { entries, damage: None, ..stored })
    }

    /// What a mutation does as soon as it has begun.
    pub(in crate::simulation) fn planted_start(&mut self) {
        if self.bug == Some(Bug::DamagedTransactionAborted) {
            for id in self.storage.damaged.clone() {
                self.abort_damaged(id);
            }
        }
    }

    fn abort_damaged(&mut self, id: TransactionId) {
        let (reason, to) = ("it is damaged".to_owned(), (PERSON, 0));
        self.input(Input::Cancel { id, reason, how: Cancel::Abort, to });
    }

    /// Whether the key of this transaction is forgotten.
    pub(in crate::simulation) fn planted_forgetting(&self, stored: &StoredTransaction) -> bool {
        self.bug == Some(Bug::KeyOfTheDamagedForgotten) && stored.damage.is_some()
    }
}
