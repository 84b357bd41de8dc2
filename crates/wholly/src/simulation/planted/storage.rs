//! Mutations of the opening of a log, and of the handling of damage.

use wholly_core::wire::{Call, Operation};
use wholly_core::{BranchName, Payload, Transaction, TransactionId, two_phase};

use super::Bug;
use crate::engine::{Input, Reply};
use crate::log::{Log, StoredTransaction};
use crate::outcome::{Aborted, AnyOutcome, Outcome};
use crate::replay::replay;
use crate::simulation::restored::PERSON;
use crate::simulation::storage::Instead;
use crate::simulation::world::World;

impl Bug {
    /// True if it shows only by a fault of the storage: those come last.
    pub(in crate::simulation) fn is_of_storage(self) -> bool {
        self >= Self::OlderCopyTakenUp
    }
}

impl World {
    /// True if another log in the log's place is opened as if nothing had been told.
    pub(in crate::simulation) fn planted_opening(&self, what: Instead) -> bool {
        match self.bug {
            Some(Bug::OlderCopyTakenUp) => what == Instead::OlderCopy,
            Some(Bug::OtherLogTakenUp) => what == Instead::OtherLog,
            Some(Bug::NewLogTakenUp) => what == Instead::NewLog,
            _ => false,
        }
    }

    /// Takes up the entries of a damaged transaction before the damage, as if there were no others.
    pub(super) fn planted_damage(&self, stored: StoredTransaction) -> Option<StoredTransaction> {
        if self.bug != Some(Bug::DamagedEntryDropped) || stored.damage.is_none() {
            return Some(stored);
        }
        let before = (0..).zip(stored.entries).take_while(|(nth, entry)| entry.sequence == *nth);
        let entries: Vec<_> = before.map(|(_, entry)| entry).collect();
        (!entries.is_empty()).then_some(StoredTransaction { entries, damage: None, ..stored })
    }

    /// The reading of a damaged transaction by a participant in doubt.
    pub(in crate::simulation) fn planted_reading(
        &self,
        stored: StoredTransaction,
    ) -> Option<StoredTransaction> {
        (self.bug != Some(Bug::DamagedTransactionPresumedAborted)).then_some(stored)
    }

    /// Acts on damaged transactions as soon as they are quarantined.
    pub(in crate::simulation) fn planted_start(&mut self) {
        for id in self.storage.damaged.clone() {
            match self.bug {
                Some(Bug::DamagedTransactionAborted) => self.abort_damaged(id),
                Some(Bug::DamagedTransactionEnded) => {
                    let (reason, to) = ("nobody asked for it".to_owned(), (PERSON, 0));
                    self.input(Input::End { id, reason, sequence: 1_000, to });
                }
                _ => {}
            }
        }
    }

    fn abort_damaged(&mut self, id: TransactionId) {
        for branch in self.branches_of_damaged(id) {
            let who = self.called(branch.participant().as_str());
            let name = BranchName::from(branch.participant());
            let call = Call::new(id, name, Operation::Abort, Payload::null());
            self.leave(who, call, None, 1_000);
        }
    }

    /// The branches of a damaged transaction, by what was appended.
    fn branches_of_damaged(&self, id: TransactionId) -> Vec<two_phase::Branch> {
        let whole = self.log.restored(self.identity).open().expect("the log opens").reader;
        let stored = whole.history(id).expect("the log is readable");
        match stored.and_then(|stored| replay(&stored).ok()).map(|of| of.transaction) {
            Some(Transaction::TwoPhase(transaction)) => transaction.branches().to_vec(),
            Some(Transaction::Saga(_)) | None => Vec::new(),
        }
    }

    /// The reply to a client about a quarantined transaction.
    pub(in crate::simulation) fn planted_reply(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Outcome(AnyOutcome::Quarantined(id))
                if self.bug == Some(Bug::DamagedTransactionToldAborted)
                    && !self.ledger.sagas.contains_key(&id) =>
            {
                let reason = two_phase::AbortReason::Restarted;
                Reply::Outcome(AnyOutcome::TwoPhase(Outcome::Aborted(Aborted { id, reason })))
            }
            other => other,
        }
    }

    /// True if the key of this transaction is forgotten.
    pub(in crate::simulation) fn planted_forgetting(&self, stored: &StoredTransaction) -> bool {
        let is_unloaded = || {
            self.incarnation
                .as_ref()
                .is_some_and(|incarnation| incarnation.engine.is_unloaded(stored.id))
        };
        match self.bug {
            Some(Bug::KeyOfTheDamagedForgotten) => stored.damage.is_some(),
            Some(Bug::KeyOfTheUnloadedForgotten) => is_unloaded(),
            _ => false,
        }
    }
}
