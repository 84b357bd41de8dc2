//! Who can be called, and for how many transactions each owes an answer.
//!
//! A participant that hangs keeps what touches it in flight past every deadline, for its aborts hang,
//! too. In the end that would fill the room of all. So a transaction that names a participant is
//! refused while that one owes answers for as many as its share lets it: its own limit
//! ([`Slots::with_in_flight_limit`](crate::Slots::with_in_flight_limit)), or
//! [`Settings::in_flight_limit_per_participant`]. Whom a transaction names is asked for room when it
//! begins, those of a saga's last steps, too.
//!
//! INVARIANT: only who is waited for is counted. Who has voted, or has done its step, or is to do
//! one whose turn has not come, owes nothing while another one hangs: what names the first and not
//! the second is taken.
//!
//! INVARIANT: the counts follow from the open transactions alone, and those that were
//! [unloaded](super::unloaded) since; after a restart, from what is durable of them.
//!
//! The same holds of the [bytes](super::room) that those transactions take: at most half of the limit
//! for one participant.
//!
//! # A count may exceed its share
//!
//! What was taken while there was room is not dropped when it comes to who has none any more: a
//! saga to its step, a branch that had voted to its commit. To have room kept for them from the
//! beginning would let a hang spread, against the first law: sagas that wait for who hangs would
//! fill the shares of those whose steps come after it, or whose compensations may, and what touches
//! only those would be refused. What exceeds is bounded: all of it was in flight, waiting for
//! others, when the share was reached, for nothing that names a full one begins. That is at most
//! what the shares of those others let in, and in all `in_flight_limit`. It comes once and does not
//! grow. Who wants room to be left even then sets shares that are together less than
//! `in_flight_limit`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustc_hash::FxHashMap;
use wholly_core::{Target, Timestamp, Transaction, TransactionId};

use super::{Engine, Open, OpenState};
use crate::Settings;
use crate::error::SubmitError;
use crate::last_answer::LastAnswer;
use crate::meter::{LastHeard, Meter};

/// On which terms somebody is here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// It offers one-phase commit.
    pub one_phase: bool,
    /// For how many transactions it may owe an answer, if that is its own.
    pub in_flight_limit: Option<usize>,
}

/// Somebody who is here, or whom a transaction names that the log held.
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
    /// For how many transactions it is waited for.
    owes: usize,
    /// How many bytes those take.
    owed_bytes: usize,
    /// Where that is shown, if it is here.
    shown: Arc<AtomicU64>,
    /// Where it is shown what it said last, if it is here.
    said: Arc<LastHeard>,
}

impl Targets {
    /// Somebody is here; whether another one was in its place.
    pub fn register(&mut self, target: Target, terms: Terms, meter: &Meter) -> bool {
        let (shown, said) = (meter.owed_by(&target), meter.said_by(&target));
        let Who(place) = self.who(target);
        let known = &mut self.known[place as usize];
        (known.shown, known.said) = (shown, said);
        known.show();
        known.terms.replace(terms).is_some()
    }

    /// Where somebody is counted who is here or is to come.
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

    /// Refuses what names somebody who owes as many answers as it may, or for as many bytes.
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

    /// Shows what somebody said last, and when it is asked again if it is to be.
    pub fn heard(&self, Who(place): Who, answer: LastAnswer, next_at: Option<Timestamp>) {
        self.known[place as usize].said.heard(answer, next_at);
    }

    /// Who is here by that name, and on which terms.
    fn find(&self, target: &Target) -> Option<(&TargetEntry, Terms)> {
        let &Who(place) = self.places.get(target)?;
        let known = &self.known[place as usize];
        Some((known, known.terms?))
    }

    /// It owes an answer for a transaction of so many bytes, or no longer does.
    pub fn count(&mut self, Who(place): Who, owes: bool, bytes: usize) {
        let known = &mut self.known[place as usize];
        if owes {
            (known.owes, known.owed_bytes) = (known.owes + 1, known.owed_bytes + bytes);
        } else {
            (known.owes, known.owed_bytes) = (known.owes - 1, known.owed_bytes - bytes);
        }
        known.show();
    }

    /// A transaction for which it owes an answer takes so many bytes now.
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
    /// What a transaction waits for may have changed: counts anew who owes it an answer, and what it
    /// takes.
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
            // A transaction counts once for each, however many steps of it wait for the same.
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
    /// Counts from nothing who owes answers and what is taken; what differs from what was counted all
    /// along.
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
