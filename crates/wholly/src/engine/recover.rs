//! A restart: replay what the log holds, and tell each open transaction that it restarted.
//!
//! There is no other way to recover, and a first start is a restart with nothing in the log.

use std::collections::{BTreeSet, HashMap, VecDeque};

use rustc_hash::FxHashMap;
use wholly_core::{Callee, Input, Key, LogId, Timestamp, entry};

use super::keys::KeyState;
use super::{Batch, Engine, Open, Outputs, Part, Random};
use crate::Settings;
use crate::log::{Position, StoredTransaction};
use crate::replay::replay;

impl<W> Engine<W> {
    /// A loop over a log that was just opened, with nothing in it yet.
    pub fn new(
        settings: Settings,
        identity: LogId,
        head: Position,
        last_ordinal: u64,
        callees: impl IntoIterator<Item = (Callee, bool)>,
        random: Random,
    ) -> Self {
        Self {
            settings,
            identity,
            last_ordinal,
            random,
            callees: callees.into_iter().collect(),
            open: FxHashMap::default(),
            keys: HashMap::new(),
            timers: BTreeSet::new(),
            durable: head,
            gathering: Batch::default(),
            held_back: VecDeque::new(),
            writing: None,
            written: Vec::new(),
            last_batch: Default::default(),
            readers: Vec::new(),
            draining: false,
            outputs: Outputs::new(),
        }
    }

    /// Takes up a transaction that the log holds and that has not ended, and tells it that it
    /// restarted, unless it came with a restored copy: then a person has to say so.
    pub fn recover(&mut self, stored: &StoredTransaction, now: Timestamp) {
        self.take_up(stored);
        self.step(stored.id, &Input::Restarted, now);
        self.advance(stored.id, now);
    }

    /// Replays a transaction.
    pub(crate) fn take_up(&mut self, stored: &StoredTransaction) {
        let id = stored.id;
        let key = key_of(stored);
        let part = match replay(stored) {
            Ok(replayed) => Part::Live(replayed.transaction),
            Err(error) => {
                tracing::error!(transaction = %id, "{error}; the transaction is set aside");
                Part::SetAside { why: error.to_string() }
            }
        };
        if let Some(key) = key.clone() {
            self.keys.insert(key, KeyState::Open(id));
        }
        let mut open = Open::new(part, key);
        open.held = self.holds(id, &open.part);
        open.sequence = stored.entries.last().map_or(0, |entry| entry.sequence + 1);
        self.open.insert(id, open);
    }
}

/// The key under which a stored transaction was submitted, as far as it can be read.
fn key_of(stored: &StoredTransaction) -> Option<Key> {
    let records = entry::decode(&stored.entries.first()?.text).ok()?;
    records.first()?.1.key().cloned()
}
