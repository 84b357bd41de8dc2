//! The indexes of the file, written in sorted runs, and the deletion of what they lead to.

use rusqlite::{Connection, OptionalExtension, params};

use super::tail::Tail;

/// Writes the tail to the indexes, inside the caller's transaction. Everything before the place
/// `indexed` is in the indexes from then on.
pub(super) fn write_run(file: &Connection, tail: &Tail, indexed: i64) -> rusqlite::Result<()> {
    let mut entries = file.prepare_cached(
        "INSERT INTO transactions VALUES (?1, ?2) ON CONFLICT (ordinal) DO UPDATE
         SET places = rtrim(places, ']') || ',' || ltrim(excluded.places, '[')",
    )?;
    let mut start = file.prepare_cached("INSERT OR IGNORE INTO unsettled VALUES (?1)")?;
    for (ordinal, places) in &tail.places {
        let places: Vec<_> = places.iter().map(i64::to_string).collect();
        entries.execute(params![ordinal, format!("[{}]", places.join(","))])?;
        if tail.unsettled.contains(ordinal) {
            start.execute([ordinal])?;
        }
    }
    let mut end = file.prepare_cached("DELETE FROM unsettled WHERE ordinal = ?1")?;
    for ordinal in &tail.ended {
        end.execute([ordinal])?;
    }
    // Sorted, so that keys that share a page are written to it in one go.
    let mut keys: Vec<_> = tail.keys.iter().map(|(key, id)| (key.as_str(), id.ordinal())).collect();
    keys.sort_unstable();
    let mut insert = file.prepare_cached("INSERT OR REPLACE INTO keys VALUES (?1, ?2)")?;
    for (key, ordinal) in keys {
        insert.execute(params![key, ordinal as i64])?;
    }
    file.prepare_cached("UPDATE meta SET indexed = ?1")?.execute([indexed])?;
    Ok(())
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
    for sql in [
        "DELETE FROM entries WHERE place IN
         (SELECT value FROM transactions, json_each(places) WHERE ordinal = ?1)",
        "DELETE FROM transactions WHERE ordinal = ?1",
    ] {
        file.prepare_cached(sql)?.execute([ordinal])?;
    }
    Ok(())
}
