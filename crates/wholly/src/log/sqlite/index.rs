//! The indexes of the file, written in sorted runs, and the deletion of what they lead to.

use std::fmt::Write;

use rusqlite::{Connection, OptionalExtension, params};

use super::labels::STANDING_BITS;
use super::tail::{InTail, Tail};

/// Writes the tail to the indexes, inside the caller's transaction. Everything before the place
/// `indexed` is in the indexes from then on.
pub(super) fn write_run(file: &Connection, tail: &Tail, indexed: i64) -> rusqlite::Result<()> {
    let mut unlist = file.prepare_cached(
        "DELETE FROM listed WHERE ordinal = ?1
         AND label = (SELECT label FROM transactions WHERE ordinal = ?1) RETURNING random",
    )?;
    let mut entries = file.prepare_cached(
        "INSERT INTO transactions VALUES (?1, ?2, ?3, ?4) ON CONFLICT (ordinal) DO UPDATE
         SET places = rtrim(places, ']') || ',' || ltrim(excluded.places, '['),
         label = excluded.label",
    )?;
    let mut start = file.prepare_cached("INSERT OR IGNORE INTO unsettled VALUES (?1)")?;
    let mut listed = Vec::with_capacity(tail.transactions.len());
    let mut text = String::new();
    for (ordinal, InTail { places, label, begun }) in &tail.transactions {
        let random = match begun {
            Some(id) => Some(id.random_half().get() as i64),
            None => unlist.query_row([ordinal], |row| row.get(0)).optional()?.flatten(),
        };
        array(places, &mut text);
        entries.execute(params![ordinal, text, label, random])?;
        listed.push((*label, *ordinal, random));
        if tail.unsettled.contains(ordinal) {
            start.execute([ordinal])?;
        }
    }
    let mut end = file.prepare_cached("DELETE FROM unsettled WHERE ordinal = ?1")?;
    let begun = |ordinal| tail.transactions.get(ordinal).is_some_and(|known| known.begun.is_some());
    for (ordinal, _) in tail.ended.iter().filter(|(ordinal, _)| !begun(ordinal)) {
        end.execute([ordinal])?;
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
    file.prepare_cached("UPDATE meta SET indexed = ?1")?.execute([indexed])?;
    Ok(())
}

/// Writes places as a JSON array, in the place of what `text` was.
fn array(places: &[i64], text: &mut String) {
    text.clear();
    for (nth, place) in places.iter().enumerate() {
        text.push(if nth == 0 { '[' } else { ',' });
        // A string takes all that is written.
        let _ = write!(text, "{place}");
    }
    text.push(']');
}

/// Deletes a transaction, whose entries are all in the indexes.
pub(super) fn delete(file: &Connection, ordinal: i64) -> rusqlite::Result<()> {
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
        unlist(file, ordinal, label)?;
    }
    for sql in [
        "DELETE FROM entries WHERE place IN
         (SELECT value FROM transactions, json_each(places) WHERE ordinal = ?1)",
        "DELETE FROM transactions WHERE ordinal = ?1",
    ] {
        file.prepare_cached(sql)?.execute([ordinal])?;
    }
    Ok(())
}

/// Takes a transaction out of the list, and its kind with it if it was the last of that kind, among
/// those that are in no index yet, too.
fn unlist(file: &Connection, ordinal: i64, label: i64) -> rusqlite::Result<()> {
    file.prepare_cached("DELETE FROM listed WHERE label = ?1 AND ordinal = ?2")?
        .execute([label, ordinal])?;
    let kind = label >> STANDING_BITS;
    file.prepare_cached(
        "DELETE FROM kinds WHERE kind = ?1
         AND NOT EXISTS (SELECT 1 FROM listed WHERE label >= ?2 AND label < ?3)
         AND NOT EXISTS (SELECT 1 FROM entries WHERE place >= (SELECT indexed FROM meta)
                         AND label >= ?2 AND label < ?3)",
    )?
    .execute([kind, kind << STANDING_BITS, (kind + 1) << STANDING_BITS])?;
    Ok(())
}
