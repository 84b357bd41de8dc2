//! The tail: the entries that the indexes of the file do not hold yet, and what is unsettled.
//!
//! INVARIANT: the tail changes only after the commit that its change describes, and a reader looks
//! at the tail before it looks at the file. So whatever leaves the tail is in the file by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wholly_core::{Key, TransactionId};

use super::super::{Place, Position};

/// Where an entry lies: its batch's position, and its own place in the batch.
pub(super) fn place(position: u64, entry: usize) -> Option<i64> {
    i64::try_from(Place::of(Position(position), entry)?.to_bits()).ok()
}

/// The position of the batch that an entry at `place` belongs to.
pub(super) fn position(place: i64) -> u64 {
    Place::from_bits(place.unsigned_abs()).batch().0
}

/// What the writer and the readers share.
#[derive(Default)]
pub(super) struct Shared(Mutex<Tail>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tail> {
        // A tail is never left half-changed by a panic: no operation on it can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the indexes do not hold yet.
#[derive(Default)]
pub(super) struct Tail {
    /// Those with entries in the tail, by their ordinal.
    pub(super) transactions: BTreeMap<i64, InTail>,
    pub(super) keys: HashMap<Key, TransactionId>,
    /// Those that ended in the tail, and when, in milliseconds.
    pub(super) ended: Vec<(i64, i64)>,
    /// Every transaction that has not ended, in the tail or not.
    pub(super) unsettled: BTreeSet<i64>,
    /// How many entries are in the tail.
    pub(super) len: usize,
}

/// What the tail holds of a transaction.
#[derive(Default)]
pub(super) struct InTail {
    /// Of its entries in the tail; they ascend.
    pub(super) places: Vec<i64>,
    /// Its last.
    pub(super) label: i64,
    /// Its id, if its first entry is in the tail: the indexes know nothing of it.
    pub(super) begun: Option<TransactionId>,
}

/// What the tail notes of an entry.
pub(super) struct Noted<'a> {
    pub(super) ordinal: i64,
    pub(super) sequence: u32,
    pub(super) place: i64,
    /// Whose it is, where it is the first.
    pub(super) begins: Option<TransactionId>,
    pub(super) key: Option<&'a Key>,
    pub(super) label: i64,
    /// When it ended, in milliseconds.
    pub(super) ended: Option<i64>,
}

impl Tail {
    pub(super) fn note(&mut self, entry: Noted<'_>) {
        self.len += 1;
        let transaction = self.transactions.entry(entry.ordinal).or_default();
        transaction.places.push(entry.place);
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

    /// Forgets what the indexes hold from now on.
    pub(super) fn clear(&mut self) {
        self.transactions.clear();
        self.keys.clear();
        self.ended.clear();
        self.len = 0;
    }
}
