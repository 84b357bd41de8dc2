//! The reading end: connections of its own, so that it goes on when the writer has failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use wholly_core::{Key, TransactionId};

use super::super::listing::{Page, Query};
use super::super::{LogReader, Place, PlacedEntry, ReadError, StoredEntry, StoredTransaction};
use super::connect;
use super::id;
use super::list::{Bounds, list};
use super::tail::Shared;

/// How many idle connections are kept.
const KEEP: usize = 4;

pub(super) struct SqliteReader {
    path: PathBuf,
    tail: Arc<Shared>,
    idle: Mutex<Vec<Connection>>,
    bounds: Bounds,
}

impl SqliteReader {
    /// Opens the first connection at once: reads go on when no more files can be opened.
    pub(super) fn open(path: &Path, tail: Arc<Shared>, bounds: Bounds) -> rusqlite::Result<Self> {
        let idle = Mutex::new(vec![read_only(path)?]);
        Ok(Self { path: path.to_owned(), tail, idle, bounds })
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let pool = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = pool().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => read_only(&self.path)?,
        };
        let result = read(&connection);
        let mut idle = pool();
        if idle.len() < KEEP {
            idle.push(connection);
        }
        result
    }

    /// A transaction by its ordinal; `None` if it is not there, or was deleted meanwhile.
    fn stored(
        &self,
        file: &Connection,
        ordinal: i64,
    ) -> Result<Option<StoredTransaction>, ReadError> {
        let placed = self.placed(file, ordinal)?;
        let id = placed.first().and_then(|first| first.id);
        let stored =
            |placed: PlacedEntry| StoredEntry { sequence: placed.sequence, text: placed.text };
        let entries = placed.into_iter().map(stored).collect();
        Ok(id.map(|id| StoredTransaction { id, entries, damage: None }))
    }

    /// A transaction's entries; none if it is not there, or was deleted meanwhile.
    fn placed(&self, file: &Connection, ordinal: i64) -> Result<Vec<PlacedEntry>, ReadError> {
        let mut entries = Vec::new();
        for place in self.places(file, ordinal)? {
            let row = file
                .prepare_cached(
                    "SELECT place, ordinal, id, sequence, text FROM entries WHERE place = ?1",
                )?
                .query_row([place], Row::read)
                .optional()?;
            let Some(row) = row else { return Ok(Vec::new()) };
            entries.push(row.parsed()?);
        }
        Ok(entries)
    }

    /// The places of a transaction's entries, which ascend: of the tail first, then of the index,
    /// because what leaves the tail is in the index by then.
    fn places(&self, file: &Connection, ordinal: i64) -> Result<BTreeSet<i64>, ReadError> {
        let mut places: BTreeSet<_> = match self.tail.lock().transactions.get(&ordinal) {
            Some(known) => known.places.iter().copied().collect(),
            None => BTreeSet::new(),
        };
        let indexed: Option<String> = file
            .prepare_cached("SELECT places FROM transactions WHERE ordinal = ?1")?
            .query_row([ordinal], |row| row.get(0))
            .optional()?;
        if let Some(indexed) = indexed {
            let indexed: Vec<i64> = serde_json::from_str(&indexed).map_err(|error| {
                ReadError::Storage { why: format!("the places {indexed:?} are none: {error}") }
            })?;
            places.extend(indexed);
        }
        Ok(places)
    }
}

impl LogReader for SqliteReader {
    fn history(&self, id: TransactionId) -> Result<Option<StoredTransaction>, ReadError> {
        let Ok(ordinal) = i64::try_from(id.ordinal()) else { return Ok(None) };
        // An ordinal is unique in one log; an id that has it may come from another.
        Ok(self.with(|file| self.stored(file, ordinal))?.filter(|found| found.id == id))
    }

    fn by_key(&self, key: &Key) -> Result<Option<TransactionId>, ReadError> {
        if let Some(id) = self.tail.lock().keys.get(key) {
            return Ok(Some(*id));
        }
        self.with(|file| {
            let ordinal = file
                .prepare_cached("SELECT ordinal FROM keys WHERE key = ?1")?
                .query_row([key.as_str()], |row| row.get(0))
                .optional()?;
            ordinal.map_or(Ok(None), |ordinal| self.id(file, ordinal))
        })
    }

    fn trimmed(&self) -> Result<u64, ReadError> {
        self.with(|file| {
            let mut trimmed = file.prepare_cached("SELECT trimmed FROM meta")?;
            Ok(trimmed.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
        })
    }

    fn unsettled(
        &self,
        after: Option<TransactionId>,
        limit: usize,
    ) -> Result<Vec<StoredTransaction>, ReadError> {
        let from = after.map_or(0, |id| (id.ordinal() as i64).saturating_add(1));
        let ordinals: Vec<i64> =
            self.tail.lock().unsettled.range(from..).take(limit).copied().collect();
        self.with(|file| {
            ordinals.into_iter().filter_map(|o| self.stored(file, o).transpose()).collect()
        })
    }

    fn list(&self, query: &Query) -> Result<Page, ReadError> {
        self.with(|file| list(file, &self.tail, query, self.bounds))
    }

    fn entries_after(&self, after: Place, limit: usize) -> Result<Vec<PlacedEntry>, ReadError> {
        let Ok(after) = i64::try_from(after.to_bits()) else { return Ok(Vec::new()) };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(|file| {
            let mut entries = file.prepare_cached(
                "SELECT place, ordinal, id, sequence, text FROM entries WHERE place > ?1
                 ORDER BY place LIMIT ?2",
            )?;
            let rows = entries.query_map([after, limit], Row::read)?;
            rows.map(|row| row?.parsed()).collect()
        })
    }

    fn entries_of(&self, ordinal: u64) -> Result<Vec<PlacedEntry>, ReadError> {
        let Ok(ordinal) = i64::try_from(ordinal) else { return Ok(Vec::new()) };
        self.with(|file| self.placed(file, ordinal))
    }
}

/// A row of the table of entries, as it is written.
struct Row {
    place: i64,
    ordinal: i64,
    id: Value,
    sequence: u32,
    text: String,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            place: row.get(0)?,
            ordinal: row.get(1)?,
            id: row.get(2)?,
            sequence: row.get(3)?,
            text: row.get(4)?,
        })
    }

    fn parsed(self) -> Result<PlacedEntry, ReadError> {
        Ok(PlacedEntry {
            place: Place::from_bits(self.place.unsigned_abs()),
            ordinal: self.ordinal.unsigned_abs(),
            id: id::read(&self.id, self.ordinal)?,
            sequence: self.sequence,
            text: self.text,
            damage: None,
        })
    }
}

impl SqliteReader {
    fn id(&self, file: &Connection, ordinal: i64) -> Result<Option<TransactionId>, ReadError> {
        let Some(place) = self.places(file, ordinal)?.first().copied() else { return Ok(None) };
        file.prepare_cached("SELECT id FROM entries WHERE place = ?1 AND sequence = 0")?
            .query_row([place], |row| row.get(0))
            .optional()?
            .map_or(Ok(None), |id| id::read(&id, ordinal))
    }
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, 2_000)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}
