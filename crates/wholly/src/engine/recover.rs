//! A restart: replay what the log holds, and tell each open transaction that it restarted.
//!
//! There is no other way to recover, and a first start is a restart with nothing in the log.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wholly_core::{Input, Key, LogId, Target, Timestamp, TransactionId, entry};

use super::heard::Causes;
use super::keys::KeyState;
use super::oldest::Oldest;
use super::quarantine::WHY;
use super::recently_active::RecentlyActive;
use super::room::{Permit, Room};
use super::stuck::stuck_since;
use super::targets::Targets;
use super::unloaded::Unloaded;
use super::{Batch, Engine, Open, Outputs, Part, Random, Submission, Terms, Wait};
use crate::Settings;
use crate::log::listing::Labels;
use crate::log::{Position, StoredTransaction};
use crate::meter::Meter;
use crate::replay::{ReplayError, Replayed, as_far_as_known};

impl<W> Engine<W> {
    /// A loop over a log that was just opened, with nothing in it yet.
    pub fn new(
        settings: Settings,
        identity: LogId,
        head: Position,
        last_ordinal: u64,
        targets: impl IntoIterator<Item = (Target, Terms)>,
        random: Random,
        meter: Arc<Meter>,
    ) -> Self {
        let mut known = Targets::default();
        for (target, terms) in targets {
            known.register(target, terms, &meter);
        }
        let room = Room::new(settings.in_flight_limit_bytes.unwrap_or(usize::MAX));
        Self {
            settings,
            identity,
            last_ordinal,
            random,
            targets: known,
            open: FxHashMap::default(),
            keys: HashMap::new(),
            unloaded: Unloaded::at_start(Vec::new()),
            room,
            timers: BTreeSet::new(),
            durable: head,
            gathering: Batch::default(),
            buffered: VecDeque::new(),
            writing: None,
            written: Vec::new(),
            last_batch: Default::default(),
            untold: Vec::new(),
            stuck_changes: Vec::new(),
            undecided: Oldest::default(),
            unsettled: Oldest::default(),
            recently_active: RecentlyActive::default(),
            meter,
            quarantine_changes: Vec::new(),
            causes: Causes::default(),
            draining: false,
            outputs: Outputs::new(),
        }
    }

    /// Begins with the transactions that the log holds and that have not ended: they are to be loaded.
    pub fn restart(&mut self, unsettled: Vec<u64>) {
        self.unloaded = Unloaded::at_start(unsettled);
        self.measure();
    }

    /// Takes up a transaction that the log holds and that has not ended, and tells it that it
    /// restarted, unless it came with a restored copy: then an operator has to say so.
    pub fn recover(&mut self, stored: &StoredTransaction, now: Timestamp) {
        let came_meanwhile = self.take_up(stored, now);
        self.step(stored.id, &Input::Restarted, now);
        self.advance(stored.id, now);
        for (key, submission, wait, to) in came_meanwhile {
            self.submit_by_key(key, submission, wait, to, now);
        }
    }

    /// Replays a transaction. Gives who looks for it by its key.
    pub(crate) fn take_up(
        &mut self,
        stored: &StoredTransaction,
        now: Timestamp,
    ) -> Vec<(Key, Submission, Wait, W)> {
        let id = stored.id;
        let key = key_of(stored);
        let (known, wrong) = as_far_as_known(stored);
        let labels = known.as_ref().map(|known| Labels::of(&known.transaction));
        let (part, stuck) = match (known, wrong) {
            (Some(Replayed { transaction, history, .. }), None) => {
                let stuck = transaction.is_stuck().then(|| stuck_since(&history)).flatten();
                (Part::Live(transaction), stuck)
            }
            // The log did not know that it has ended; it is let go as soon as it is looked at.
            (_, Some(ReplayError::Ended(_))) => (Part::Ended, None),
            (_, wrong) => {
                let error = wrong.unwrap_or(ReplayError::NoStart);
                // What its records say is not for the messages: it may be a payload.
                let why = error.kind();
                tracing::error!(transaction = %id, "{why}; the transaction is quarantined");
                self.note_quarantined(id, Some(&error.to_string()));
                (Part::Unusable, Some(now))
            }
        };
        let came_meanwhile = self.is_found(id, key.as_ref());
        let mut open = Open::new(part, key, &mut self.targets);
        open.permit = Permit::by_loaded();
        open.labels = labels;
        open.quarantined = self.is_from_copy(id, &open.part);
        let stuck = stuck.or(open.quarantined.then_some(now));
        if open.quarantined {
            self.note_quarantined(id, Some(WHY));
        }
        open.sequence = stored.entries.last().map_or(0, |entry| entry.sequence + 1);
        open.stuck = stuck.is_some();
        self.keep(id, open);
        self.count_owed(id);
        if let Some(since) = stuck {
            self.found_stuck(id, since);
        }
        self.yields(id);
        came_meanwhile
    }

    /// The key leads to a transaction that is open now: gives who was looking for it.
    fn is_found(
        &mut self,
        id: TransactionId,
        key: Option<&Key>,
    ) -> Vec<(Key, Submission, Wait, W)> {
        let Some(key) = key else { return Vec::new() };
        match self.keys.insert(key.clone(), KeyState::Open(id)) {
            Some(KeyState::LookingUp(queue) | KeyState::Ended(queue)) => {
                let with_key = |(submission, wait, to)| (key.clone(), submission, wait, to);
                queue.into_iter().map(with_key).collect()
            }
            Some(KeyState::Open(_)) | None => Vec::new(),
        }
    }
}

/// The key under which a stored transaction was submitted, as far as it can be read.
pub(super) fn key_of(stored: &StoredTransaction) -> Option<Key> {
    let records = entry::decode(&stored.entries.first()?.text).ok()?;
    records.first()?.1.key().cloned()
}
