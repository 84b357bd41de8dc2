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
//! The entries stand in the order in which they were appended, and so do the ends of transactions:
//! what ended before a time is found by going through them from the oldest on, up to the first
//! end that is younger. An end stays where it is, and no other is ever put before it. So what was
//! gone through is not looked at again, and what had not ended yet is found further on.
//!
//! INVARIANT: only what has ended is deleted or rewritten, and only once the indexes hold its end.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use wholly_core::Timestamp;

use super::super::{AppendError, Position, StoredEntry, StoredTransaction, WithoutPayloads};
use super::tail::Shared;
use super::writer::{SqliteWriter, check_owner, first_place, head, keep_head};
use super::{ends, id, index};

/// So many bytes of text make a piece, however few transactions have them.
const PIECE_BYTES: i64 = 1 << 20;
/// So many entries are gone through for a piece, however few of them are ends.
const PIECE_ENTRIES: usize = 512;

impl SqliteWriter {
    /// Deletes transactions that have ended, in the order of their ends.
    pub(super) fn trim_piece(
        &mut self,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, AppendError> {
        let before = ends::millis(before);
        overwrite_what_is_deleted(&self.file)?;
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_owner(&file, self.epoch)?;
        let head = head(&file)?;
        let indexed = index_ended(&file, &self.tail, before, head)?;
        let piece = Piece::after(&file, self.trimmed_to, before, limit)?;
        for ordinal in &piece.ended {
            index::delete(&file, *ordinal)?;
            file.prepare_cached("UPDATE meta SET trimmed = max(trimmed, ?1)")?
                .execute([ordinal])?;
        }
        if !piece.ended.is_empty() {
            // The last batch may be among what was deleted, and with it the place that tells the
            // head.
            keep_head(&file, head)?;
        }
        file.commit()?;
        self.trimmed_to = piece.to;
        self.kinds.forget();
        self.piece_is_done(indexed, &piece);
        Ok(piece.done())
    }

    /// Rewrites transactions that have ended, each once. `meta.payloads_to` is how far this has
    /// come.
    pub(super) fn remove_piece(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        let before = ends::millis(before);
        overwrite_what_is_deleted(&self.file)?;
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_owner(&file, self.epoch)?;
        let indexed = index_ended(&file, &self.tail, before, head(&file)?)?;
        let after =
            file.prepare_cached("SELECT payloads_to FROM meta")?.query_row([], |row| row.get(0))?;
        let piece = Piece::after(&file, after, before, limit)?;
        for ordinal in &piece.ended {
            rewrite(&file, *ordinal, without)?;
        }
        if piece.to > after {
            file.prepare_cached("UPDATE meta SET payloads_to = ?1")?.execute([piece.to])?;
        }
        file.commit()?;
        self.piece_is_done(indexed, &piece);
        Ok(piece.done())
    }

    fn piece_is_done(&mut self, indexed: bool, piece: &Piece) {
        if indexed {
            self.tail.lock().clear();
        }
        if piece.done() > 0 {
            self.removed = true;
        } else if self.removed {
            self.checkpoints.committed(&self.file);
            self.removed = !self.checkpoints.cut_off(&self.file);
        }
    }
}

/// What one piece is about.
struct Piece {
    /// The ordinals of transactions that ended, in the order of their ends.
    ended: Vec<i64>,
    /// Up to this place everything was gone through.
    to: i64,
    /// Whether there is more to go through.
    more: bool,
}

impl Piece {
    /// What ended before this time and after this place, as far as the indexes hold it.
    fn after(file: &Connection, place: i64, before: i64, limit: usize) -> rusqlite::Result<Self> {
        let mut piece = Self { ended: Vec::new(), to: place, more: false };
        let mut bytes = 0;
        let mut entries = file.prepare_cached(
            "SELECT place, ordinal, ends FROM entries
             WHERE place > ?1 AND place < (SELECT indexed FROM meta) ORDER BY place LIMIT ?2",
        )?;
        let mut entries = entries.query(params![place, PIECE_ENTRIES as i64])?;
        for nth in 1.. {
            let Some(entry) = entries.next()? else { break };
            let ordinal = entry.get(1)?;
            match ends::read(entry.get(2)?, ordinal) {
                Some(at) if at >= before => return Ok(piece),
                // One alone may be larger than a piece.
                Some(_) if piece.ended.len() == limit || bytes > PIECE_BYTES => {
                    return Ok(Self { more: true, ..piece });
                }
                Some(_) => {
                    bytes += bytes_of(file, ordinal)?;
                    piece.ended.push(ordinal);
                }
                None => {}
            }
            piece.to = entry.get(0)?;
            piece.more = nth == PIECE_ENTRIES;
        }
        Ok(piece)
    }

    /// How many were found; at least 1 where there is more to go through.
    fn done(&self) -> usize {
        self.ended.len().max(usize::from(self.more))
    }
}

fn overwrite_what_is_deleted(file: &Connection) -> rusqlite::Result<()> {
    file.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))
}

/// Moves the tail to the indexes where it holds an end before this time; the caller clears it
/// after the commit. A run for its own sake is dear.
fn index_ended(
    file: &Connection,
    tail: &Shared,
    before: i64,
    head: Position,
) -> Result<bool, AppendError> {
    let tail = tail.lock();
    let holds_an_end = tail.ended.iter().any(|(_, at)| *at < before);
    if holds_an_end {
        index::write_run(file, &tail, first_place(head.next())?)?;
    }
    Ok(holds_an_end)
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
        id = id.or(id::read(&row.get(1)?, ordinal).ok().flatten());
        entries.push(StoredEntry { sequence: row.get(2)?, text: row.get(3)? });
    }
    // What cannot be read is left as it is: it is set aside, and not for a log to mend.
    let Some(id) = id else { return Ok(()) };
    let Some(texts) = without(&StoredTransaction { id, entries, damage: None }) else {
        return Ok(());
    };
    let mut update = file.prepare_cached("UPDATE entries SET text = ?2 WHERE place = ?1")?;
    for (place, text) in places.into_iter().zip(texts) {
        update.execute(params![place, text])?;
    }
    Ok(())
}
