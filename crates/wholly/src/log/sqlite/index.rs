//! The indexes of the file, written in sorted runs, and the deletion of indexed transactions.

use std::fmt::Write;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::checksum::numbers;
use super::labels::STANDING_BITS;
use super::meta::Meta;
use super::tail::{InTail, ReadBack, Tail, read_back};

/// Writes the tail to the indexes, inside the caller's transaction, and notes it in `meta`, which
/// the caller writes. From then on everything before the place `indexed` is in the indexes, and
/// `chain` is that of the last batch there.
pub(super) fn write_run(
    file: &Connection,
    meta: &mut Meta,
    tail: &Tail,
    indexed: i64,
    chain: i64,
) -> rusqlite::Result<()> {
    let mut unlist = file.prepare_cached(
        "DELETE FROM listed WHERE ordinal = ?1
         AND label = (SELECT label FROM transactions WHERE ordinal = ?1) RETURNING random",
    )?;
    let mut entries = file.prepare_cached(
        "INSERT INTO transactions VALUES (?1, ?2, ?3, ?4) ON CONFLICT (ordinal) DO UPDATE
         SET places = rtrim(places, ']') || ',' || ltrim(excluded.places, '['),
         label = excluded.label",
    )?;
    let mut listed = Vec::with_capacity(tail.transactions.len());
    let mut text = String::new();
    for (ordinal, known) in &tail.transactions {
        let InTail { places, label, begun, .. } = known;
        // It is unknown if the first entry was lost.
        let random: i64 = match begun {
            Some(id) => id.random_half().get().cast_signed(),
            None => unlist.query_row([ordinal], |row| row.get(0)).optional()?.unwrap_or(0),
        };
        array(places, &mut text);
        entries.execute(params![ordinal, text, label, random])?;
        listed.push((*label, *ordinal, random));
        note_unsettled(file, meta, *ordinal, known, tail.unsettled.contains(ordinal))?;
    }
    // Sorted, here and below, so that rows that share a page are written to it in one go.
    listed.sort_unstable();
    let mut list = file.prepare_cached("INSERT INTO listed VALUES (?1, ?2, ?3)")?;
    for row in listed {
        list.execute(row)?;
    }
    let mut keys: Vec<_> = tail.keys.iter().map(|(key, id)| (key.as_str(), id.ordinal())).collect();
    keys.sort_unstable();
    let mut insert = file.prepare_cached("INSERT OR REPLACE INTO keys VALUES (?1, ?2)")?;
    for (key, ordinal) in keys {
        insert.execute(params![key, ordinal as i64])?;
    }
    (meta.indexed, meta.chain) = (indexed, chain);
    meta.total = meta.total.wrapping_add(tail.sum);
    Ok(())
}

/// A row of the table `unsettled`: the transaction, the number of its entries in the indexes, and
/// the sum of their checksums.
#[derive(Clone, Copy)]
pub(super) struct Unsettled {
    pub(super) ordinal: i64,
    pub(super) entries: i64,
    pub(super) total: i64,
}

impl Unsettled {
    pub(super) fn of(file: &Connection, ordinal: i64) -> rusqlite::Result<Option<Self>> {
        file.prepare_cached("SELECT ordinal, entries, total FROM unsettled WHERE ordinal = ?1")?
            .query_row([ordinal], Self::read)
            .optional()
    }

    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { ordinal: row.get(0)?, entries: row.get(1)?, total: row.get(2)? })
    }

    pub(super) fn checksum(&self) -> i64 {
        numbers(&[self.ordinal, self.entries, self.total]).cast_signed()
    }
}

/// Updates the table `unsettled`: the transactions of a restart must be complete.
fn note_unsettled(
    file: &Connection,
    meta: &mut Meta,
    ordinal: i64,
    known: &InTail,
    unsettled: bool,
) -> rusqlite::Result<()> {
    let before = if known.begun.is_some() { None } else { Unsettled::of(file, ordinal)? };
    if let Some(before) = before {
        meta.unsettled = meta.unsettled.wrapping_sub(before.checksum());
    }
    if unsettled {
        let (entries, total) = before.map_or((0, 0), |before| (before.entries, before.total));
        let entries = entries + known.places.len() as i64;
        let now = Unsettled { ordinal, entries, total: total.wrapping_add(known.sum) };
        meta.unsettled = meta.unsettled.wrapping_add(now.checksum());
        file.prepare_cached("INSERT OR REPLACE INTO unsettled VALUES (?1, ?2, ?3)")?.execute([
            ordinal,
            now.entries,
            now.total,
        ])?;
    } else if before.is_some() {
        file.prepare_cached("DELETE FROM unsettled WHERE ordinal = ?1")?.execute([ordinal])?;
    }
    Ok(())
}

/// Writes places as a JSON array, in place of the former `text`.
fn array(places: &[i64], text: &mut String) {
    text.clear();
    for (nth, place) in places.iter().enumerate() {
        text.push(if nth == 0 { '[' } else { ',' });
        // A write to a string never fails.
        let _ = write!(text, "{place}");
    }
    text.push(']');
}

/// Deletes a transaction whose entries are all in the indexes, and are whole.
pub(super) fn delete(file: &Connection, meta: &mut Meta, ordinal: i64) -> rusqlite::Result<()> {
    let key: Option<String> = file
        .prepare_cached(
            "SELECT key FROM entries WHERE place =
             (SELECT json_extract(places, '$[0]') FROM transactions WHERE ordinal = ?1)",
        )?
        .query_row([ordinal], |row| row.get(0))
        .optional()?
        .flatten();
    if let Some(key) = key {
        file.prepare_cached("DELETE FROM keys WHERE key = ?1 AND ordinal = ?2")?
            .execute(params![key, ordinal])?;
    }
    let label: Option<i64> = file
        .prepare_cached("SELECT label FROM transactions WHERE ordinal = ?1")?
        .query_row([ordinal], |row| row.get(0))
        .optional()?;
    if let Some(label) = label {
        unlist(file, ordinal, label, meta.indexed)?;
    }
    let mut entries = file.prepare_cached(
        "DELETE FROM entries WHERE place IN
         (SELECT value FROM transactions, json_each(places) WHERE ordinal = ?1) RETURNING checksum",
    )?;
    let mut deleted = entries.query([ordinal])?;
    while let Some(entry) = deleted.next()? {
        meta.total = meta.total.wrapping_sub(entry.get(0)?);
    }
    file.prepare_cached("DELETE FROM transactions WHERE ordinal = ?1")?.execute([ordinal])?;
    Ok(())
}

/// Takes a transaction out of the list, and its kind with it if it was the last of that kind,
/// unindexed transactions included.
fn unlist(file: &Connection, ordinal: i64, label: i64, indexed: i64) -> rusqlite::Result<()> {
    file.prepare_cached("DELETE FROM listed WHERE label = ?1 AND ordinal = ?2")?
        .execute([label, ordinal])?;
    let kind = label >> STANDING_BITS;
    file.prepare_cached(
        "DELETE FROM kinds WHERE kind = ?1
         AND NOT EXISTS (SELECT 1 FROM listed WHERE label >= ?2 AND label < ?3)
         AND NOT EXISTS (SELECT 1 FROM entries WHERE place >= ?4
                         AND label >= ?2 AND label < ?3)",
    )?
    .execute([kind, kind << STANDING_BITS, (kind + 1) << STANDING_BITS, indexed])?;
    Ok(())
}

/// Makes the indexes anew from the entries that are there, whatever the indexes held: after damage
/// that an operator accepted. Returns the rest of the tail.
pub(super) fn make_anew(file: &mut Connection, meta: &mut Meta) -> rusqlite::Result<ReadBack> {
    const AT_ONCE: usize = 4_096;
    let anew = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    anew.execute_batch(
        "DELETE FROM transactions; DELETE FROM listed; DELETE FROM keys; DELETE FROM unsettled;",
    )?;
    (meta.indexed, meta.total, meta.unsettled) = (0, 0, 0);
    let mut read = loop {
        let read = read_back(&anew, meta, AT_ONCE)?;
        if read.tail.len == 0 {
            break read;
        }
        write_run(&anew, meta, &read.tail, read.end, read.chain)?;
    };
    meta.write(&anew)?;
    anew.commit()?;
    read.damage = None;
    Ok(read)
}
