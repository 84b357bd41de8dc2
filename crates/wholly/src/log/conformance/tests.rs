//! Every log keeps the laws, and a log that breaks one is caught.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use super::*;
use crate::log::listing::{Cursor, Page};
use crate::log::memory::MemoryLog;
use crate::log::{
    KnownLog, LogWriter, Lsn, PlacedEntry, ReadError, StoredTransaction, WithoutPayloads, Written,
};
use crate::participant::panic_message;

#[test]
fn the_memory_log_keeps_the_laws() {
    log_conformance(|| Box::new(MemoryLog::default()));
}

#[cfg(feature = "sqlite")]
#[test]
fn the_sqlite_log_keeps_the_laws() {
    let directory = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    log_conformance(|| {
        made.set(made.get() + 1);
        let path = directory.path().join(format!("{}.db", made.get()));
        Box::new(crate::SqliteLog::at(path).create_if_missing())
    });
}

#[test]
fn a_log_that_breaks_a_law_is_caught_by_it() {
    for (broken, law) in [
        (Broken::AcceptsGap, "does not follow the last one is rejected"),
        (Broken::LandsAfterFailure, "nothing lands behind a failed append"),
        (Broken::ShowsEarly, "only what landed"),
        (Broken::ForgetsEpoch, "the writer of an older epoch is rejected"),
        (Broken::TrimsUnsettled, "trim deletes what ended before"),
        (Broken::RewritesUnsettled, "what has not ended keeps its payloads"),
        (Broken::ForgetsTrimmed, "the newest one trimmed"),
        (Broken::ForgetsTrimmedPlace, "a restart remembers the last place"),
        (Broken::TellsTrimmedBatch, "the last place that was trimmed"),
        (Broken::HalfBatch, "what was rejected has not landed"),
        (Broken::ListsAsBegun, "a list shows what each is now"),
        (Broken::ListsByCount, "none twice, none lost"),
        (Broken::CountsPlaces, "places stay what they are"),
        (Broken::ReopensAnother, "a log is reopened as the same log"),
        (Broken::LoadsAll, "the first comes whatever it has, and no other"),
    ] {
        let panic = catch_unwind(|| {
            log_conformance(move || Box::new(BrokenLog { broken, inner: MemoryLog::default() }));
        });
        let panic = panic.err().unwrap_or_else(|| panic!("{broken:?} is not caught"));
        let said = panic_message(&*panic);
        assert!(said.contains(law), "{broken:?} is caught, but by another law: {said}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Broken {
    AcceptsGap,
    LandsAfterFailure,
    ShowsEarly,
    ForgetsEpoch,
    TrimsUnsettled,
    RewritesUnsettled,
    ForgetsTrimmed,
    ForgetsTrimmedPlace,
    TellsTrimmedBatch,
    HalfBatch,
    ListsAsBegun,
    ListsByCount,
    CountsPlaces,
    ReopensAnother,
    LoadsAll,
}

struct BrokenLog {
    broken: Broken,
    inner: MemoryLog,
}

impl Log for BrokenLog {
    fn open(&self) -> Result<OpenLog, OpenError> {
        Ok(self.opened(self.inner.open()?))
    }

    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError> {
        let open = match self.broken {
            Broken::ReopensAnother => MemoryLog::new(LogId::from_bits(9)).open()?,
            _ => self.inner.reopen(told)?,
        };
        Ok(self.opened(open))
    }
}

impl BrokenLog {
    fn opened(&self, open: OpenLog) -> OpenLog {
        let early = Arc::new(Mutex::new(Vec::new()));
        let broken = self.broken;
        let trimmed_before = open.reader.last_trimmed_lsn().unwrap();
        let (inner, early_too) = (open.reader.clone(), early.clone());
        let reader = EarlyReader { broken, inner, early: early_too, trimmed_before };
        let writer = BrokenWriter {
            broken: self.broken,
            head: open.head,
            log: self.inner.clone(),
            inner: open.writer,
            early,
        };
        OpenLog { writer: Box::new(writer), reader: Arc::new(reader), ..open }
    }
}

struct BrokenWriter {
    broken: Broken,
    head: Position,
    log: MemoryLog,
    inner: Box<dyn LogWriter>,
    early: Arc<Mutex<Vec<Entry>>>,
}

impl BrokenWriter {
    fn again(&mut self) {
        let open = self.log.open().unwrap();
        (self.inner, self.head) = (open.writer, open.head);
    }

    fn end_unsettled(&mut self) -> Result<(), AppendError> {
        let unsettled = first_unsettled(&*self.log.open().unwrap().reader, 9).unwrap();
        self.again();
        for stored in unsettled {
            let end = end(0, stored.entries.len() as u32);
            let end = Entry { transaction: stored.id, ended: Some(stored.id.minted_at()), ..end };
            self.head = self.inner.append(self.head, &[end])?;
        }
        Ok(())
    }
}

impl LogWriter for BrokenWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        let mut after = after;
        match self.broken {
            Broken::AcceptsGap => after = self.head,
            Broken::ShowsEarly => *self.early.lock().unwrap() = batch.to_vec(),
            _ => {}
        }
        let mut result = self.inner.append(after, batch);
        match (&result, self.broken) {
            (Err(AppendError::Rejected { .. }), Broken::LandsAfterFailure) => self.again(),
            (Err(AppendError::Rejected { .. }), Broken::HalfBatch) => {
                self.again();
                self.inner.append(self.head, &batch[..1]).unwrap();
            }
            (Err(AppendError::Superseded), Broken::ForgetsEpoch) => {
                self.again();
                result = self.inner.append(self.head, batch);
            }
            _ => {}
        }
        if let Ok(head) = &result {
            self.head = *head;
            self.early.lock().unwrap().clear();
        }
        result
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        if self.broken == Broken::TrimsUnsettled && (1..9).contains(&before.as_millis()) {
            self.end_unsettled()?;
        }
        self.inner.trim(before, limit)
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        if self.broken == Broken::RewritesUnsettled && before < Timestamp::from_millis(9) {
            self.end_unsettled()?;
        }
        self.inner.remove_payloads(before, limit, without)
    }

    fn written(&self) -> Written {
        self.inner.written()
    }
}

struct EarlyReader {
    broken: Broken,
    inner: Arc<dyn LogReader>,
    early: Arc<Mutex<Vec<Entry>>>,
    /// The last place that was trimmed when the log was opened.
    trimmed_before: Lsn,
}

impl EarlyReader {
    /// Pages by how many came before, which is right for as long as no others come.
    fn by_count(&self, query: &Query) -> Result<Page, ReadError> {
        const FIRST: u64 = 1 << 40;
        let number = |at: Cursor| u64::from_str_radix(&at.to_string(), 16).unwrap();
        let before = query.after.map_or(0, |at| FIRST.saturating_sub(number(at)) as usize);
        let all = self.inner.list(&Query { after: None, limit: usize::MAX, ..query.clone() })?;
        let end = before.saturating_add(query.limit);
        let next = (end < all.rows.len()).then(|| Cursor::after(FIRST - end as u64));
        let rows = all.rows.into_iter().skip(before).take(query.limit).collect();
        Ok(Page { rows, next })
    }
}

impl LogReader for EarlyReader {
    fn history(&self, id: TransactionId) -> Result<Option<StoredTransaction>, ReadError> {
        let early = self.early.lock().unwrap();
        let early: Vec<_> = early.iter().filter(|entry| entry.transaction == id).collect();
        let found = self.inner.history(id)?;
        if early.is_empty() {
            return Ok(found);
        }
        let mut entries = found.map(|found| found.entries).unwrap_or_default();
        for entry in early {
            entries.push(StoredEntry { sequence: entry.sequence, text: entry.text.clone() });
        }
        Ok(Some(StoredTransaction { id, entries, damage: None }))
    }

    fn by_key(&self, key: &Key) -> Result<Option<TransactionId>, ReadError> {
        self.inner.by_key(key)
    }

    fn trimmed(&self) -> Result<u64, ReadError> {
        match self.broken {
            Broken::ForgetsTrimmed => Ok(0),
            _ => self.inner.trimmed(),
        }
    }

    fn last_trimmed_lsn(&self) -> Result<Lsn, ReadError> {
        let place = self.inner.last_trimmed_lsn()?;
        Ok(match self.broken {
            Broken::ForgetsTrimmedPlace if place == self.trimmed_before => Lsn::default(),
            Broken::TellsTrimmedBatch => Lsn::of(place.batch(), 0).unwrap(),
            _ => place,
        })
    }

    fn unsettled(&self, after: u64, limit: usize) -> Result<Vec<u64>, ReadError> {
        self.inner.unsettled(after, limit)
    }

    fn transactions(
        &self,
        ordinals: &[u64],
        bytes: usize,
    ) -> Result<Vec<Option<StoredTransaction>>, ReadError> {
        match self.broken {
            Broken::LoadsAll => self.inner.transactions(ordinals, usize::MAX),
            _ => self.inner.transactions(ordinals, bytes),
        }
    }

    fn list(&self, query: &Query) -> Result<Page, ReadError> {
        let mut page = match self.broken {
            Broken::ListsByCount => self.by_count(query)?,
            _ => self.inner.list(query)?,
        };
        if self.broken == Broken::ListsAsBegun {
            page.rows.iter_mut().for_each(|row| row.labels.state = State::Init);
        }
        Ok(page)
    }

    fn entries_after(&self, after: Lsn, limit: usize) -> Result<Vec<PlacedEntry>, ReadError> {
        let mut entries = self.inner.entries_after(after, limit)?;
        let all = self.inner.entries_after(Lsn::default(), usize::MAX)?;
        // As one does that counts the entries of a batch that are left.
        for entry in entries.iter_mut().filter(|_| self.broken == Broken::CountsPlaces) {
            let before = |other: &&PlacedEntry| {
                other.lsn.batch() == entry.lsn.batch() && other.lsn < entry.lsn
            };
            let nth = all.iter().filter(before).count();
            entry.lsn = Lsn::of(entry.lsn.batch(), nth).unwrap();
        }
        Ok(entries)
    }

    fn entries_of(&self, ordinal: u64) -> Result<Vec<PlacedEntry>, ReadError> {
        self.inner.entries_of(ordinal)
    }
}
