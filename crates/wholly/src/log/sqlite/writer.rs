//! The appending end: one batch, one SQLite transaction, one sync.

use std::fs::File;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use wholly_core::Timestamp;

use super::super::{AppendError, Entry, LogWriter, Position, WithoutPayloads, Written};
use super::checkpoint::Checkpoints;
use super::labels::Kinds;
use super::pack::packed;
use super::tail::{Noted, Shared, Tail, place, position};
use super::{ends, id, index};

/// How many entries the tail may hold: what an opening must read again, and how long the append
/// that moves it to the indexes is delayed (some milliseconds).
pub(super) const RUN: usize = 4_096;

pub(super) struct SqliteWriter {
    pub(super) file: Connection,
    pub(super) epoch: u64,
    pub(super) tail: Arc<Shared>,
    pub(super) checkpoints: Checkpoints,
    pub(super) kinds: Kinds,
    /// How many entries the tail may hold.
    pub(super) run: usize,
    /// Whether an append has failed.
    pub(super) failed: bool,
    /// Up to this place nothing is left to delete but what ended after it.
    pub(super) trimmed_to: i64,
    /// Whether the write-ahead log may hold what was deleted or rewritten since.
    pub(super) removed: bool,
    /// Held, and with it the ownership, as long as the writer lives.
    pub(super) _lock: File,
}

impl LogWriter for SqliteWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        self.unless_failed(after, |writer| writer.append_batch(after, batch))
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        self.unless_failed(Position::default(), |writer| writer.trim_piece(before, limit))
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        self.unless_failed(Position::default(), |writer| {
            writer.remove_piece(before, limit, without)
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
        check_owner(&file, self.epoch)?;
        let head = head(&file)?;
        if head != after {
            return Err(AppendError::Rejected { after, head: format!("{head:?}") });
        }
        let next = after.next();
        let noted = insert(&file, next, batch, &mut self.kinds)?;
        if batch.is_empty() {
            keep_head(&file, next)?;
        }
        // Only this writer changes the tail, so it is the same until it is cleared below.
        let run = self.tail.lock().len + batch.len() > self.run;
        if run {
            index::write_run(&file, &self.tail.lock(), first_place(next)?)?;
        }
        file.commit()?;
        let mut tail = self.tail.lock();
        if run {
            tail.clear();
        }
        noted.into_iter().for_each(|entry| tail.note(entry));
        Ok(next)
    }
}

/// Where the log stands: the last entry's batch, or what was noted when that had none.
pub(super) fn head(file: &Connection) -> rusqlite::Result<Position> {
    let noted: i64 =
        file.prepare_cached("SELECT head FROM meta")?.query_row([], |row| row.get(0))?;
    let last: Option<i64> =
        file.prepare_cached("SELECT max(place) FROM entries")?.query_row([], |row| row.get(0))?;
    Ok(Position(last.map_or(0, position).max(noted.unsigned_abs())))
}

pub(super) fn keep_head(file: &Connection, head: Position) -> rusqlite::Result<()> {
    file.prepare_cached("UPDATE meta SET head = ?1")?.execute([head.0 as i64])?;
    Ok(())
}

/// INVARIANT: nothing is written under an older epoch. The check and the write are one SQLite
/// transaction that holds the only write lock.
pub(super) fn check_owner(file: &Transaction<'_>, epoch: u64) -> Result<(), AppendError> {
    let now: i64 =
        file.prepare_cached("SELECT epoch FROM meta")?.query_row([], |row| row.get(0))?;
    if now.unsigned_abs() == epoch { Ok(()) } else { Err(AppendError::Superseded) }
}

fn insert<'a>(
    file: &Transaction<'_>,
    position: Position,
    batch: &'a [Entry],
    kinds: &mut Kinds,
) -> Result<Vec<Noted<'a>>, AppendError> {
    let mut statement =
        file.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let mut noted = Vec::with_capacity(batch.len());
    for (nth, entry) in packed(batch).into_iter().enumerate() {
        let place = place(position.0, nth).ok_or_else(too_large)?;
        let ordinal = i64::try_from(entry.transaction.ordinal()).map_err(|_| too_large())?;
        let begins = (entry.sequence == 0).then_some(entry.transaction);
        let key = entry.key.as_ref();
        let label = kinds.label(file, entry)?;
        let ends = ends::column(entry.ended);
        statement.execute(params![
            place,
            ordinal,
            entry.sequence,
            ends,
            begins.map(id::column),
            key.map(wholly_core::Key::as_str),
            label,
            entry.text
        ])?;
        let (sequence, ended) = (entry.sequence, ends::read(ends, ordinal));
        noted.push(Noted { ordinal, sequence, place, begins, key, label, ended });
    }
    Ok(noted)
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

/// Reads the tail back, and what is unsettled: the table, corrected by the tail.
pub(super) fn read_tail(file: &Connection) -> rusqlite::Result<Tail> {
    let mut tail = Tail::default();
    let mut unsettled = file.prepare("SELECT ordinal FROM unsettled")?;
    for ordinal in unsettled.query_map([], |row| row.get(0))? {
        tail.unsettled.insert(ordinal?);
    }
    let mut rows = file.prepare(
        "SELECT place, ordinal, sequence, ends, id, key, label FROM entries
         WHERE place >= (SELECT indexed FROM meta) ORDER BY place",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let key = row.get::<_, Option<String>>(5)?.and_then(|key| key.parse().ok());
        let ordinal = row.get(1)?;
        let begins = id::read(&row.get(4)?, ordinal).ok().flatten();
        tail.note(Noted {
            place: row.get(0)?,
            ordinal,
            sequence: row.get(2)?,
            ended: ends::read(row.get(3)?, ordinal),
            label: row.get(6)?,
            begins,
            key: key.as_ref(),
        });
    }
    Ok(tail)
}
