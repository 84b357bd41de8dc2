//! A log in memory, for tests: deterministic, and it fails when it is told to.
//!
//! The handle stands for the storage. What is durable survives the coordinator: opening the same
//! handle again gives it back, as a restart would.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wholly_core::{Key, LogId, Timestamp, TransactionId};

use super::listing::{Cursor, Labels, Page, Query, Row};
use super::maintenance::Maintenance;
use super::{
    AppendError, DamageRegister, Entry, KnownLog, Log, LogReader, LogWriter, Lsn, OpenError,
    OpenLog, PlacedEntry, Position, ReadError, StoredEntry, StoredTransaction, WithoutPayloads,
    Written, as_many_as_fit,
};

/// A log in memory. Its clones are the same log.
///
/// ```
/// use wholly::log::{AppendError, Log, Position};
/// use wholly::log::memory::{Fault, MemoryLog};
///
/// let log = MemoryLog::default();
/// log.fail_append(1, Fault::Lands);
/// let mut open = log.open()?;
/// let head = open.writer.append(open.head, &[])?;
/// assert!(open.writer.append(head, &[]).is_err());
/// assert_eq!(log.open()?.head, Position(2)); // It had landed all the same.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryLog {
    identity: LogId,
    contents: Arc<Mutex<Contents>>,
}

/// How an append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing landed.
    Fails,
    /// It landed and is durable, and only the answer was lost.
    Lands,
    /// It was written and not synced: the next opening finds it, unless [`MemoryLog::crash`]
    /// loses it before.
    Unsynced,
}

/// What a crash does to a batch that was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// It is there after the crash.
    Kept,
    /// It is gone.
    Lost,
}

#[derive(Default)]
struct Contents {
    epoch: u64,
    head: Position,
    transactions: BTreeMap<u64, Held>,
    /// The ordinal and the sequence of the entry at each place.
    places: BTreeMap<Lsn, (u64, u32)>,
    keys: HashMap<Key, TransactionId>,
    /// The greatest ordinal that was trimmed.
    trimmed: u64,
    /// The greatest place that was trimmed.
    trimmed_place: Lsn,
    /// A batch that was written and not synced. Nothing can land behind it before an opening.
    unsynced: Option<Vec<Entry>>,
    /// How many appends were tried, and which of them fail.
    appends: u64,
    faults: BTreeMap<u64, Fault>,
    full: bool,
    register: DamageRegister,
    /// The ordinals and sequences of entries that are damaged.
    damaged: BTreeSet<(u64, u32)>,
}

#[derive(Clone)]
struct Held {
    stored: StoredTransaction,
    labels: Labels,
    ended: Option<Timestamp>,
    /// Whether it was looked at to remove its payloads.
    looked_at: bool,
}

impl MemoryLog {
    /// An empty log with this identity.
    #[must_use]
    pub fn new(identity: LogId) -> Self {
        Self { identity, contents: Arc::default() }
    }

    /// Makes an append fail: the next one where `later` is 0, the one after that where it is 1.
    pub fn fail_append(&self, later: u64, fault: Fault) {
        let mut contents = lock(&self.contents);
        let nth = contents.appends + later;
        contents.faults.insert(nth, fault);
    }

    /// Makes the disk full, so that every append fails, or free again.
    pub fn set_full(&self, full: bool) {
        lock(&self.contents).full = full;
    }

    /// A copy of what is durable, without its damage, restored under another identity: the original
    /// knows nothing of it.
    #[must_use]
    pub fn restored(&self, identity: LogId) -> Self {
        let copy = Self::new(identity);
        let (from, mut to) = (lock(&self.contents), lock(&copy.contents));
        (to.epoch, to.head, to.trimmed) = (from.epoch, from.head, from.trimmed);
        to.trimmed_place = from.trimmed_place;
        (to.transactions, to.keys) = (from.transactions.clone(), from.keys.clone());
        drop(to);
        copy
    }

    /// Damages an entry, which storage may do at any time: what was appended is not read any more.
    pub fn damage(&self, id: TransactionId, sequence: u32) {
        lock(&self.contents).damaged.insert((id.ordinal(), sequence));
    }

    /// Puts the storage right: what was damaged is read again as it was appended.
    pub fn repair(&self) {
        lock(&self.contents).damaged.clear();
    }

    /// Crashes the machine: every writer is done, and what was not synced is kept or lost.
    pub fn crash(&self, unsynced: Unsynced) {
        let mut contents = lock(&self.contents);
        contents.epoch += 1;
        match unsynced {
            Unsynced::Kept => contents.make_durable(),
            Unsynced::Lost => contents.unsynced = None,
        }
    }
}

impl Default for MemoryLog {
    /// An empty log with an identity that is always the same.
    fn default() -> Self {
        Self::new(LogId::from_bits(1))
    }
}

impl Log for MemoryLog {
    fn open(&self) -> Result<OpenLog, OpenError> {
        let mut contents = lock(&self.contents);
        contents.make_durable();
        contents.epoch += 1;
        Ok(OpenLog {
            identity: self.identity,
            epoch: contents.epoch,
            head: contents.head,
            last_ordinal: contents.last_ordinal(),
            writer: Box::new(MemoryWriter {
                contents: self.contents.clone(),
                epoch: contents.epoch,
                failed: false,
                written: Written::default(),
            }),
            reader: Arc::new(MemoryReader { contents: self.contents.clone() }),
            damage: contents.register.clone(),
        })
    }

    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError> {
        let head = {
            let mut contents = lock(&self.contents);
            contents.make_durable();
            contents.head
        };
        told.check("in memory", self.identity, head)?;
        self.open()
    }
}

impl Maintenance for MemoryLog {
    fn kind(&self) -> &'static str {
        "memory"
    }
}

fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    // A panic of a test must not turn into another one in the log.
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Contents {
    fn last_ordinal(&self) -> u64 {
        let held = self.transactions.keys().next_back().copied().unwrap_or(0);
        held.max(self.trimmed)
    }

    fn make_durable(&mut self) {
        if let Some(batch) = self.unsynced.take() {
            self.land(&batch);
        }
    }

    fn land(&mut self, batch: &[Entry]) {
        self.head = self.head.next();
        for (nth, entry) in batch.iter().enumerate() {
            let id = entry.transaction;
            if let Some(place) = Lsn::of(self.head, nth) {
                self.places.insert(place, (id.ordinal(), entry.sequence));
            }
            let held = self.transactions.entry(id.ordinal()).or_insert_with(|| Held {
                stored: StoredTransaction { id, entries: Vec::new(), damage: None },
                labels: entry.labels.clone(),
                ended: None,
                looked_at: false,
            });
            held.labels = entry.labels.clone();
            held.ended = held.ended.or(entry.ended);
            let text = entry.text.clone();
            held.stored.entries.push(StoredEntry { sequence: entry.sequence, text });
            if let Some(key) = &entry.key {
                self.keys.insert(key.clone(), id);
            }
        }
    }
}

struct MemoryWriter {
    contents: Arc<Mutex<Contents>>,
    epoch: u64,
    failed: bool,
    written: Written,
}

impl LogWriter for MemoryWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        let contents = self.contents.clone();
        let mut contents = lock(&contents);
        let fault = contents.next_fault();
        self.check(&contents, Some(after))?;
        // INVARIANT: a writer that failed once writes nothing more.
        self.failed = true;
        match fault {
            Some(Fault::Fails) => return Err(storage("an injected fault")),
            Some(Fault::Lands) => {
                contents.land(batch);
                return Err(storage("an injected fault, after the batch had landed"));
            }
            Some(Fault::Unsynced) => {
                contents.unsynced = Some(batch.to_vec());
                return Err(storage("an injected fault, before the batch was synced"));
            }
            None => contents.land(batch),
        }
        self.failed = false;
        self.written.syncs += 1;
        self.written.bytes += batch.iter().map(|entry| entry.text.len() as u64).sum::<u64>();
        Ok(contents.head)
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        let contents = self.contents.clone();
        let mut contents = lock(&contents);
        self.check(&contents, None)?;
        let ended: Vec<u64> = contents
            .transactions
            .iter()
            .filter(|(_, held)| held.ended.is_some_and(|at| at < before))
            .map(|(ordinal, _)| *ordinal)
            .take(limit)
            .collect();
        for ordinal in &ended {
            contents.transactions.remove(ordinal);
            contents.trimmed = contents.trimmed.max(*ordinal);
        }
        contents.keys.retain(|_, id| ended.binary_search(&id.ordinal()).is_err());
        let is_trimmed = |of: &(u64, u32)| ended.binary_search(&of.0).is_ok();
        let places = contents.places.iter().rev();
        let last = places.filter(|(_, of)| is_trimmed(of)).map(|(place, _)| *place).next();
        contents.trimmed_place = contents.trimmed_place.max(last.unwrap_or_default());
        contents.places.retain(|_, of| !is_trimmed(of));
        Ok(ended.len())
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        let contents = self.contents.clone();
        let mut contents = lock(&contents);
        self.check(&contents, None)?;
        let is_next = |held: &&Held| !held.looked_at && held.ended.is_some_and(|at| at < before);
        let next = contents.transactions.values().filter(is_next).take(limit);
        let next: Vec<_> = next.map(|held| contents.as_read(&held.stored)).collect();
        for read in &next {
            let Some(held) = contents.transactions.get_mut(&read.id.ordinal()) else { continue };
            held.looked_at = true;
            let texts = without(read).unwrap_or_default();
            for (entry, text) in held.stored.entries.iter_mut().zip(texts) {
                entry.text = text;
            }
        }
        Ok(next.len())
    }

    fn written(&self) -> Written {
        self.written
    }
}

impl Contents {
    fn next_fault(&mut self) -> Option<Fault> {
        self.appends += 1;
        self.faults.remove(&(self.appends - 1))
    }
}

impl MemoryWriter {
    fn check(&mut self, contents: &Contents, after: Option<Position>) -> Result<(), AppendError> {
        let follows = after.is_none_or(|after| after == contents.head);
        let head = format!("{:?}", contents.head);
        let refused = if self.failed {
            let head = "an unknown place, because an earlier append failed".to_owned();
            Err(AppendError::Rejected { after: after.unwrap_or_default(), head })
        } else if contents.epoch != self.epoch {
            Err(AppendError::Superseded)
        } else if !follows {
            Err(AppendError::Rejected { after: after.unwrap_or_default(), head })
        } else if contents.full {
            Err(storage("the disk is full"))
        } else {
            Ok(())
        };
        self.failed |= refused.is_err();
        refused
    }
}

fn storage(why: &str) -> AppendError {
    AppendError::Storage { why: why.to_owned() }
}

struct MemoryReader {
    contents: Arc<Mutex<Contents>>,
}

impl LogReader for MemoryReader {
    fn history(&self, id: TransactionId) -> Result<Option<StoredTransaction>, ReadError> {
        let contents = lock(&self.contents);
        let held = contents.transactions.get(&id.ordinal());
        Ok(held.map(|held| contents.as_read(&held.stored)).filter(|stored| stored.id == id))
    }

    fn by_key(&self, key: &Key) -> Result<Option<TransactionId>, ReadError> {
        Ok(lock(&self.contents).keys.get(key).copied())
    }

    fn trimmed(&self) -> Result<u64, ReadError> {
        Ok(lock(&self.contents).trimmed)
    }

    fn last_trimmed_lsn(&self) -> Result<Lsn, ReadError> {
        Ok(lock(&self.contents).trimmed_place)
    }

    fn unsettled(&self, after: u64, limit: usize) -> Result<Vec<u64>, ReadError> {
        let contents = lock(&self.contents);
        let younger = contents.transactions.range((Bound::Excluded(after), Bound::Unbounded));
        let unsettled = younger.filter(|(_, held)| held.ended.is_none());
        Ok(unsettled.take(limit).map(|(ordinal, _)| *ordinal).collect())
    }

    fn transactions(
        &self,
        ordinals: &[u64],
        bytes: usize,
    ) -> Result<Vec<Option<StoredTransaction>>, ReadError> {
        let contents = lock(&self.contents);
        as_many_as_fit(ordinals, bytes, |ordinal| {
            let held = contents.transactions.get(&ordinal);
            Ok(held.map(|held| contents.as_read(&held.stored)))
        })
    }

    fn list(&self, query: &Query) -> Result<Page, ReadError> {
        let mut page = Page::default();
        let Range { start, end } = query.ordinals();
        for (_, held) in lock(&self.contents).transactions.range(start..end.max(start)).rev() {
            if page.rows.len() == query.limit {
                let last = page.rows.last().map(|row| Cursor::after(row.id.ordinal()));
                page.next = last.or(query.after);
                break;
            }
            let id = held.stored.id;
            let labels = query.shown(id, held.labels.clone());
            let settled = held.ended.is_some();
            if query.filter.matches(&labels, settled) {
                page.rows.push(Row { id, labels, settled });
            }
        }
        Ok(page)
    }

    fn entries_after(&self, after: Lsn, limit: usize) -> Result<Vec<PlacedEntry>, ReadError> {
        let contents = lock(&self.contents);
        let places = contents.places.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(places.filter_map(|place| contents.placed(place)).take(limit).collect())
    }

    fn entries_of(&self, ordinal: u64) -> Result<Vec<PlacedEntry>, ReadError> {
        let contents = lock(&self.contents);
        let places = contents.places.iter().filter(|(_, (of, _))| *of == ordinal);
        Ok(places.filter_map(|place| contents.placed(place)).collect())
    }
}

impl Contents {
    fn as_read(&self, stored: &StoredTransaction) -> StoredTransaction {
        let ordinal = stored.id.ordinal();
        let mut read = stored.clone();
        read.entries.retain(|entry| match self.damage_of((ordinal, entry.sequence)) {
            None => true,
            Some(damage) => {
                read.damage.get_or_insert(damage);
                false
            }
        });
        read
    }

    fn damage_of(&self, entry: (u64, u32)) -> Option<String> {
        if !self.damaged.contains(&entry) {
            return None;
        }
        let (ordinal, sequence) = entry;
        let what = format!("entry {sequence} of the transaction with ordinal {ordinal} is damaged");
        self.register.note(what.clone());
        Some(what)
    }

    fn placed(&self, (place, (ordinal, sequence)): (&Lsn, &(u64, u32))) -> Option<PlacedEntry> {
        let stored = &self.transactions.get(ordinal)?.stored;
        let entry = stored.entries.iter().find(|entry| entry.sequence == *sequence)?;
        let damage = self.damage_of((*ordinal, *sequence));
        Some(PlacedEntry {
            lsn: *place,
            ordinal: *ordinal,
            id: (*sequence == 0).then_some(stored.id),
            sequence: *sequence,
            text: if damage.is_some() { String::new() } else { entry.text.clone() },
            damage,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::listing::{Pattern, State};

    fn append(open: &mut OpenLog) -> Result<(), AppendError> {
        open.head = open.writer.append(open.head, &[])?;
        Ok(())
    }

    #[test]
    fn a_fault_hits_the_append_it_was_meant_for_and_ends_the_writer() {
        for (fault, landed) in [(Fault::Fails, 1), (Fault::Lands, 2), (Fault::Unsynced, 2)] {
            let log = MemoryLog::default();
            log.fail_append(1, fault);
            let mut open = log.open().unwrap();
            append(&mut open).unwrap();
            assert!(matches!(append(&mut open), Err(AppendError::Storage { .. })));
            assert!(matches!(append(&mut open), Err(AppendError::Rejected { .. })));
            let mut again = log.open().unwrap();
            assert_eq!(again.head, Position(landed), "{fault:?}");
            append(&mut again).unwrap();
        }
    }

    #[test]
    fn a_crash_keeps_or_loses_what_was_not_synced() {
        for (unsynced, landed) in [(Unsynced::Kept, 2), (Unsynced::Lost, 1)] {
            let log = MemoryLog::default();
            log.fail_append(1, Fault::Unsynced);
            let mut open = log.open().unwrap();
            append(&mut open).unwrap();
            assert!(append(&mut open).is_err());
            log.crash(unsynced);
            assert_eq!(log.open().unwrap().head, Position(landed), "{unsynced:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_not_read_until_it_is_repaired() {
        let id = TransactionId::mint(0, Timestamp::from_millis(1), 1, LogId::from_bits(1));
        let labels = Labels {
            name: "test".parse().unwrap(),
            pattern: Pattern::TwoPhase,
            participants: [].into(),
            state: State::Init,
            stuck: false,
        };
        let text = "{}".to_owned();
        let entry = Entry { transaction: id, sequence: 0, text, key: None, labels, ended: None };
        let log = MemoryLog::default();
        let mut open = log.open().unwrap();
        open.writer.append(open.head, &[entry]).unwrap();
        let read = || {
            let stored = open.reader.history(id).unwrap().unwrap();
            (stored.entries.len(), stored.damage.is_some())
        };
        log.damage(id, 0);
        assert_eq!(read(), (0, true));
        log.repair();
        assert_eq!(read(), (1, false));
    }

    #[test]
    fn a_crash_ends_the_writer() {
        let log = MemoryLog::default();
        let mut open = log.open().unwrap();
        log.crash(Unsynced::Lost);
        assert!(matches!(append(&mut open), Err(AppendError::Superseded)));
    }

    #[test]
    fn a_full_disk_fails_appends_until_it_is_free() {
        let log = MemoryLog::default();
        let mut open = log.open().unwrap();
        log.set_full(true);
        assert!(matches!(append(&mut open), Err(AppendError::Storage { .. })));
        log.set_full(false);
        assert!(append(&mut log.open().unwrap()).is_ok());
    }
}
