//! Faults of the storage while the coordinator is down, and their repair by an operator.
//!
//! Another log may lie in its place: an older copy, a log of another coordinator, one that was made
//! anew. The world remembers what was told to be durable, as the coordinator does while it runs and
//! the log's side file does after that. None of these may be taken up; the log is back later.
//!
//! Entries may be damaged. The fate of a damaged transaction is not known: nothing is sent and
//! nothing recorded for it, and nobody is told how it ended. An operator stops the coordinator and
//! repairs the storage, and all goes on as after any restart. An operator's end of a transaction
//! beyond repair is left to the coordinator's tests: nobody promises how its participants end.

use std::collections::BTreeSet;

use wholly_core::two_phase::Decision;
use wholly_core::{LogId, TransactionId, entry};

use super::participants::{Held, Participant};
use super::planted::Bug;
use super::seen::Seen;
use super::world::{World, WorldEvent};
use super::wrong::{Check, Wrong, ensure};
use crate::engine::Minted;
use crate::log::listing::{Query, Row};
use crate::log::memory::MemoryLog;
use crate::log::{
    KnownLog, Log, OpenError, OpenLog, StoredEntry, StoredTransaction, first_unsettled,
};
use crate::reader::{decided, presumed};

/// The identity of a log that nobody has asked for.
const OTHER: LogId = LogId::from_bits(3);

/// The longest time that an operator takes to repair the storage.
const REPAIRED_AFTER: u64 = 5_000;

/// The state of the storage.
pub struct Storage {
    /// The log's identity, and the last batch that was told to be durable.
    pub told: KnownLog,
    /// A copy that was made some time ago.
    copy: Option<MemoryLog>,
    /// The transactions that have damaged entries.
    pub damaged: BTreeSet<TransactionId>,
}

/// A log that lies in the true log's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    OlderCopy,
    OtherLog,
    NewLog,
}

impl Storage {
    pub fn of(log: &MemoryLog) -> Self {
        let OpenLog { identity, head, .. } = log.open().expect("the log opens");
        Self { told: KnownLog { identity, head }, copy: None, damaged: BTreeSet::new() }
    }
}

impl World {
    /// Copies are made now and then, and some come back.
    pub fn plan_copies(&mut self, faults_for: u64) {
        for _ in 0..1 + self.below(4) {
            let after = self.below(faults_for);
            self.at(after, WorldEvent::Copy);
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
        // Storage is worse for a mutation that shows only by it.
        let worse = if self.bug.is_some_and(Bug::is_of_storage) { 3 } else { 1 };
        if faulty && self.chance(20 * worse) {
            self.damage();
        }
        let instead = if faulty && self.chance(15 * worse) { self.instead() } else { None };
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
                self.at(after, WorldEvent::StartCoordinator);
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

    /// Returns another log for the log's place: only one that is not the log as it was told.
    fn instead(&mut self) -> Option<(Instead, MemoryLog)> {
        let told = self.storage.told;
        match self.below(4) {
            0 | 1 => {
                let copy = self.storage.copy.clone()?;
                let of_copy = Storage::of(&copy).told;
                let is_older = of_copy.identity == told.identity && of_copy.head < told.head;
                is_older.then_some((Instead::OlderCopy, copy))
            }
            2 => Some((Instead::OtherLog, self.log.restored(OTHER))),
            _ => Some((Instead::NewLog, MemoryLog::new(OTHER))),
        }
    }

    /// An entry of one or two transactions is damaged, mostly of such as have not ended.
    fn damage(&mut self) {
        let reader = self.log.open().expect("the log opens").reader;
        let mut rows = reader.list(&Query::newest(usize::MAX)).expect("the log is readable").rows;
        let any = self.chance(20);
        rows.retain(|row| (any || !row.settled) && !self.storage.damaged.contains(&row.id));
        for _ in 0..1 + self.below(2) {
            if rows.is_empty() {
                return;
            }
            let nth = self.below(rows.len() as u64) as usize;
            let Row { id, settled, .. } = rows.swap_remove(nth);
            let stored = reader.history(id).expect("the log is readable").expect("it is listed");
            let entries = stored.entries.len();
            let nth = match self.below(3) {
                0 => 0,
                1 => entries - 1,
                _ => self.below(entries as u64) as usize,
            };
            self.note(|| format!("entry {nth} of {id} is damaged"));
            self.log.damage(id, stored.entries[nth].sequence);
            self.storage.damaged.insert(id);
            self.seen.count_damaged(nth, settled, &stored.entries[nth]);
            let after = self.below(REPAIRED_AFTER);
            self.at(after, WorldEvent::Repair);
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

    /// INVARIANT: a damaged transaction that has not ended is quarantined from the start.
    pub fn check_set_aside(&mut self) {
        let Some(incarnation) = &mut self.incarnation else { return };
        let stuck = incarnation.engine.stuck_at_start();
        let unsettled =
            first_unsettled(&*incarnation.reader, usize::MAX).expect("the log is readable");
        let loaded = |stored: &StoredTransaction| !incarnation.engine.is_unloaded(stored.id);
        let damaged = unsettled.into_iter().filter(loaded).filter(|stored| stored.damage.is_some());
        let damaged: Vec<_> = damaged.collect();
        self.seen.not_loaded_at_start += u64::from(incarnation.engine.unloaded() > 0);
        for stored in damaged {
            let id = stored.id;
            if !stuck.iter().any(|(stuck, _)| *stuck == id) {
                self.note_at_once(Check::Damaged, || {
                    format!("{id} is damaged, and not quarantined")
                });
            }
            self.ask_in_doubt(stored);
        }
        self.check_stuck(stuck);
    }

    /// INVARIANT: a participant in doubt about a damaged transaction is told no decision and waits.
    fn ask_in_doubt(&mut self, stored: StoredTransaction) {
        let id = stored.id;
        let is_prepared = |p: &Participant| p.branches.get(&id) == Some(&Held::Prepared);
        if !self.participants.iter().any(is_prepared) {
            return;
        }
        self.seen.damaged_in_doubt += 1;
        let told = match self.planted_reading(stored) {
            Some(stored) => decided(&stored),
            None => {
                let minted = Minted { identity: self.identity, last_ordinal: id.ordinal() };
                presumed(id, Some(minted), 0)
            }
        };
        if !matches!(told, Ok(None)) {
            self.note_at_once(Check::Damaged, || {
                format!("{id} is damaged, and who is in doubt about it is told {told:?}")
            });
        }
        if let Ok(Some(Decision::Aborted)) = told {
            let in_doubt = self.participants.iter_mut().filter(|p| is_prepared(p));
            in_doubt.for_each(|p| _ = p.branches.insert(id, Held::Aborted));
        }
    }

    /// INVARIANT: nothing is done for a damaged transaction.
    pub fn must_be_whole(&mut self, id: TransactionId, what: &str) {
        if self.storage.damaged.contains(&id) {
            self.note_at_once(Check::Damaged, || format!("{id} is damaged, and {what}"));
        }
    }

    /// Notes a violation, unless it is to be caught by its consequences.
    fn note_at_once(&mut self, check: Check, what: impl FnOnce() -> String) {
        let found = ensure(self.by_consequences, check, what);
        self.note_wrong(found);
    }
}

impl Seen {
    fn count_damaged(&mut self, nth: usize, settled: bool, entry: &StoredEntry) {
        let records = entry::decode(&entry.text).expect("the log is readable");
        let decides = records.iter().any(|(_, record)| record.is_decision());
        *match nth {
            _ if settled => &mut self.damaged_settled,
            0 => &mut self.damaged_starts,
            _ if decides => &mut self.damaged_decisions,
            _ => &mut self.damaged_others,
        } += 1;
    }

    fn refused_instead(&mut self, what: Instead) -> &mut u64 {
        match what {
            Instead::OlderCopy => &mut self.older_copies_refused,
            Instead::OtherLog => &mut self.other_logs_refused,
            Instead::NewLog => &mut self.new_logs_refused,
        }
    }
}
