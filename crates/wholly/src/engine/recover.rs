//! A restart: replay what the log holds, and tell each open transaction that it restarted.
//!
//! There is no other way to recover, and a first start is a restart with nothing in the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wholly_core::{Input, Key, LogId, Target, Timestamp, TransactionId};

use super::group_commit::GroupCommit;
use super::heard::Causes;
use super::keys::KeyState;
use super::oldest::Oldest;
use super::quarantine::WHY;
use super::room::{Permit, Room};
use super::stuck::stuck_since;
use super::targets::Targets;
use super::unloaded::Unloaded;
use super::{Engine, NewTransaction, Open, OpenState, Outputs, Random, Terms, Wait};
use crate::Settings;
use crate::log::Position;
use crate::log::listing::Labels;
use crate::meter::Meter;
use crate::replay::{FoldedTransaction, ReplayError, Replayed};

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
            commit: GroupCommit::after(head),
            stuck_changes: Vec::new(),
            undecided: Oldest::default(),
            unsettled: Oldest::default(),
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
    pub fn recover(&mut self, stored: FoldedTransaction, now: Timestamp) {
        let id = stored.id;
        let came_meanwhile = self.take_up(stored, now);
        self.step(id, &Input::Restarted, now);
        self.advance(id, now);
        for (key, submission, wait, to) in came_meanwhile {
            self.submit_by_key(key, submission, wait, to, now);
        }
    }

    /// Takes a transaction up. Gives who looks for it by its key.
    pub(crate) fn take_up(
        &mut self,
        stored: FoldedTransaction,
        now: Timestamp,
    ) -> Vec<(Key, NewTransaction, Wait, W)> {
        let FoldedTransaction { id, key, folded: (known, wrong), next_sequence } = stored;
        let labels = known.as_ref().map(|known| Labels::of(&known.transaction));
        let (part, stuck) = match (known, wrong) {
            (Some(Replayed { transaction, history, .. }), None) => {
                let stuck = transaction.is_stuck().then(|| stuck_since(&history)).flatten();
                (OpenState::Live(transaction), stuck)
            }
            // The log did not know that it has ended; it is let go as soon as it is looked at.
            (_, Some(ReplayError::Ended(_))) => (OpenState::Ended, None),
            (_, wrong) => {
                let error = wrong.unwrap_or(ReplayError::NoStart);
                // What its records say is not for the messages: it may be a payload.
                let why = error.kind();
                tracing::error!(transaction = %id, "{why}; the transaction is quarantined");
                self.note_quarantined(id, Some(&error.to_string()));
                (OpenState::Unusable, Some(now))
            }
        };
        let came_meanwhile = self.is_found(id, key.as_ref());
        let mut open = Open::new(part, key, &mut self.targets);
        open.permit = Permit::by_loaded();
        open.entries.labels = labels;
        open.quarantined = self.is_from_copy(id, &open.part);
        let stuck = stuck.or(open.quarantined.then_some(now));
        if open.quarantined {
            self.note_quarantined(id, Some(WHY));
        }
        open.entries.sequence = next_sequence;
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
    ) -> Vec<(Key, NewTransaction, Wait, W)> {
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
