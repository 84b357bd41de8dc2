//! A transaction, found by its ordinal: in the tail, in the indexes, or in both.
//!
//! The result is compared with all that is known of it: each entry with its checksum, their number
//! with the table `unsettled`, and the last one with the label by which it is listed. So an index
//! that leads to too few entries does not make a transaction younger than it is.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction};
use wholly_core::{LogId, TransactionId};

use super::super::{ReadError, StoredEntry, StoredTransaction};
use super::index::Unsettled;
use super::labels::Dictionary;
use super::row::{EntryRow, Integrity};
use super::tail::Shared;

/// A transaction as it was found.
pub(super) struct FoundTransaction {
    pub(super) id: TransactionId,
    /// The client's key, if its entry is whole.
    pub(super) key: Option<String>,
    /// Its existing entries, whole or not.
    pub(super) rows: Vec<EntryRow>,
    /// The damage to it.
    pub(super) damage: Option<String>,
}

impl FoundTransaction {
    /// One of which nothing can be read but that it was there.
    pub(super) fn unreadable(ordinal: i64, why: String) -> Self {
        let id = TransactionId::of_parts(ordinal.unsigned_abs(), 0, LogId::from_bits(0));
        Self { id, key: None, rows: Vec::new(), damage: Some(why) }
    }

    pub(super) fn stored(self) -> StoredTransaction {
        let Self { id, rows, damage, .. } = self;
        let whole = rows.into_iter().filter(|row| row.integrity() == Integrity::Whole);
        let entries = whole.map(|row| StoredEntry { sequence: row.sequence, text: row.text });
        StoredTransaction { id, entries: entries.collect(), damage }
    }
}

/// A transaction as the indexes have it.
struct Indexed {
    places: String,
    label: i64,
    random: i64,
}

/// Finds a transaction in one snapshot of the file; `None` if it is not there, or was deleted.
pub(super) fn find(
    file: &Connection,
    tail: &Shared,
    ordinal: i64,
) -> Result<Option<FoundTransaction>, ReadError> {
    // First the tail, then the file: what leaves the tail is in the file by then.
    let (in_tail, begun, last_label) = match tail.lock().transactions.get(&ordinal) {
        Some(known) => (known.places.clone(), known.begun, Some(known.label)),
        None => (Vec::new(), None, None),
    };
    let _snapshot = snapshot(file)?;
    let indexed = indexed(file, ordinal)?;
    let unsettled = Unsettled::of(file, ordinal)?;
    let mut damage = None;
    let mut places = BTreeSet::new();
    if let Some(Indexed { places: text, .. }) = &indexed {
        match serde_json::from_str::<Vec<i64>>(text) {
            Ok(known) => places.extend(known),
            Err(_) => damage = Some(format!("its places {text:?} are none")),
        }
    }
    let before_the_tail = places.clone();
    places.extend(&in_tail);
    let mut rows = Vec::with_capacity(places.len());
    for place in &places {
        match EntryRow::at(file, *place)? {
            Some(row) => rows.push(row),
            None => _ = damage.get_or_insert(format!("its entry at place {place} is missing")),
        }
    }
    if indexed.is_none() && rows.is_empty() {
        return Ok(None); // It was deleted meanwhile, or never was.
    }
    let label = last_label.or(indexed.as_ref().map(|indexed| indexed.label));
    let indexed_rows = rows.iter().filter(|row| before_the_tail.contains(&row.place));
    let wrong = wrong_in(&rows, ordinal, label)
        .or_else(|| unsettled.and_then(|unsettled| incomplete(indexed_rows, unsettled)));
    let damage = damage.or(wrong);
    let id = begun.or(rows.first().and_then(|first| {
        let whole = first.integrity() == Integrity::Whole;
        first.id().filter(|_| whole)
    }));
    let id = match (id, indexed, rows.first()) {
        (Some(id), ..) => id,
        (None, Some(Indexed { label, random, .. }), _) => id_of(file, ordinal, label, random)?,
        (None, None, first) => {
            let told = first.and_then(EntryRow::id);
            told.unwrap_or(FoundTransaction::unreadable(ordinal, String::new()).id)
        }
    };
    let key = rows.first().filter(|first| first.integrity() == Integrity::Whole);
    let key = key.and_then(|first| first.key.clone());
    let damage = damage.map(|why| match why.contains("ordinal") {
        true => why,
        false => format!("the transaction {id}: {why}"),
    });
    Ok(Some(FoundTransaction { id, key, rows, damage }))
}

/// Begins a snapshot, unless the caller has one.
pub(super) fn snapshot(file: &Connection) -> rusqlite::Result<Option<Transaction<'_>>> {
    file.is_autocommit().then(|| file.unchecked_transaction()).transpose()
}

fn indexed(file: &Connection, ordinal: i64) -> Result<Option<Indexed>, ReadError> {
    let row = file
        .prepare_cached("SELECT places, label, random FROM transactions WHERE ordinal = ?1")?
        .query_row([ordinal], |row| {
            Ok(Indexed { places: row.get(0)?, label: row.get(1)?, random: row.get(2)? })
        })
        .optional()?;
    Ok(row)
}

/// The id, from the indexes and the label.
fn id_of(
    file: &Connection,
    ordinal: i64,
    label: i64,
    random: i64,
) -> Result<TransactionId, ReadError> {
    let log = Dictionary::of(file).log(label)?.unwrap_or(LogId::from_bits(0));
    Ok(TransactionId::of_parts(ordinal.unsigned_abs(), random.cast_unsigned(), log))
}

/// The damage to the entries of a transaction, whose last one has this label.
fn wrong_in(rows: &[EntryRow], ordinal: i64, label: Option<i64>) -> Option<String> {
    for (expected, row) in (0..).zip(rows) {
        if let Some(damage) = row.damage() {
            return Some(damage);
        }
        if row.ordinal != ordinal {
            return Some(format!("its entry at place {} is of another", row.place));
        }
        if row.sequence != expected {
            return Some(format!("its entry {expected} is missing"));
        }
    }
    let last = rows.last().map(|row| row.label);
    (last != label).then(|| "its last entry is not the one by which it is listed".to_owned())
}

/// The damage, if these are not the entries of the table `unsettled`.
fn incomplete<'r>(
    rows: impl Iterator<Item = &'r EntryRow>,
    unsettled: Unsettled,
) -> Option<String> {
    let (entries, total) = rows
        .fold((0, 0_i64), |(entries, total), row| (entries + 1, total.wrapping_add(row.checksum)));
    let Unsettled { entries: expected, total: sum, .. } = unsettled;
    ((entries, total) != (expected, sum))
        .then(|| format!("it has not the {expected} entries that it had"))
}
