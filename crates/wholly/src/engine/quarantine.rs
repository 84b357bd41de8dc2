//! What a restored copy of a log holds.
//!
//! A copy knows only what was there when it was made; the original may have gone on, and committed
//! what the copy has undecided. So the copy has an identity of its own, and what the old one left
//! unsettled is quarantined: shown, and neither sent, aborted nor turned back until an operator decides.
//!
//! The quarantine follows from the log alone: the id of the transaction carries the identity that
//! began it, and its record `released` the one under which an operator let it go on. So a copy of the
//! copy holds it again.

use std::sync::Arc;

use wholly_core::{Input, Timestamp, TransactionId};

use super::{Engine, Open, OpenState, Reply, Wait};
use crate::error::{CancelError, ResolveError};

/// What is shown of it.
pub(super) const WHY: &str = "it came with a restored copy of the log, and the original may have \
     gone on with it: nothing is sent until an operator retries, aborts or resolves it";

impl<W> Engine<W> {
    /// True if a transaction that the log had not settled came with a restored copy.
    pub(super) fn is_from_copy(&self, id: TransactionId, part: &OpenState) -> bool {
        let released = match part {
            OpenState::Live(transaction) => transaction.released(),
            OpenState::Unusable | OpenState::Ended => return false,
        };
        id.log() != self.identity && released != Some(self.identity)
    }

    /// Notes that a transaction is quarantined, which no record says, or no longer is. Readers learn
    /// of it with its last record.
    pub(super) fn note_quarantined(&mut self, id: TransactionId, why: Option<&str>) {
        let durable_with = self.commit.durable_with(id).unwrap_or(self.commit.durable());
        self.quarantine_changes.push((durable_with, (id, why.map(Arc::from))));
    }

    /// An operator resolved all of a transaction without letting it go on.
    pub(super) fn settled_in_quarantine(&mut self, id: TransactionId) {
        self.note_quarantined(id, None);
        let durable_with = self.commit.durable_with(id).unwrap_or(self.commit.durable());
        self.stuck_changes.push((durable_with, (id, None)));
    }

    /// Tells who is quarantined, or no longer is, once that is durable.
    pub(super) fn tell_quarantined(&mut self) {
        let durable = self.commit.durable();
        let told = self.quarantine_changes.extract_if(.., |(at, _)| *at <= durable);
        self.outputs.quarantined.extend(told.map(|(_, change)| change));
    }

    /// The quarantined transactions, ascending.
    #[cfg(test)]
    pub fn quarantined_ids(&self) -> impl Iterator<Item = TransactionId> {
        let held = self.open.iter().filter(|(_, open)| open.quarantined).map(|(id, _)| *id);
        held.collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// Asks everything that is outstanding again; what is quarantined goes on as after a restart.
    pub(super) fn release(&mut self, id: TransactionId, reason: &str, to: W, now: Timestamp) {
        if !self.open.get(&id).is_some_and(|open| open.quarantined) {
            return self.retry(id, to, now);
        }
        match self.let_go_on(id, reason, now) {
            Ok(()) => {
                self.step(id, &Input::Restarted, now);
                self.wait(id, Wait::Recorded, to, now);
            }
            Err(broken) => self.reply(to, Reply::NotResolved(broken)),
        }
    }

    /// An operator's wish to abort is a decision: it is recorded, and carried out.
    pub(super) fn cancel_quarantined(
        &mut self,
        id: TransactionId,
        reason: &str,
        to: W,
        now: Timestamp,
    ) {
        let Some(Open { part: OpenState::Live(transaction), .. }) = self.open.get(&id) else {
            return self.reply(to, Reply::NotCancelled(CancelError::Quarantined { id }));
        };
        // What cannot be aborted stays quarantined.
        if let Err(error) = transaction.clone().cancel(reason, now) {
            return self.tell(id, Reply::NotCancelled(CancelError::from_core(id, error)), to, now);
        }
        match self.let_go_on(id, reason, now) {
            Ok(()) => self.cancel(id, reason, to, now),
            Err(_) => self.reply(to, Reply::NotCancelled(CancelError::Quarantined { id })),
        }
    }

    fn let_go_on(
        &mut self,
        id: TransactionId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), ResolveError> {
        let identity = self.identity;
        let Some(open) = self.open.get_mut(&id) else {
            return Err(ResolveError::NotInFlight { id });
        };
        open.quarantined = false;
        let OpenState::Live(transaction) = &mut open.part else {
            return Err(ResolveError::Quarantined { id });
        };
        match transaction.release(identity, reason) {
            Ok(records) => {
                self.record(id, records, now);
                self.note_quarantined(id, None);
            }
            Err(broken) => {
                self.quarantine(id, &broken, now);
                return Err(ResolveError::Quarantined { id });
            }
        }
        self.note_stuck(id, now);
        Ok(())
    }
}
