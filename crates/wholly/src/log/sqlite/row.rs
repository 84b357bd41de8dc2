//! An entry's row as it is read back: compared with its checksum before any use.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use wholly_core::TransactionId;

use super::super::{Lsn, PlacedEntry};
use super::probe::{Bug, planted};
use super::{checksum, id};

/// The columns that are selected of an entry.
macro_rules! select_entries {
    ($where:literal) => {
        concat!(
            "SELECT place, ordinal, sequence, ends, id, key, label, text, checksum, chain ",
            "FROM entries ",
            $where
        )
    };
}
pub(super) use select_entries;

/// An entry's row. Damage may have left anything in it, also values of other types.
#[derive(Clone, Debug)]
pub(super) struct EntryRow {
    pub(super) place: i64,
    pub(super) ordinal: i64,
    pub(super) sequence: u32,
    pub(super) ends: i64,
    pub(super) id: Option<Vec<u8>>,
    pub(super) key: Option<String>,
    pub(super) label: i64,
    pub(super) text: String,
    pub(super) checksum: i64,
    /// The chain, in a batch's first row.
    pub(super) chain: Option<i64>,
    /// True if a column has an impossible value.
    malformed: bool,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    Whole,
    /// The content is damaged, but the transaction is known.
    Damaged,
    /// The transaction is unknown.
    Nameless,
}

impl EntryRow {
    /// The entry at a place, if there is one.
    pub(super) fn at(file: &Connection, place: i64) -> rusqlite::Result<Option<Self>> {
        file.prepare_cached(select_entries!("WHERE place = ?1"))?
            .query_row([place], Self::read)
            .optional()
    }

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut read = Columns { row, malformed: false };
        let sequence = read.number(2)?;
        let mut entry = Self {
            place: read.number(0)?,
            ordinal: read.number(1)?,
            sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
            ends: read.number(3)?,
            id: read.blob(4)?,
            key: read.text(5)?,
            label: read.number(6)?,
            text: String::new(),
            checksum: read.number(8)?,
            chain: None,
            malformed: false,
        };
        match read.text(7)? {
            Some(text) => entry.text = text,
            None => read.malformed = true,
        }
        entry.malformed = read.malformed || u32::try_from(sequence).is_err();
        entry.chain = row.get(9).unwrap_or_default();
        Ok(entry)
    }

    pub(super) fn integrity(&self) -> Integrity {
        let row = self.row();
        match () {
            () if !self.malformed && row.checksum() == self.checksum => Integrity::Whole,
            () if planted(Bug::AnyChecksum) => Integrity::Whole,
            () if row.is_named_by(self.checksum) => Integrity::Damaged,
            () => Integrity::Nameless,
        }
    }

    /// The damage to it, if any.
    pub(super) fn damage(&self) -> Option<String> {
        let Self { place, ordinal, sequence, .. } = self;
        match self.integrity() {
            Integrity::Whole => None,
            Integrity::Damaged => Some(format!(
                "entry {sequence} of the transaction with ordinal {ordinal} (place {place}) is not \
                 what was written"
            )),
            Integrity::Nameless => {
                Some(format!("the entry at place {place} is not what was written, nor whose it is"))
            }
        }
    }

    /// The id, if this is a transaction's first entry.
    pub(super) fn id(&self) -> Option<TransactionId> {
        self.id.as_deref().and_then(|column| id::read(column, self.ordinal))
    }

    pub(super) fn placed(self, damage: Option<String>) -> PlacedEntry {
        PlacedEntry {
            lsn: Lsn::from_bits(self.place.unsigned_abs()),
            ordinal: self.ordinal.unsigned_abs(),
            id: self.id(),
            sequence: self.sequence,
            text: if damage.is_none() { self.text } else { String::new() },
            damage,
        }
    }

    /// The checksum that it should have.
    pub(super) fn right_checksum(&self) -> i64 {
        self.row().checksum()
    }

    fn row(&self) -> checksum::Row<'_> {
        let Self { place, ordinal, sequence, ends, label, .. } = *self;
        let (id, key, text) = (self.id.as_deref(), self.key.as_deref(), &*self.text);
        checksum::Row { place, ordinal, sequence, ends, id, key, label, text }
    }
}

/// Columns that may have values of any type.
struct Columns<'r, 's> {
    row: &'r Row<'s>,
    malformed: bool,
}

impl Columns<'_, '_> {
    fn number(&mut self, column: usize) -> rusqlite::Result<i64> {
        match self.row.get_ref(column)? {
            ValueRef::Integer(number) => Ok(number),
            _ => Ok(self.wrong()),
        }
    }

    fn blob(&mut self, column: usize) -> rusqlite::Result<Option<Vec<u8>>> {
        match self.row.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes.to_vec())),
            _ => Ok(self.wrong()),
        }
    }

    fn text(&mut self, column: usize) -> rusqlite::Result<Option<String>> {
        match self.row.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Ok(self.wrong()),
            },
            _ => Ok(self.wrong()),
        }
    }

    fn wrong<T: Default>(&mut self) -> T {
        self.malformed = true;
        T::default()
    }
}
