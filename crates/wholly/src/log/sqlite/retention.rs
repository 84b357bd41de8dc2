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
//!
//! INVARIANT: what is damaged is neither deleted nor rewritten: a new checksum over it would bless
//! it. It stays for an operator to see.

use std::sync::atomic::Ordering::SeqCst;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use wholly_core::Timestamp;

use super::super::{AppendError, DamageRegister, Position, ReadError, WithoutPayloads};
use super::find::{FoundTransaction, find};
use super::meta::Meta;
use super::probe::{Bug, planted};
use super::tail::Shared;
use super::writer::{SqliteWriter, first_place, head, owned};
use super::{ends, index};

/// So many bytes of text make a piece, however few transactions have them.
const PIECE_BYTES: i64 = 1 << 20;
/// So many entries are gone through for a piece, however few of them are ends.
const PIECE_ENTRIES: usize = 512;

/// What a piece removes.
#[derive(Clone, Copy)]
pub(super) enum Removal<'a> {
    /// Transactions, in the order of their ends.
    Transactions,
    /// Payloads of transactions, each once. `meta.payloads_to` is how far this has come.
    Payloads(WithoutPayloads<'a>),
}

impl SqliteWriter {
    /// Deletes or rewrites transactions that have ended.
    pub(super) fn remove_piece(
        &mut self,
        before: Timestamp,
        limit: usize,
        removal: Removal<'_>,
    ) -> Result<usize, AppendError> {
        if self.checking.load(SeqCst) {
            return Ok(0);
        }
        let before = ends::millis(before);
        overwrite_what_is_deleted(&self.file)?;
        let file = self.file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut meta = owned(&file, self.epoch)?;
        let head = head(&file, &meta)?;
        let indexed = index_ended(&file, &mut meta, &self.tail, before, head, self.chain)?;
        let from = match removal {
            Removal::Transactions => self.trimmed_to,
            Removal::Payloads(_) => meta.payloads_to,
        };
        let piece = Piece::after(&file, &meta, from, before, limit)?;
        for ordinal in &piece.ended {
            let Some(found) = whole(&file, &self.tail, *ordinal, &self.damage)? else { continue };
            match removal {
                Removal::Transactions => delete(&file, &mut meta, *ordinal, &found)?,
                Removal::Payloads(without) => rewrite(&file, &mut meta, found, without)?,
            }
        }
        let changes = match removal {
            Removal::Transactions => !piece.ended.is_empty(),
            Removal::Payloads(_) => piece.to > from,
        };
        if changes || indexed {
            match removal {
                // The last batch may be among what was deleted, and with it the place that tells
                // the head.
                Removal::Transactions => meta.head = head.0,
                Removal::Payloads(_) => meta.payloads_to = piece.to.max(from),
            }
            meta.write(&file)?;
        }
        file.commit()?;
        self.is_told(head)?;
        if let Removal::Transactions = removal {
            self.trimmed_to = piece.to;
            self.kinds.forget();
        }
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
    fn after(
        file: &Connection,
        meta: &Meta,
        place: i64,
        before: i64,
        limit: usize,
    ) -> rusqlite::Result<Self> {
        let mut piece = Self { ended: Vec::new(), to: place, more: false };
        let mut bytes = 0;
        let mut entries = file.prepare_cached(
            "SELECT place, ordinal, ends FROM entries
             WHERE place > ?1 AND place < ?2 ORDER BY place LIMIT ?3",
        )?;
        let mut entries = entries.query([place, meta.indexed, PIECE_ENTRIES as i64])?;
        for nth in 1.. {
            let Some(entry) = entries.next()? else { break };
            let ordinal = entry.get(1)?;
            match ends::read(entry.get(2)?) {
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
    meta: &mut Meta,
    tail: &Shared,
    before: i64,
    head: Position,
    chain: i64,
) -> Result<bool, AppendError> {
    let tail = tail.lock();
    let holds_an_end = tail.ended.iter().any(|(_, at)| *at < before);
    if holds_an_end {
        index::write_run(file, meta, &tail, first_place(head.next())?, chain)?;
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

/// A transaction that is what was written; what is damaged is noted, and `None`.
fn whole(
    file: &Transaction<'_>,
    tail: &Shared,
    ordinal: i64,
    register: &DamageRegister,
) -> Result<Option<FoundTransaction>, AppendError> {
    match find(file, tail, ordinal) {
        Ok(found) if planted(Bug::RemovalBlesses) => Ok(found),
        Ok(Some(FoundTransaction { damage: Some(why), .. })) | Err(ReadError::Damaged { why }) => {
            register.note(why);
            Ok(None)
        }
        Ok(found) => Ok(found),
        Err(error) => Err(AppendError::Storage { why: error.to_string() }),
    }
}

fn delete(
    file: &Transaction<'_>,
    meta: &mut Meta,
    ordinal: i64,
    found: &FoundTransaction,
) -> rusqlite::Result<()> {
    index::delete(file, meta, ordinal)?;
    meta.trimmed = meta.trimmed.max(ordinal);
    let last = found.rows.iter().map(|row| row.place).max();
    meta.trimmed_place = last.map_or(meta.trimmed_place, |p| p.max(meta.trimmed_place));
    Ok(())
}

fn rewrite(
    file: &Transaction<'_>,
    meta: &mut Meta,
    found: FoundTransaction,
    without: WithoutPayloads<'_>,
) -> Result<(), AppendError> {
    let rows = found.rows.clone();
    let Some(texts) = without(&found.stored()) else { return Ok(()) };
    let mut update =
        file.prepare_cached("UPDATE entries SET text = ?2, checksum = ?3 WHERE place = ?1")?;
    for (mut row, text) in rows.into_iter().zip(texts) {
        let before = row.checksum;
        row.text = text;
        row.checksum = row.right_checksum();
        update.execute(params![row.place, row.text, row.checksum])?;
        meta.total = meta.total.wrapping_sub(before).wrapping_add(row.checksum);
    }
    Ok(())
}
