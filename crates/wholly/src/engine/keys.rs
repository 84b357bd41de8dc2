//! Submitting is idempotent by the client's key.
//!
//! A key that no open transaction has is looked up in the log. While that goes on, others with the
//! same key queue behind the first, so that two who come at once never both begin.

use wholly_core::{Key, Timestamp, TransactionId};

use super::{Engine, NewTransaction, OpenState, Reply, Wait};
use crate::error::SubmitError;
use crate::log::ReadError;
use crate::outcome::AnyOutcome;
use crate::replay::{FoldedTransaction, ReplayError, Replayed};

/// What the loop knows of a key.
pub(super) enum KeyState<W> {
    /// An open transaction has it.
    Open(TransactionId),
    /// The transaction that had it has ended, and what it recorded last is not durable yet: the
    /// log cannot be asked before that. These wait to ask.
    Ended(Vec<(NewTransaction, Wait, W)>),
    /// The log is being asked; these wait for its answer.
    LookingUp(Vec<(NewTransaction, Wait, W)>),
}

impl<W> Engine<W> {
    /// Begins the transaction, or joins the one that was begun with its key.
    pub(super) fn submit_by_key(
        &mut self,
        key: Key,
        submission: NewTransaction,
        wait: Wait,
        to: W,
        now: Timestamp,
    ) {
        let known = self.keys.len();
        match self.keys.get_mut(&key) {
            Some(KeyState::LookingUp(queue)) => queue.push((submission, wait, to)),
            Some(KeyState::Ended(queue)) => {
                queue.push((submission, wait, to));
                self.commit.want();
            }
            Some(&mut KeyState::Open(id)) => match self.is_same(id, &submission) {
                true => self.wait(id, wait, to, now),
                false => self.reply(to, Reply::NotAccepted(SubmitError::KeyReused { key, id })),
            },
            // What is looked up is bounded, too; a retry that is refused here may come again.
            None if known >= self.settings.in_flight_limit => {
                let in_flight = self.open.len();
                self.reply(to, Reply::NotAccepted(SubmitError::Overloaded { in_flight }));
            }
            None => {
                self.outputs.lookups.push(submission.lookup(key.clone()));
                self.keys.insert(key, KeyState::LookingUp(vec![(submission, wait, to)]));
            }
        }
    }

    /// What the transactions with these keys recorded last is durable: the log may be asked.
    pub(super) fn look_up_ended(&mut self, keys: Vec<Key>) {
        for key in keys {
            match self.keys.remove(&key) {
                Some(KeyState::Ended(queue)) => {
                    let Some((first, ..)) = queue.first() else { continue };
                    self.outputs.lookups.push(first.lookup(key.clone()));
                    self.keys.insert(key, KeyState::LookingUp(queue));
                }
                None => {}
                Some(other) => _ = self.keys.insert(key, other),
            }
        }
    }

    /// The log has answered: the first who waited begins, or all of them get what was found.
    pub(super) fn found(
        &mut self,
        key: Key,
        found: Result<Option<FoldedTransaction>, ReadError>,
        now: Timestamp,
    ) {
        // What was looked for may have been loaded meanwhile, and its key leads to it.
        if !matches!(self.keys.get(&key), Some(KeyState::LookingUp(_))) {
            return;
        }
        let Some(KeyState::LookingUp(queue)) = self.keys.remove(&key) else { return };
        if let Ok(Some(stored)) = &found
            && let Some(other) = stored.key.clone().filter(|other| *other != key)
        {
            // It goes on while the log is read: its own key says how it stands now.
            for (submission, wait, to) in queue {
                self.submit_by_key(other.clone(), submission, wait, to, now);
            }
            return;
        }
        match found {
            Ok(None) => {
                for (submission, wait, to) in queue {
                    match submission.key.clone() {
                        Some(own) if own != key || self.keys.contains_key(&own) => {
                            self.submit_by_key(own, submission, wait, to, now);
                        }
                        Some(_) | None => self.begin(submission, wait, to, now),
                    }
                }
            }
            // Set aside, and not even its key could be read: it is waited for like any other.
            Ok(Some(stored)) if self.open.contains_key(&stored.id) => {
                for (_, wait, to) in queue {
                    self.wait(stored.id, wait, to, now);
                }
            }
            Ok(Some(stored)) => {
                let (id, replayed) = (stored.id, stored.whole());
                for (submission, wait, to) in queue {
                    if self.unloaded.has(id) {
                        self.join_unloaded(&key, id, &replayed, &submission, wait, to);
                    } else {
                        let reply = what_was_found(&key, id, &replayed, &submission, wait);
                        self.reply(to, reply);
                    }
                }
            }
            Err(error) => {
                for (_, _, to) in queue {
                    let why = error.to_string();
                    self.reply(to, Reply::NotAccepted(SubmitError::Unavailable { why }));
                }
            }
        }
    }

    /// Joins a caller to a transaction that has not ended and is not loaded.
    fn join_unloaded(
        &mut self,
        key: &Key,
        id: TransactionId,
        replayed: &Result<Replayed, ReplayError>,
        submission: &NewTransaction,
        wait: Wait,
        to: W,
    ) {
        let unsettled = match replayed {
            Ok(replayed) if is_other(submission, replayed) => {
                let error = SubmitError::KeyReused { key: key.clone(), id };
                return self.reply(to, Reply::NotAccepted(error));
            }
            Ok(replayed) => AnyOutcome::unsettled(id, &replayed.transaction),
            Err(_) => AnyOutcome::Quarantined(id),
        };
        match wait {
            Wait::Settled { until } => {
                self.wait_unloaded(id, until, Reply::Outcome(unsettled), to);
            }
            Wait::Accepted | Wait::Recorded => self.reply(to, Reply::Accepted(id)),
        }
    }

    fn is_same(&self, id: TransactionId, submission: &NewTransaction) -> bool {
        match self.open.get(&id).map(|open| &open.part) {
            Some(OpenState::Live(transaction)) => submission.proposal.is_same_as(transaction, true),
            // What cannot be read cannot be compared; the client learns its id and its state.
            Some(OpenState::Unusable | OpenState::Ended) | None => true,
        }
    }
}

/// True if a submission says something else than the transaction with its key.
fn is_other(submission: &NewTransaction, begun: &Replayed) -> bool {
    !submission.proposal.is_same_as(&begun.transaction, !begun.payloads_removed)
}

/// The reply of a transaction that has ended, or that cannot be read.
fn what_was_found(
    key: &Key,
    id: TransactionId,
    replayed: &Result<Replayed, ReplayError>,
    submission: &NewTransaction,
    wait: Wait,
) -> Reply {
    match replayed {
        Ok(replayed) if is_other(submission, replayed) => {
            return Reply::NotAccepted(SubmitError::KeyReused { key: key.clone(), id });
        }
        // INVARIANT: the loop knows of all that have not ended.
        Ok(replayed) if !replayed.transaction.is_settled() => {
            tracing::error!(transaction = %id, "the transaction is unsettled in the log, but not in flight");
            let why = format!("the transaction {id} is unsettled in the log, but not in flight");
            return Reply::NotAccepted(SubmitError::Unavailable { why });
        }
        Ok(_) | Err(_) => {}
    }
    match (wait, replayed) {
        (Wait::Settled { .. }, Ok(replayed)) => Reply::Outcome(AnyOutcome::of_stored(id, replayed)),
        // Nobody works on it any more: who waits would wait in vain.
        (Wait::Settled { .. }, Err(_)) => {
            Reply::NotAccepted(SubmitError::Quarantined { key: key.clone(), id })
        }
        (Wait::Accepted | Wait::Recorded, _) => Reply::Accepted(id),
    }
}
