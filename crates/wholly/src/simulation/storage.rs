//! What storage does to the log while the coordinator is down, and what an operator does about it.
//!
//! Another log may lie in its place: an older copy, a log of another coordinator, one that was made
//! anew. The world remembers what was told to be durable, as the coordinator does while it runs and
//! the log's side file does after that. None of these may be taken up; the log is back later.
//!
//! Entries may be damaged. What became of a damaged transaction is not known: nothing is sent and
//! nothing recorded for it, and nobody is told how it ended. An operator stops the coordinator and
//! puts the storage right, and all goes on as after any restart. That an operator ends what cannot
//! be repaired is left to the tests of the coordinator: nobody promises how its participants end.

use std::collections::BTreeSet;

use wholly_core::{LogId, TransactionId, entry};

use super::participants::Held;
use super::seen::Seen;
use super::world::{Event, World};
use super::wrong::{Check, Wrong, ensure};
use crate::coordinator::decision::{decided, presumed};
use crate::engine::Minted;
use crate::log::memory::MemoryLog;
use crate::log::{Log, OpenError, OpenLog, Told};

/// The identity of a log that nobody has asked for.
const OTHER: LogId = LogId::from_bits(3);

/// How long an operator takes to put the storage right, at most.
const REPAIRED_AFTER: u64 = 5_000;

/// What is known of the storage.
pub struct Storage {
    /// The log's identity, and the last batch that was told to be durable.
    pub told: Told,
    /// A copy that was made some time ago.
    copy: Option<MemoryLog>,
    /// The transactions that have damaged entries.
    pub damaged: BTreeSet<TransactionId>,
}

/// What lies in the log's place instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    OlderCopy,
    OtherLog,
    NewLog,
}

impl Storage {
    pub fn of(log: &MemoryLog) -> Self {
        let OpenLog { identity, head, .. } = log.open().expect("the log opens");
        Self { told: Told { identity, head }, copy: None, damaged: BTreeSet::new() }
    }
}

impl World {
    /// Copies are made now and then, and some come back.
    pub fn plan_copies(&mut self, faults_for: u64) {
        for _ in 0..self.below(4) {
            let after = self.below(faults_for);
            self.at(after, Event::Copy);
        }
    }

    pub fn copy_log(&mut self) {
        self.note(|| "copy".to_owned());
        self.storage.copy = Some(self.log.restored(self.storage.told.identity));
    }

    /// Opens the log as the driver does, or what lies in its place; that must be refused, and is
    /// tried again.
    pub fn open_log(&mut self) -> Option<OpenLog> {
        let faulty = self.now < self.faults_until;
        if faulty && self.chance(20) {
            self.damage();
        }
        let instead = if faulty && self.chance(15) { self.instead() } else { None };
        let Some((what, other)) = instead else {
            let open = self.log.reopen(self.storage.told);
            return open.map_err(|error| self.refused(&error)).ok();
        };
        let opened = match self.planted_opening(what) {
            true => other.open(),
            false => other.reopen(self.storage.told),
        };
        self.note(|| format!("{what:?} lies in the log's place: {:?}", opened.as_ref().err()));
        match opened {
            Err(OpenError::Changed { .. }) => {
                *self.seen.refused_instead(what) += 1;
                let after = self.below(1_000);
                self.at(after, Event::StartCoordinator);
                None
            }
            Err(error) => {
                self.refused(&error);
                None
            }
            Ok(open) => {
                let told = self.storage.told;
                self.note_at_once(Check::Reopened, || {
                    format!("{what:?} was taken up for {told:?}")
                });
                (self.log, self.identity) = (other, open.identity);
                Some(open)
            }
        }
    }

    fn refused(&mut self, error: &OpenError) {
        self.note_wrong(Err(Wrong { check: Check::Log, what: error.to_string() }));
    }

    /// What lies in the log's place: only what is not the log as it was told.
    fn instead(&mut self) -> Option<(Instead, MemoryLog)> {
        let told = self.storage.told;
        match self.below(3) {
            0 => {
                let copy = self.storage.copy.clone()?;
                let of_copy = Storage::of(&copy).told;
                let is_older = of_copy.identity == told.identity && of_copy.head < told.head;
                is_older.then_some((Instead::OlderCopy, copy))
            }
            1 => Some((Instead::OtherLog, self.log.restored(OTHER))),
            _ => Some((Instead::NewLog, MemoryLog::new(OTHER))),
        }
    }

    /// An entry of one or two transactions that have not ended is damaged.
    fn damage(&mut self) {
        let reader = self.log.open().expect("the log opens").reader;
        let mut unsettled = reader.unsettled(None, usize::MAX).expect("the log is readable");
        unsettled.retain(|stored| stored.damage.is_none());
        for _ in 0..1 + self.below(2) {
            if unsettled.is_empty() {
                return;
            }
            let nth = self.below(unsettled.len() as u64) as usize;
            let stored = unsettled.swap_remove(nth);
            let last = stored.entries.len() - 1;
            let nth = match self.below(3) {
                0 => 0,
                1 => last,
                _ => self.below(last as u64 + 1) as usize,
            };
            let (id, damaged) = (stored.id, &stored.entries[nth]);
            self.note(|| format!("entry {nth} of {id} is damaged"));
            self.log.damage(id, damaged.sequence);
            self.storage.damaged.insert(id);
            let records = entry::decode(&damaged.text).expect("the log is readable");
            let decides = records.iter().any(|(_, record)| record.is_decision());
            self.seen.damaged_decisions += u64::from(decides);
            self.seen.damaged_starts += u64::from(nth == 0);
            self.seen.damaged_later += u64::from(nth > 0);
            let after = self.below(REPAIRED_AFTER);
            self.at(after, Event::Repair);
        }
    }

    /// An operator stops the coordinator, and puts the storage right.
    pub fn repair(&mut self) {
        if self.storage.damaged.is_empty() {
            return;
        }
        self.crash("stopped, and the storage is put right");
        self.log.repair();
        self.seen.repaired += 1;
        self.storage.damaged.clear();
    }

    /// INVARIANT: what is damaged is set aside from the start, and who is in doubt about it is told
    /// no decision.
    pub fn check_set_aside(&mut self) {
        let Some(life) = &mut self.life else { return };
        let stuck = life.engine.stuck_at_start();
        for id in self.storage.damaged.clone() {
            if !stuck.iter().any(|(stuck, _)| *stuck == id) {
                self.note_at_once(Check::Damaged, || format!("{id} is damaged, and not set aside"));
            }
            self.ask_in_doubt(id);
        }
        self.check_stuck(stuck);
    }

    fn ask_in_doubt(&mut self, id: TransactionId) {
        let in_doubt =
            self.participants.iter().any(|p| p.branches.get(&id) == Some(&Held::Prepared));
        let Some(life) = self.life.as_ref().filter(|_| in_doubt) else { return };
        let stored = life.reader.history(id).expect("the log is readable");
        let minted = Minted { identity: self.identity, last_ordinal: id.ordinal() };
        let told = match stored.and_then(|stored| self.planted_history(stored)) {
            Some(stored) => decided(&stored),
            None => presumed(id, Some(minted), 0),
        };
        self.seen.damaged_in_doubt += 1;
        if !matches!(told, Ok(None)) {
            self.note_at_once(Check::Damaged, || {
                format!("{id} is damaged, and who is in doubt about it is told {told:?}")
            });
        }
    }

    /// INVARIANT: nothing is done for what is damaged.
    pub fn must_be_whole(&mut self, id: TransactionId, what: &str) {
        if self.storage.damaged.contains(&id) {
            self.note_at_once(Check::Damaged, || format!("{id} is damaged, and {what}"));
        }
    }

    /// Notes what is wrong, unless it is to be caught by what follows from it.
    fn note_at_once(&mut self, check: Check, what: impl FnOnce() -> String) {
        let found = ensure(self.by_consequences, check, what);
        self.note_wrong(found);
    }
}

impl Seen {
    fn refused_instead(&mut self, what: Instead) -> &mut u64 {
        match what {
            Instead::OlderCopy => &mut self.older_copies_refused,
            Instead::OtherLog => &mut self.other_logs_refused,
            Instead::NewLog => &mut self.new_logs_refused,
        }
    }
}
