//! The tail: the entries that the indexes of the file lack, and the unsettled transactions.
//!
//! INVARIANT: the tail changes only after the commit that its change describes, and a reader looks
//! at the tail before it looks at the file. So whatever leaves the tail is in the file by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use wholly_core::{Key, TransactionId};

use super::super::{Lsn, Position};
use super::checksum::chain;
use super::ends;
use super::index::Unsettled;
use super::meta::Meta;
use super::probe::{Bug, planted};
use super::row::{EntryRow, Integrity, select_entries};

/// The place of an entry: its batch's position, and its own place in the batch.
pub(super) fn place(position: u64, entry: usize) -> Option<i64> {
    i64::try_from(Lsn::of(Position(position), entry)?.to_bits()).ok()
}

/// The position of the batch that an entry at `place` belongs to.
pub(super) fn position(place: i64) -> u64 {
    Lsn::from_bits(place.unsigned_abs()).batch().0
}

/// The state that the writer and the readers share.
#[derive(Default)]
pub(super) struct Shared(Mutex<Tail>);

impl Shared {
    pub(super) fn new(tail: Tail) -> Self {
        Self(Mutex::new(tail))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tail> {
        // A tail is never left half-changed by a panic: no operation on it can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries that the indexes do not hold yet.
#[derive(Default)]
pub(super) struct Tail {
    /// The transactions with entries in the tail, by their ordinal.
    pub(super) transactions: BTreeMap<i64, InTail>,
    pub(super) keys: HashMap<Key, TransactionId>,
    /// The transactions that ended in the tail, with the times in milliseconds.
    pub(super) ended: Vec<(i64, i64)>,
    /// Every transaction that has not ended, in the tail or not.
    pub(super) unsettled: BTreeSet<i64>,
    /// The number of entries in the tail.
    pub(super) len: usize,
    /// The sum of their checksums.
    pub(super) sum: i64,
}

/// The part of a transaction that is in the tail.
#[derive(Default)]
pub(super) struct InTail {
    /// The places of its entries in the tail, ascending.
    pub(super) places: Vec<i64>,
    /// The sum of the checksums of these entries.
    pub(super) sum: i64,
    /// The label of its last entry.
    pub(super) label: i64,
    /// Its id, if its first entry is in the tail: the indexes do not have the transaction.
    pub(super) begun: Option<TransactionId>,
}

/// An entry as the tail notes it.
pub(super) struct Noted<'a> {
    pub(super) ordinal: i64,
    pub(super) sequence: u32,
    pub(super) place: i64,
    /// The transaction's id, if this is its first entry.
    pub(super) begins: Option<TransactionId>,
    pub(super) key: Option<&'a Key>,
    pub(super) label: i64,
    /// The time at which the transaction ended, in milliseconds.
    pub(super) ended: Option<i64>,
    pub(super) checksum: i64,
}

impl Tail {
    pub(super) fn note(&mut self, entry: Noted<'_>) {
        self.len += 1;
        self.sum = self.sum.wrapping_add(entry.checksum);
        let transaction = self.transactions.entry(entry.ordinal).or_default();
        transaction.places.push(entry.place);
        transaction.sum = transaction.sum.wrapping_add(entry.checksum);
        transaction.label = entry.label;
        transaction.begun = transaction.begun.or(entry.begins);
        if let Some((key, id)) = entry.key.zip(entry.begins) {
            self.keys.insert(key.clone(), id);
        }
        if let Some(at) = entry.ended {
            self.ended.push((entry.ordinal, at));
            self.unsettled.remove(&entry.ordinal);
        } else if entry.sequence == 0 {
            self.unsettled.insert(entry.ordinal);
        }
    }

    /// Forgets the entries that the indexes hold from now on.
    pub(super) fn clear(&mut self) {
        self.transactions.clear();
        self.keys.clear();
        self.ended.clear();
        (self.len, self.sum) = (0, 0);
    }
}

/// The tail as an opening reads it back.
pub(super) struct ReadBack {
    pub(super) tail: Tail,
    /// The chain of its last batch.
    pub(super) chain: i64,
    /// The place after its last entry, where the next one would be read.
    pub(super) end: i64,
    /// The damage to it that is not one transaction's alone.
    pub(super) damage: Option<String>,
}

/// Reads the entries of at most `limit` batches back, from the place `meta.indexed` on, and the
/// unsettled transactions: the table, corrected by the tail.
///
/// A restart acts on the result. So the chain of the batches reveals a missing entry, and the sum
/// of the table's rows a missing row.
pub(super) fn read_back(
    file: &Connection,
    meta: &Meta,
    limit: usize,
) -> rusqlite::Result<ReadBack> {
    let mut tail = Tail::default();
    let mut rows = file.prepare("SELECT ordinal, entries, total FROM unsettled")?;
    let mut sum = 0_i64;
    for row in rows.query_map([], Unsettled::read)? {
        let row = row?;
        sum = sum.wrapping_add(row.checksum());
        tail.unsettled.insert(row.ordinal);
    }
    let mut read = ReadBack { tail, chain: meta.chain, end: meta.indexed, damage: None };
    if sum != meta.unsettled {
        read.damage = Some("the list of what is unsettled is not what was written".to_owned());
    }
    let mut entries = file.prepare(select_entries!("WHERE place >= ?1 ORDER BY place"))?;
    let mut entries = entries.query([meta.indexed])?;
    let mut batch: Vec<EntryRow> = Vec::new();
    loop {
        let entry = entries.next()?.map(EntryRow::read).transpose()?;
        let begins = entry.as_ref().is_none_or(|entry| {
            batch.first().is_some_and(|first| position(first.place) != position(entry.place))
        });
        if begins {
            read.take(std::mem::take(&mut batch));
            if read.tail.len >= limit {
                return Ok(read);
            }
        }
        match entry {
            Some(entry) => batch.push(entry),
            None => return Ok(read),
        }
    }
}

impl ReadBack {
    /// Takes the next batch.
    fn take(&mut self, batch: Vec<EntryRow>) {
        let Some(last) = batch.last() else { return };
        self.end = last.place + 1;
        let sum = batch.iter().fold(0_i64, |sum, entry| sum.wrapping_add(entry.checksum));
        let expected = chain(self.chain, sum);
        self.chain = expected;
        if batch[0].chain != Some(expected) && !planted(Bug::AnyChain) {
            let at = position(batch[0].place);
            let why = format!("batch {at} is not complete, or does not follow the one before it");
            self.damage.get_or_insert(why);
        }
        for entry in batch {
            let integrity = entry.integrity();
            if integrity == Integrity::Nameless {
                self.damage = self.damage.take().or_else(|| entry.damage());
            }
            let whole = integrity == Integrity::Whole;
            let known = self.tail.transactions.get(&entry.ordinal);
            let key = entry.key.as_deref().and_then(|key| key.parse().ok());
            self.tail.note(Noted {
                place: entry.place,
                ordinal: entry.ordinal,
                sequence: entry.sequence,
                // A damaged transaction has not ended: an operator has to look at it.
                ended: ends::read(entry.ends).filter(|_| whole),
                label: known.filter(|_| !whole).map_or(entry.label, |known| known.label),
                begins: entry.id(),
                key: key.as_ref(),
                checksum: entry.checksum,
            });
        }
    }
}
