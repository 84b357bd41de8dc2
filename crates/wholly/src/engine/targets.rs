//! The targets that can be called, and the number of transactions for which each owes an answer.
//!
//! A participant that hangs keeps its transactions in flight past every deadline, for its aborts
//! hang, too. In the end that would fill the room of all. So a transaction that names a participant
//! is refused while that one owes answers for as many as its share allows: its own limit
//! ([`Slots::with_in_flight_limit`](crate::Slots::with_in_flight_limit)), or
//! [`Settings::in_flight_limit_per_participant`]. The check is made when a transaction begins, for
//! every target that it names, those of a saga's last steps included.
//!
//! INVARIANT: only a target that is waited for is counted. One that has voted, or has done its
//! step, or has a step whose turn has not come, owes nothing while another one hangs: a transaction
//! that names the first and not the second is taken.
//!
//! INVARIANT: the counts follow from the open transactions alone, and those that were
//! [unloaded](super::unloaded) since; after a restart, from what is durable of them.
//!
//! The same holds of the [bytes](super::room) that those transactions take: at most half of the
//! limit for one participant.
//!
//! # A count may exceed its share
//!
//! A transaction that was taken is not dropped when it comes to a target without room: a saga to
//! its step, a branch that had voted to its commit. To keep room for them from the beginning would
//! let a hang spread, against the first law: sagas that wait for a target that hangs would fill the
//! shares of the targets of their later steps or compensations, and transactions that touch only
//! those would be refused. The excess is bounded: all of it was in flight, waiting for others, when
//! the share was reached, for no transaction that names a full target begins. That is at most what
//! the shares of those others let in, and in all `in_flight_limit`. It comes once and does not
//! grow. Shares that are together less than `in_flight_limit` leave room even then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustc_hash::FxHashMap;
use wholly_core::{Target, Timestamp, Transaction, TransactionId};

use super::{Engine, Open, OpenState};
use crate::Settings;
use crate::error::SubmitError;
use crate::last_answer::LastAnswer;
use crate::meter::{LastHeard, Meter};

/// The terms on which a target is registered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// True if it offers one-phase commit.
    pub one_phase: bool,
    /// Its own limit of the transactions for which it may owe an answer, if it has one.
    pub in_flight_limit: Option<usize>,
}

/// A target that is registered, or that a transaction from the log names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who(u32);

#[derive(Default)]
pub(super) struct Targets {
    /// Hashed fast: the configuration names them.
    places: FxHashMap<Target, Who>,
    known: Vec<TargetEntry>,
}

#[derive(Default)]
struct TargetEntry {
    /// If it is here.
    terms: Option<Terms>,
    /// The number of transactions that wait for it.
    owes: usize,
    /// The bytes that those take.
    owed_bytes: usize,
    /// The measure that shows `owes`, if it is registered.
    shown: Arc<AtomicU64>,
    /// The measure that shows its last answer, if it is registered.
    said: Arc<LastHeard>,
}

impl Targets {
    /// Registers a target; true if it replaced another one.
    pub fn register(&mut self, target: Target, terms: Terms, meter: &Meter) -> bool {
        let (shown, said) = (meter.owed_by(&target), meter.said_by(&target));
        let Who(place) = self.who(target);
        let known = &mut self.known[place as usize];
        (known.shown, known.said) = (shown, said);
        known.show();
        known.terms.replace(terms).is_some()
    }

    /// The place in the counts of a target that is registered or may come.
    pub fn who(&mut self, target: Target) -> Who {
        let known = &mut self.known;
        *self.places.entry(target).or_insert_with(|| {
            known.push(TargetEntry::default());
            Who((known.len() - 1) as u32)
        })
    }

    pub fn is_here(&self, Who(place): Who) -> bool {
        self.known[place as usize].terms.is_some()
    }

    pub fn has(&self, target: &Target) -> bool {
        self.find(target).is_some()
    }

    pub fn offers_one_phase(&self, target: &Target) -> bool {
        self.find(target).is_some_and(|(_, terms)| terms.one_phase)
    }

    /// Refuses a transaction that names a target at its limit of owed answers, or of their bytes.
    pub fn check_room(
        &self,
        target: &Target,
        bytes: usize,
        settings: &Settings,
        share_bytes: usize,
    ) -> Result<(), SubmitError> {
        let Some((&TargetEntry { owes: owed, owed_bytes, .. }, terms)) = self.find(target) else {
            return Ok(());
        };
        let target = || target.clone();
        if owed >= settings.share(terms.in_flight_limit) {
            return Err(SubmitError::ParticipantOverloaded { target: target(), owed });
        }
        if owed > 0 && owed_bytes.saturating_add(bytes) > share_bytes {
            let limit_bytes = share_bytes;
            return Err(SubmitError::ParticipantOutOfRoom {
                target: target(),
                owed_bytes,
                limit_bytes,
            });
        }
        Ok(())
    }

    /// Shows the last answer of a target, and when it is asked again if it is to be.
    pub fn heard(&self, Who(place): Who, answer: LastAnswer, next_at: Option<Timestamp>) {
        self.known[place as usize].said.heard(answer, next_at);
    }

    /// The target with this name and its terms, if it is registered.
    fn find(&self, target: &Target) -> Option<(&TargetEntry, Terms)> {
        let &Who(place) = self.places.get(target)?;
        let known = &self.known[place as usize];
        Some((known, known.terms?))
    }

    /// Counts that a target owes an answer for a transaction of this size, or no longer does.
    pub fn count(&mut self, Who(place): Who, owes: bool, bytes: usize) {
        let known = &mut self.known[place as usize];
        if owes {
            (known.owes, known.owed_bytes) = (known.owes + 1, known.owed_bytes + bytes);
        } else {
            (known.owes, known.owed_bytes) = (known.owes - 1, known.owed_bytes - bytes);
        }
        known.show();
    }

    /// Counts the new size of a transaction for which a target owes an answer.
    pub fn resize(&mut self, Who(place): Who, before: usize, after: usize) {
        let known = &mut self.known[place as usize];
        known.owed_bytes = known.owed_bytes - before + after;
    }
}

impl TargetEntry {
    fn show(&self) {
        self.shown.store(self.owes as u64, Relaxed);
    }
}

impl<W> Engine<W> {
    /// Counts anew the targets that owe a transaction an answer, and its bytes: what it waits for
    /// may have changed.
    pub(super) fn count_owed(&mut self, id: TransactionId) {
        self.count_bytes(id);
        if let Some(open) = self.open.get_mut(&id) {
            open.count_owed(&mut self.targets);
        }
    }
}

impl<W> Open<W> {
    fn count_owed(&mut self, targets: &mut Targets) {
        let live = match &self.part {
            OpenState::Live(transaction) if !self.quarantined => Some(transaction),
            OpenState::Live(_) | OpenState::Unusable | OpenState::Ended => None,
        };
        // In the order of the branches or steps.
        let effects = live.into_iter().flat_map(Transaction::effects);
        let mut owed = effects.map(|effect| usize::from(effect.branch)).peekable();
        for branch in 0..self.attempts.len() {
            let owes = owed.next_if_eq(&branch).is_some();
            if self.attempts[branch].owes == owes {
                continue;
            }
            let who = self.attempts[branch].who;
            // A transaction counts once for each target, however many of its steps wait for it.
            let other_steps = self.attempts[..branch].iter().chain(&self.attempts[branch + 1..]);
            let counts = other_steps.into_iter().any(|other| other.owes && other.who == who);
            self.attempts[branch].owes = owes;
            if !counts {
                targets.count(who, owes, self.permit.bytes);
            }
        }
    }
}

#[cfg(test)]
impl<W> Engine<W> {
    /// Counts the owed answers and the memory from nothing; returns how the counts kept so far
    /// differ.
    pub(crate) fn miscounted(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let taken: usize = self.open.values().map(|open| open.permit.bytes).sum();
        if taken != self.room.used() {
            wrong.push(format!("{taken} bytes are taken, and {} are counted", self.room.used()));
        }
        for (target, &Who(place)) in &self.targets.places {
            let owes = |open: &&Open<W>| match &open.part {
                OpenState::Live(of) if !open.quarantined => {
                    of.effects().any(|effect| of.target(effect.branch).as_ref() == Some(target))
                }
                _ => false,
            };
            let bytes = self.open.values().filter(owes).map(|open| open.permit.bytes);
            let bytes = bytes.chain(self.unloaded.owed_by(Who(place)));
            let owed = bytes.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
            let TargetEntry { owes, owed_bytes, .. } = self.targets.known[place as usize];
            if owed != (owes, owed_bytes) {
                let counted = (owes, owed_bytes);
                wrong.push(format!("{target} owes {owed:?} (bytes), and {counted:?} are counted"));
            }
        }
        wrong.sort_unstable();
        wrong
    }
}
