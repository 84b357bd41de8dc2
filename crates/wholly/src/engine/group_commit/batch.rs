//! A batch of entries, which are appended at once: while it is gathered and while the log has it.

use std::time::Duration;

use wholly_core::entry::{self, EndedByHand, Timed};
use wholly_core::{Key, Timestamp, TransactionId};

use crate::log::listing::Labels;
use crate::log::{Entry, Position};

/// The time after which a batch that nobody waits for is written.
const IDLE_FLUSH: Duration = Duration::from_millis(20);

/// Entries that are appended at once.
#[derive(Default)]
pub(crate) struct Batch {
    /// The position of the batch before it.
    pub after: Position,
    /// One for each transaction.
    pub entries: Vec<PendingEntry>,
    /// True if somebody waits for it.
    pub(super) wanted: bool,
    /// The time at which the first record came into it.
    pub(super) since: Timestamp,
    pub(super) released: Released,
    pub(super) generation: u64,
}

/// The transactions and keys that may go on once a batch is durable.
#[derive(Default)]
pub(in crate::engine) struct Released {
    /// The transactions with a forced record in it.
    pub gated: Vec<TransactionId>,
    /// The keys of those that ended with it.
    pub ended: Vec<Key>,
}

/// The part of a batch that is kept while the log has it.
pub(super) struct Writing {
    pub released: Released,
    pub transactions: Vec<TransactionId>,
}

/// An entry that is not text yet.
#[derive(Clone)]
pub(crate) struct PendingEntry {
    pub transaction: TransactionId,
    pub sequence: u32,
    pub records: Vec<Timed>,
    pub key: Option<Key>,
    /// The labels of the transaction after these records.
    pub labels: Labels,
    pub ends: bool,
    /// An operator's word that ends it: then there are no records.
    pub by_hand: Option<EndedByHand>,
}

impl PendingEntry {
    /// The entry as it is appended.
    pub fn into_entry(self) -> Result<Entry, serde_json::Error> {
        let Self { transaction, sequence, records, key, labels, ends, by_hand } = self;
        let (text, ended) = match by_hand {
            Some(by_hand) => (entry::encode_ended(&by_hand)?, Some(by_hand.at)),
            None => {
                let ended = records.last().filter(|_| ends).map(|(at, _)| *at);
                (entry::encode(&records)?, ended)
            }
        };
        Ok(Entry { transaction, sequence, text, key, labels, ended })
    }
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The time at which it is written although nobody waits for it.
    pub(super) fn flush_at(&self) -> Option<Timestamp> {
        (!self.is_empty()).then(|| self.since + IDLE_FLUSH)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.is_empty() && (self.wanted || self.flush_at().is_some_and(|at| at <= now))
    }

    pub(super) fn holds(&self, id: TransactionId) -> bool {
        self.entries.iter().any(|entry| entry.transaction == id)
    }

    /// Adds an entry; gives its index.
    pub(super) fn push(&mut self, entry: PendingEntry, now: Timestamp) -> usize {
        if self.is_empty() {
            self.since = now;
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }
}
