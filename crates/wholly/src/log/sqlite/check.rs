//! The whole log, compared with itself: every transaction's entries with the indexes.
//!
//! The entries are the truth, and the checksum of each shows that it is whole. The check adds that
//! none is missing, and that the indexes lead to all of them: a key that leads nowhere would let a
//! client's transaction run twice.
//!
//! A small log is checked before it is opened, a large one in the background, in pieces that leave
//! room for the appends. The part under check stands still: the entries before a place are only
//! changed by removals, which wait for the check.

use rusqlite::{Connection, OptionalExtension};

use super::checksum::{numbers, text};
use super::find::{FoundTransaction, find, snapshot};
use super::index::Unsettled;
use super::labels::Dictionary;
use super::meta::Meta;
use super::tail::Shared;
use crate::log::ReadError;
use wholly_core::TransactionId;

/// The number of transactions in a piece.
const PIECE: i64 = 256;
/// The number of keys in a piece: they are read in order, and faster than any come.
const KEYS: i64 = 16 * PIECE;

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DamagedPart {
    pub(super) what: String,
    /// The transaction that it puts in doubt; `None` if it may be any.
    pub(super) transaction: Option<TransactionId>,
}

impl DamagedPart {
    pub(super) fn of_any(what: impl Into<String>) -> Self {
        Self { what: what.into(), transaction: None }
    }
}

/// A check on its way.
pub(super) struct FileCheck {
    /// As it was when the check began.
    meta: Meta,
    /// The greatest ordinal that is checked.
    until: i64,
    after: i64,
    /// The sum of the checksums of the entries that were seen.
    seen: i64,
    /// The sum of the keys: of the entries, less those of the index.
    keys: i64,
    after_key: Option<String>,
    phase: Phase,
    pub(super) transactions: u64,
    unsettled: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Transactions,
    Keys,
    Done,
}

impl FileCheck {
    /// A check of what the indexes hold by now.
    pub(super) fn begin(file: &Connection, meta: Meta) -> rusqlite::Result<Self> {
        let last = "SELECT coalesce(max(ordinal), 0) FROM transactions";
        let until = file.query_row(last, [], |row| row.get(0))?;
        Ok(Self {
            meta,
            until,
            after: i64::MIN,
            seen: 0,
            keys: 0,
            after_key: None,
            phase: Phase::Transactions,
            transactions: 0,
            unsettled: 0,
        })
    }

    /// Checks the next piece, in one snapshot; returns `false` once everything is checked.
    pub(super) fn piece(
        &mut self,
        file: &Connection,
        tell: &mut dyn FnMut(DamagedPart),
    ) -> Result<bool, ReadError> {
        let snapshot = snapshot(file)?;
        match self.phase {
            Phase::Transactions => self.transactions(file, tell)?,
            Phase::Keys => self.keys(file, tell)?,
            Phase::Done => {}
        }
        drop(snapshot);
        Ok(self.phase != Phase::Done)
    }

    /// Checks that the indexes have nothing more than was seen. Nothing may be appended meanwhile.
    pub(super) fn nothing_more(
        &self,
        file: &Connection,
        tell: &mut dyn FnMut(DamagedPart),
    ) -> Result<(), ReadError> {
        let count = |table: &str| {
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
        };
        if count("listed")? != self.transactions as i64 {
            tell(DamagedPart::of_any("the list has not as many transactions as there are"));
        }
        if count("unsettled")? != self.unsettled {
            tell(DamagedPart::of_any("the list of what is unsettled has not as many as there are"));
        }
        Ok(())
    }

    fn transactions(
        &mut self,
        file: &Connection,
        tell: &mut dyn FnMut(DamagedPart),
    ) -> Result<(), ReadError> {
        let mut rows = file.prepare_cached(
            "SELECT ordinal, label, random FROM transactions
             WHERE ordinal > ?1 AND ordinal <= ?2 ORDER BY ordinal LIMIT ?3",
        )?;
        let rows: Vec<(i64, i64, i64)> = rows
            .query_map([self.after, self.until, PIECE], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        if rows.len() < PIECE as usize {
            self.phase = Phase::Keys;
        }
        let mut dictionary = Dictionary::of(file);
        for (ordinal, label, random) in rows {
            self.after = ordinal;
            self.transactions += 1;
            if dictionary.labels(label)?.is_none() {
                tell(DamagedPart::of_any(format!("there is no label {label}")));
            }
            if let Some(problem) = self.transaction(file, ordinal, label, random)? {
                tell(problem);
            }
        }
        if self.phase == Phase::Keys && self.seen != self.meta.total {
            tell(DamagedPart::of_any("entries are missing, or there are some that none had"));
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        file: &Connection,
        ordinal: i64,
        label: i64,
        random: i64,
    ) -> Result<Option<DamagedPart>, ReadError> {
        let Some(found) = find(file, &Shared::default(), ordinal)? else { return Ok(None) };
        let before = self.meta.indexed;
        for row in found.rows.iter().filter(|row| row.place < before) {
            self.seen = self.seen.wrapping_add(row.checksum);
        }
        if let Some(key) = found.rows.first().and_then(|first| first.key.as_deref()) {
            self.keys = self.keys.wrapping_add(key_checksum(key, ordinal));
        }
        let listed: Option<i64> = file
            .prepare_cached("SELECT random FROM listed WHERE label = ?1 AND ordinal = ?2")?
            .query_row([label, ordinal], |row| row.get(0))
            .optional()?;
        let settled = label & 1 == 1;
        self.unsettled += i64::from(!settled);
        let is_unsettled = Unsettled::of(file, ordinal)?.is_some();
        let FoundTransaction { id, damage, .. } = found;
        let wrong = match () {
            () if listed != Some(random) => Some("it is not listed as what it is"),
            () if is_unsettled == settled => Some("whether it has settled is told in two ways"),
            () if id.random_half().get().cast_signed() != random => {
                Some("its id is told in two ways")
            }
            () => None,
        };
        let what = damage.or(wrong.map(|wrong| format!("the transaction {id}: {wrong}")));
        Ok(what.map(|what| DamagedPart { what, transaction: Some(id) }))
    }

    fn keys(
        &mut self,
        file: &Connection,
        tell: &mut dyn FnMut(DamagedPart),
    ) -> Result<(), ReadError> {
        let mut rows = file.prepare_cached(
            "SELECT key, ordinal FROM keys WHERE ?1 IS NULL OR key > ?1 ORDER BY key LIMIT ?2",
        )?;
        let rows: Vec<(String, i64)> = rows
            .query_map((&self.after_key, KEYS), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if rows.len() < KEYS as usize {
            self.phase = Phase::Done;
        }
        for (key, ordinal) in rows {
            if ordinal <= self.until {
                self.keys = self.keys.wrapping_sub(key_checksum(&key, ordinal));
            }
            self.after_key = Some(key);
        }
        if self.phase == Phase::Done && self.keys != 0 {
            tell(DamagedPart::of_any("clients' keys do not lead to their transactions"));
        }
        Ok(())
    }
}

fn key_checksum(key: &str, ordinal: i64) -> i64 {
    numbers(&[text(Some(key.as_bytes())), ordinal]).cast_signed()
}
