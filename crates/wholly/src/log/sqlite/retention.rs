//! What the log lets go of: transactions that were kept for long enough, and payloads before them.
//!
//! Both go on in pieces, each a commit of its own, small enough that the appends that wait for it
//! do not feel it.
//!
//! What is deleted or rewritten is overwritten with zeros in the pages that it leaves
//! (`secure_delete`), free ones among them. The write-ahead log still holds pages as they were: it
//! is cut off once nothing is left to remove. What the storage itself keeps of blocks that were
//! written before, and copies made earlier, are beyond this.
//!
//! INVARIANT: only what has ended is deleted or rewritten. What ended in the tail counts as
//! unsettled until the indexes hold it.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use wholly_core::Timestamp;

use super::super::{AppendError, Position, StoredEntry, StoredTransaction, WithoutPayloads};
use super::index;
use super::reader::parse;
use super::tail::Shared;
use super::writer::{SqliteWriter, check_owner, first_ordinal, first_place, head, keep_head};

/// So many bytes of text make a piece, however few transactions have them.
const PIECE_BYTES: i64 = 1 << 20;

impl SqliteWriter {
    /// Deletes transactions that have ended, the oldest first.
    pub(super) fn trim_piece(
        &mut self,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, AppendError> {
        let below = first_ordinal(before);
        overwrite_what_is_deleted(&self.file)?;
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_owner(&file, self.epoch)?;
        let head = head(&file)?;
        let indexed = index_ended(&file, &self.tail, below, head)?;
        let ended = ordinals(
            &file,
            "SELECT ordinal FROM transactions WHERE ordinal < ?1
             AND ordinal NOT IN (SELECT ordinal FROM unsettled) ORDER BY ordinal LIMIT ?2",
            below,
            limit,
        )?;
        let mut deleted = 0;
        let mut bytes = 0;
        for ordinal in ended {
            bytes += bytes_of(&file, ordinal)?;
            index::delete(&file, ordinal)?;
            file.prepare_cached("UPDATE meta SET trimmed = max(trimmed, ?1)")?
                .execute([ordinal])?;
            deleted += 1;
            if bytes > PIECE_BYTES {
                break;
            }
        }
        if deleted > 0 {
            // The last batch may be among what was deleted, and with it the place that tells the
            // head.
            keep_head(&file, head)?;
        }
        file.commit()?;
        self.kinds.forget();
        self.piece_is_done(indexed, deleted);
        Ok(deleted)
    }

    /// Rewrites transactions that have ended, each once. `meta.rewritten` is how far this has come
    /// among the ordinals, and `passed_over` holds those before it that had not ended.
    pub(super) fn remove_piece(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        let below = first_ordinal(before);
        overwrite_what_is_deleted(&self.file)?;
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_owner(&file, self.epoch)?;
        let indexed = index_ended(&file, &self.tail, below, head(&file)?)?;
        let mut room = Room { transactions: limit, bytes: PIECE_BYTES };
        let ended_since = ordinals(
            &file,
            "SELECT ordinal FROM passed_over WHERE ordinal < ?1
             AND ordinal NOT IN (SELECT ordinal FROM unsettled) ORDER BY ordinal LIMIT ?2",
            below,
            limit,
        )?;
        for ordinal in ended_since {
            if room.take(bytes_of(&file, ordinal)?) {
                rewrite(&file, ordinal, without)?;
                file.prepare_cached("DELETE FROM passed_over WHERE ordinal = ?1")?
                    .execute([ordinal])?;
            }
        }
        let next = ordinals(
            &file,
            "SELECT ordinal FROM transactions WHERE ordinal < ?1
             AND ordinal > (SELECT rewritten FROM meta) ORDER BY ordinal LIMIT ?2",
            below,
            room.transactions,
        )?;
        for ordinal in next {
            if !room.take(bytes_of(&file, ordinal)?) {
                break;
            }
            match is_unsettled(&file, ordinal)? {
                true => _ = file.execute("INSERT INTO passed_over VALUES (?1)", [ordinal])?,
                false => rewrite(&file, ordinal, without)?,
            }
            file.prepare_cached("UPDATE meta SET rewritten = ?1")?.execute([ordinal])?;
        }
        file.commit()?;
        let examined = limit - room.transactions;
        self.piece_is_done(indexed, examined);
        Ok(examined)
    }

    fn piece_is_done(&mut self, indexed: bool, done: usize) {
        if indexed {
            self.tail.lock().clear();
        }
        if done > 0 {
            self.removed = true;
        } else if self.removed {
            self.checkpoints.committed(&self.file);
            self.removed = !self.checkpoints.cut_off(&self.file);
        }
    }
}

/// What a piece may still take.
struct Room {
    transactions: usize,
    bytes: i64,
}

impl Room {
    /// Takes a transaction, if there is room; one alone may be larger than a piece.
    fn take(&mut self, bytes: i64) -> bool {
        if self.transactions == 0 || self.bytes <= 0 {
            return false;
        }
        self.transactions -= 1;
        self.bytes -= bytes;
        true
    }
}

fn overwrite_what_is_deleted(file: &Connection) -> rusqlite::Result<()> {
    file.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))
}

/// Moves the tail to the indexes where it holds the end of something old; the caller clears it
/// after the commit. What is old has mostly ended long ago, and a run for its own sake is dear.
fn index_ended(
    file: &Connection,
    tail: &Shared,
    below: i64,
    head: Position,
) -> Result<bool, AppendError> {
    let tail = tail.lock();
    let holds_an_end = tail.ended.iter().any(|ordinal| *ordinal < below);
    if holds_an_end {
        index::write_run(file, &tail, first_place(head.next())?)?;
    }
    Ok(holds_an_end)
}

fn ordinals(file: &Connection, sql: &str, below: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    file.prepare_cached(sql)?.query_map([below, limit], |row| row.get(0))?.collect()
}

fn is_unsettled(file: &Connection, ordinal: i64) -> rusqlite::Result<bool> {
    file.prepare_cached("SELECT 1 FROM unsettled WHERE ordinal = ?1")?.exists([ordinal])
}

/// How long its texts are, without reading them.
fn bytes_of(file: &Connection, ordinal: i64) -> rusqlite::Result<i64> {
    file.prepare_cached(
        "SELECT coalesce(sum(octet_length(text)), 0) FROM entries WHERE place IN
         (SELECT value FROM transactions, json_each(places) WHERE ordinal = ?1)",
    )?
    .query_row([ordinal], |row| row.get(0))
}

fn rewrite(
    file: &Transaction<'_>,
    ordinal: i64,
    without: WithoutPayloads<'_>,
) -> Result<(), AppendError> {
    let mut places = Vec::new();
    let mut entries = Vec::new();
    let mut id = None;
    let mut statement = file.prepare_cached(
        "SELECT place, id, sequence, text FROM entries WHERE place IN
         (SELECT value FROM transactions, json_each(places) WHERE ordinal = ?1) ORDER BY place",
    )?;
    let mut rows = statement.query([ordinal])?;
    while let Some(row) = rows.next()? {
        places.push(row.get::<_, i64>(0)?);
        id = id.or(row.get::<_, Option<String>>(1)?);
        entries.push(StoredEntry { sequence: row.get(2)?, text: row.get(3)? });
    }
    // What cannot be read is left as it is: it is set aside, and not for a log to mend.
    let Some(id) = id.and_then(|id| parse(&id).ok()) else { return Ok(()) };
    let Some(texts) = without(&StoredTransaction { id, entries }) else { return Ok(()) };
    let mut update = file.prepare_cached("UPDATE entries SET text = ?2 WHERE place = ?1")?;
    for (place, text) in places.into_iter().zip(texts) {
        update.execute(params![place, text])?;
    }
    Ok(())
}
