//! The reading end: connections of its own, so that it goes on when the writer has failed.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use wholly_core::{Key, TransactionId};

use super::super::listing::{Page, Query};
use super::super::{
    DamageRegister, LogReader, Lsn, PlacedEntry, ReadError, StoredTransaction, as_many_as_fit,
};
use super::connect;
use super::file::LogFile;
use super::find::{FoundTransaction, find};
use super::list::{Bounds, list};
use super::meta::Meta;
use super::row::{EntryRow, select_entries};
use super::tail::Shared;

/// The number of idle connections that are kept.
const KEEP: usize = 4;

pub(super) struct SqliteReader {
    path: PathBuf,
    tail: Arc<Shared>,
    idle: Mutex<Vec<Connection>>,
    bounds: Bounds,
    damage: DamageRegister,
    /// Dropped last, after the connections are closed.
    file: Arc<LogFile>,
}

impl SqliteReader {
    /// Opens the first connection at once: reads go on when no more files can be opened.
    pub(super) fn open(
        path: &Path,
        tail: Arc<Shared>,
        bounds: Bounds,
        damage: DamageRegister,
        file: Arc<LogFile>,
    ) -> rusqlite::Result<Self> {
        let idle = Mutex::new(vec![read_only(path)?]);
        Ok(Self { path: path.to_owned(), tail, idle, bounds, damage, file })
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let pool = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = pool().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = read(&connection);
        let mut idle = pool();
        if idle.len() < KEEP {
            idle.push(connection);
        }
        result
    }

    /// Opens one more connection, to the file of the others: its name may lead elsewhere by now.
    fn connect(&self) -> Result<Connection, ReadError> {
        let path = self.path.display();
        match self.file.is_at(&self.path) {
            Ok(true) => Ok(read_only(&self.path)?),
            Ok(false) => Err(ReadError::Storage { why: format!("the file {path} was replaced") }),
            Err(error) => Err(ReadError::Storage { why: format!("the file {path}: {error}") }),
        }
    }

    /// A transaction by its ordinal; `None` if it is not there, or was deleted meanwhile. What is
    /// damaged of it is noted.
    fn found(
        &self,
        file: &Connection,
        ordinal: i64,
    ) -> Result<Option<FoundTransaction>, ReadError> {
        let found = find(file, &self.tail, ordinal)?;
        if let Some(why) = found.as_ref().and_then(|found| found.damage.as_ref()) {
            self.damage.note(why.clone());
        }
        Ok(found)
    }
}

impl LogReader for SqliteReader {
    fn history(&self, id: TransactionId) -> Result<Option<StoredTransaction>, ReadError> {
        let Ok(ordinal) = i64::try_from(id.ordinal()) else { return Ok(None) };
        // An ordinal is unique in one log; an id that has it may come from another.
        let found = self.with(|file| self.found(file, ordinal))?;
        Ok(found.filter(|found| found.id == id).map(FoundTransaction::stored))
    }

    fn by_key(&self, key: &Key) -> Result<Option<TransactionId>, ReadError> {
        if let Some(id) = self.tail.lock().keys.get(key) {
            return Ok(Some(*id));
        }
        self.with(|file| {
            let ordinal: Option<i64> = file
                .prepare_cached("SELECT ordinal FROM keys WHERE key = ?1")?
                .query_row([key.as_str()], |row| row.get(0))
                .optional()?;
            let Some(ordinal) = ordinal else { return Ok(None) };
            let found = self.found(file, ordinal)?;
            match found {
                Some(found) if found.key.as_deref().is_none_or(|is| is == key.as_str()) => {
                    Ok(Some(found.id))
                }
                // The key's transaction was deleted meanwhile.
                None => Ok(None),
                Some(_) => {
                    let why = format!("the key {key:?} leads to a transaction of another");
                    self.damage.note(why.clone());
                    Err(ReadError::Damaged { why })
                }
            }
        })
    }

    fn trimmed(&self) -> Result<u64, ReadError> {
        self.with(|file| Ok(Meta::read(file)?.trimmed.unsigned_abs()))
    }

    fn last_trimmed_lsn(&self) -> Result<Lsn, ReadError> {
        self.with(|file| Ok(Lsn::from_bits(Meta::read(file)?.trimmed_place.unsigned_abs())))
    }

    fn unsettled(&self, after: u64, limit: usize) -> Result<Vec<u64>, ReadError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let tail = self.tail.lock();
        let younger = tail.unsettled.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(younger.take(limit).map(|ordinal| ordinal.unsigned_abs()).collect())
    }

    fn transactions(
        &self,
        ordinals: &[u64],
        bytes: usize,
    ) -> Result<Vec<Option<StoredTransaction>>, ReadError> {
        as_many_as_fit(ordinals, bytes, |ordinal| self.whole_or_damaged(ordinal))
    }

    fn list(&self, query: &Query) -> Result<Page, ReadError> {
        self.with(|file| list(file, &self.tail, query, self.bounds))
    }

    fn entries_after(&self, after: Lsn, limit: usize) -> Result<Vec<PlacedEntry>, ReadError> {
        let Ok(after) = i64::try_from(after.to_bits()) else { return Ok(Vec::new()) };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(|file| {
            let mut entries =
                file.prepare_cached(select_entries!("WHERE place > ?1 ORDER BY place LIMIT ?2"))?;
            let rows = entries.query_map([after, limit], EntryRow::read)?;
            rows.map(|row| Ok(self.placed(row?))).collect()
        })
    }

    fn entries_of(&self, ordinal: u64) -> Result<Vec<PlacedEntry>, ReadError> {
        let Ok(ordinal) = i64::try_from(ordinal) else { return Ok(Vec::new()) };
        let found = self.with(|file| self.found(file, ordinal))?;
        let entries = found.map(|found| found.rows).unwrap_or_default();
        Ok(entries.into_iter().map(|row| self.placed(row)).collect())
    }
}

impl SqliteReader {
    /// Reads a transaction; an unreadable one must not keep others away.
    fn whole_or_damaged(&self, ordinal: u64) -> Result<Option<StoredTransaction>, ReadError> {
        let Ok(ordinal) = i64::try_from(ordinal) else { return Ok(None) };
        let found = match self.with(|file| self.found(file, ordinal)) {
            Err(ReadError::Damaged { why }) => {
                self.damage.note(format!("the transaction with ordinal {ordinal}: {why}"));
                Some(FoundTransaction::unreadable(ordinal, why))
            }
            found => found?,
        };
        Ok(found.map(FoundTransaction::stored))
    }

    fn placed(&self, row: EntryRow) -> PlacedEntry {
        let damage = row.damage();
        if let Some(why) = &damage {
            self.damage.note(why.clone());
        }
        row.placed(damage)
    }
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, 2_000)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}
