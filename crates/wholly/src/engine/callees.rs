//! Who can be called, and for how many transactions each owes an answer.
//!
//! A participant that hangs keeps what touches it in flight past every deadline, for its aborts hang,
//! too. In the end that would fill the room of all. So a transaction that names a participant is
//! refused while that one owes answers for as many as
//! [`Settings::in_flight_limit_per_participant`] lets it.
//!
//! INVARIANT: only who is waited for is counted. Who has voted, or has done its step, owes nothing
//! while another one hangs: what names the first and not the second is taken.
//!
//! INVARIANT: the counts follow from the open transactions alone, so a restart finds the same. They
//! may exceed the limit, for what was accepted is never dropped: sagas that began before may all
//! come to a step of one that hangs.

use rustc_hash::FxHashMap;
use wholly_core::{Callee, Transaction, TransactionId};

use super::{Engine, Open, Part};
use crate::Settings;
use crate::error::SubmitError;

/// Somebody who is here, or whom a transaction names that the log held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who(u32);

#[derive(Default)]
pub(super) struct Callees {
    /// Hashed fast: the configuration names them.
    places: FxHashMap<Callee, Who>,
    known: Vec<Known>,
}

#[derive(Default)]
struct Known {
    /// Whether it offers one-phase commit, if it is here.
    one_phase: Option<bool>,
    /// For how many transactions it is waited for.
    owes: usize,
}

impl Callees {
    /// Somebody is here; whether another one was in its place.
    pub fn register(&mut self, callee: Callee, one_phase: bool) -> bool {
        let Who(place) = self.who(callee);
        self.known[place as usize].one_phase.replace(one_phase).is_some()
    }

    /// Where somebody is counted who is here or is to come.
    pub fn who(&mut self, callee: Callee) -> Who {
        let known = &mut self.known;
        *self.places.entry(callee).or_insert_with(|| {
            known.push(Known::default());
            Who((known.len() - 1) as u32)
        })
    }

    pub fn is_here(&self, Who(place): Who) -> bool {
        self.known[place as usize].one_phase.is_some()
    }

    pub fn has(&self, callee: &Callee) -> bool {
        self.find(callee).is_some()
    }

    pub fn offers_one_phase(&self, callee: &Callee) -> bool {
        self.find(callee).is_some_and(|known| known.one_phase == Some(true))
    }

    /// Refuses what names somebody who owes as many answers as it may.
    pub fn check_room(&self, callee: &Callee, settings: &Settings) -> Result<(), SubmitError> {
        match self.find(callee).map_or(0, |known| known.owes) {
            owed if owed < settings.share() => Ok(()),
            owed => Err(SubmitError::ParticipantOverloaded { callee: callee.clone(), owed }),
        }
    }

    /// Who is here by that name.
    fn find(&self, callee: &Callee) -> Option<&Known> {
        let &Who(place) = self.places.get(callee)?;
        Some(&self.known[place as usize]).filter(|known| known.one_phase.is_some())
    }

    fn count(&mut self, Who(place): Who, owes: bool) {
        let count = &mut self.known[place as usize].owes;
        *count = if owes { *count + 1 } else { *count - 1 };
    }
}

impl<W> Engine<W> {
    /// What a transaction waits for may have changed: counts anew who owes it an answer.
    pub(super) fn count_owed(&mut self, id: TransactionId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.count_owed(&mut self.callees);
        }
    }
}

impl<W> Open<W> {
    fn count_owed(&mut self, callees: &mut Callees) {
        let live = match &self.part {
            Part::Live(transaction) if !self.held => Some(transaction),
            Part::Live(_) | Part::SetAside { .. } => None,
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
                callees.count(who, owes);
            }
        }
    }
}

#[cfg(test)]
impl<W> Engine<W> {
    /// Counts from nothing who owes answers; what differs from what was counted all along.
    pub(crate) fn miscounted(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (callee, &Who(place)) in &self.callees.places {
            let owes = |open: &&Open<W>| match &open.part {
                Part::Live(of) if !open.held => {
                    of.effects().any(|effect| of.callee(effect.branch).as_ref() == Some(callee))
                }
                _ => false,
            };
            let (owed, counted) =
                (self.open.values().filter(owes).count(), self.callees.known[place as usize].owes);
            if owed != counted {
                wrong.push(format!("{callee} owes {owed}, and {counted} are counted"));
            }
        }
        wrong.sort_unstable();
        wrong
    }
}
