//! The appending end: one batch, one SQLite transaction, one sync.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use wholly_core::Timestamp;

use super::super::{
    AppendError, DamageRegister, Entry, LogWriter, Position, WithoutPayloads, Written,
};
use super::background::Background;
use super::checkpoint::Checkpoints;
use super::checksum::{self, chain};
use super::file::{Owned, Watch};
use super::labels::Kinds;
use super::meta::{Meta, MetaError};
use super::pack::packed;
use super::probe::{Bug, planted, reached};
use super::retention::Removal;
use super::side::Side;
use super::tail::{Noted, Shared, place, position};
use super::{ends, id, index};

/// The greatest number of entries in the tail. It bounds the reads of an opening, and the delay of
/// the append that moves the tail to the indexes (some milliseconds).
pub(super) const RUN: usize = 4_096;

pub(super) struct SqliteWriter {
    pub(super) file: Connection,
    pub(super) epoch: u64,
    pub(super) tail: Arc<Shared>,
    pub(super) checkpoints: Checkpoints,
    pub(super) kinds: Kinds,
    /// The greatest number of entries in the tail.
    pub(super) run: usize,
    /// True if an append has failed.
    pub(super) failed: bool,
    /// The place up to which no end is left to delete from.
    pub(super) trimmed_to: i64,
    /// True if the write-ahead log may hold data that was deleted or rewritten since.
    pub(super) removed: bool,
    /// The chain of the last batch that had entries.
    pub(super) chain: i64,
    /// True while a check in the background relies on it that nothing is removed.
    pub(super) checking: Arc<AtomicBool>,
    pub(super) damage: DamageRegister,
    pub(super) watch: Watch,
    pub(super) side: Side,
    /// Dropped before the file: it has a connection of its own.
    pub(super) _background: Option<Background>,
    /// Dropped last, after the connections are closed.
    pub(super) _owned: Owned,
}

impl LogWriter for SqliteWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        self.unless_failed(after, |writer| writer.append_batch(after, batch))
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        self.unless_failed(Position::default(), |writer| {
            writer.remove_piece(before, limit, Removal::Transactions)
        })
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        self.unless_failed(Position::default(), |writer| {
            writer.remove_piece(before, limit, Removal::Payloads(without))
        })
    }

    fn written(&self) -> Written {
        self.checkpoints.written()
    }
}

impl SqliteWriter {
    fn unless_failed<T>(
        &mut self,
        after: Position,
        write: impl FnOnce(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        if self.failed {
            let head = "an unknown place, because an earlier append failed".to_owned();
            return Err(AppendError::Rejected { after, head });
        }
        // INVARIANT: a writer that failed once writes nothing more.
        self.failed = true;
        let written = write(self)?;
        self.failed = false;
        self.checkpoints.committed(&self.file);
        Ok(written)
    }

    fn append_batch(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = owned(&file, self.epoch)?;
        let head = head(&file, &before)?;
        if head != after {
            return Err(AppendError::Rejected { after, head: format!("{head:?}") });
        }
        let next = after.next();
        let (noted, chain) = insert(&file, next, batch, &mut self.kinds, self.chain)?;
        let mut meta = before;
        if batch.is_empty() {
            meta.head = next.0;
        }
        // Only this writer changes the tail, so it is the same until it is cleared below.
        let run = self.tail.lock().len + batch.len() > self.run;
        if run {
            index::write_run(&file, &mut meta, &self.tail.lock(), first_place(next)?, self.chain)?;
        }
        if meta != before {
            meta.write(&file)?;
        }
        if planted(Bug::SideFileFirst) {
            self.side
                .has_come_to(next)
                .map_err(|error| AppendError::Storage { why: error.to_string() })?;
            reached("a batch is said");
        }
        file.commit()?;
        self.is_told(next)?;
        self.chain = chain;
        let mut tail = self.tail.lock();
        if run {
            tail.clear();
        }
        noted.into_iter().for_each(|entry| tail.note(entry));
        Ok(next)
    }
}

impl SqliteWriter {
    /// Prepares a commit to be told: looks at the file, then records the head in the side file.
    ///
    /// INVARIANT: in this order, and both after the commit. A commit to a file that is gone from
    /// its place is told to nobody.
    pub(super) fn is_told(&mut self, head: Position) -> Result<(), AppendError> {
        reached("a batch is committed");
        if !planted(Bug::NoLook) {
            self.watch.look().map_err(|why| AppendError::Storage { why })?;
        }
        self.side.has_come_to(head).map_err(|error| AppendError::Storage {
            why: format!("the side file cannot be written: {error}"),
        })?;
        reached("a batch is told");
        Ok(())
    }
}

impl Drop for SqliteWriter {
    fn drop(&mut self) {
        // An unsynced side file lags behind, which the next opening allows for.
        let _ = self.side.sync();
        reached("it is stopped");
    }
}

/// The log's head: the last entry's batch, or the noted head if the last batch had no entries.
pub(super) fn head(file: &Connection, meta: &Meta) -> rusqlite::Result<Position> {
    let last: Option<i64> =
        file.prepare_cached("SELECT max(place) FROM entries")?.query_row([], |row| row.get(0))?;
    Ok(meta.head().max(Position(last.map_or(0, position))))
}

/// Reads the log's row, which must show that the log is still this writer's.
///
/// INVARIANT: nothing is written under an older epoch. The check and the write are one SQLite
/// transaction that holds the only write lock.
pub(super) fn owned(file: &Transaction<'_>, epoch: u64) -> Result<Meta, AppendError> {
    let meta = Meta::read(file)?;
    if meta.epoch == epoch { Ok(meta) } else { Err(AppendError::Superseded) }
}

impl From<MetaError> for AppendError {
    fn from(error: MetaError) -> Self {
        Self::Storage { why: error.to_string() }
    }
}

fn insert<'a>(
    file: &Transaction<'_>,
    position: Position,
    batch: &'a [Entry],
    kinds: &mut Kinds,
    before: i64,
) -> Result<(Vec<Noted<'a>>, i64), AppendError> {
    let mut noted = Vec::with_capacity(batch.len());
    let mut sum = 0_i64;
    let batch = packed(batch);
    for (nth, entry) in batch.iter().enumerate() {
        let place = place(position.0, nth).ok_or_else(too_large)?;
        let ordinal = i64::try_from(entry.transaction.ordinal()).map_err(|_| too_large())?;
        let begins = (entry.sequence == 0).then_some(entry.transaction);
        let (sequence, key) = (entry.sequence, entry.key.as_ref());
        let (label, ended) = (kinds.label(file, entry)?, ends::read(ends::column(entry.ended)));
        let checksum = with_row(entry, place, ordinal, label, |row| row.checksum());
        sum = sum.wrapping_add(checksum);
        noted.push(Noted { ordinal, sequence, place, begins, key, label, ended, checksum });
    }
    let after = if batch.is_empty() { before } else { chain(before, sum) };
    let mut statement = file
        .prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for (nth, (entry, noted)) in batch.into_iter().zip(&noted).enumerate() {
        let Noted { place, ordinal, label, checksum, .. } = *noted;
        let chain = (nth == 0).then_some(after);
        with_row(entry, place, ordinal, label, |row| {
            let checksum::Row { sequence, ends, id, key, text, .. } = row;
            statement.execute(params![
                place, ordinal, sequence, ends, id, key, label, text, checksum, chain
            ])
        })?;
    }
    Ok((noted, after))
}

/// Passes on an entry in the form of its row.
fn with_row<T>(
    entry: &Entry,
    place: i64,
    ordinal: i64,
    label: i64,
    take: impl FnOnce(&checksum::Row<'_>) -> T,
) -> T {
    let id = (entry.sequence == 0).then(|| id::column(entry.transaction));
    take(&checksum::Row {
        place,
        ordinal,
        sequence: entry.sequence,
        ends: ends::column(entry.ended),
        id: id.as_ref().map(|id| &id[..]),
        key: entry.key.as_ref().map(wholly_core::Key::as_str),
        label,
        text: &entry.text,
    })
}

pub(super) fn first_place(position: Position) -> Result<i64, AppendError> {
    place(position.0, 0).ok_or_else(too_large)
}

fn too_large() -> AppendError {
    AppendError::Storage {
        why: "the batch has more than 1,048,576 entries, or a number beyond the format's limits"
            .to_owned(),
    }
}
