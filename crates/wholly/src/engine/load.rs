//! Loading: transactions come back from the log, and one that is stuck gives up its place.

use std::time::Duration;

use wholly_core::{Timestamp, TransactionId};

use super::keys::KeyState;
use super::unloaded::{Debt, Waiting};
use super::{Engine, Input, OpenState, Reply, Wait, Waiter};
use crate::error::SubmitError;
use crate::log::ReadError;
use crate::replay::FoldedTransaction;

/// The most text that is loaded at once, unless one transaction has more.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The number of those that may give up their place that are looked at for one that can now.
const LOOKS: usize = 64;
/// The pause after the log could not be read.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A page to load from the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Which transactions, by their ordinals.
    pub ordinals: Vec<u64>,
    /// With about how much text in all; the first is loaded whatever it has.
    pub bytes: usize,
}

impl<W> Engine<W> {
    /// Takes the inputs for what is not loaded; gives back any other.
    pub(super) fn for_unloaded(&mut self, input: Input<W>) -> Option<Input<W>> {
        let id = match &input {
            Input::Await { id, .. }
            | Input::Cancel { id, .. }
            | Input::End { id, .. }
            | Input::Resolve { id, .. }
            | Input::Retry { id, .. }
            | Input::Release { id, .. } => *id,
            Input::Submit { .. }
            | Input::Found { .. }
            | Input::Answered(_)
            | Input::Loaded(_)
            | Input::Inspect { .. }
            | Input::Register { .. }
            | Input::Durable(_)
            | Input::Drain => return Some(input),
        };
        if !self.unloaded.has(id) {
            return Some(input);
        }
        match input {
            Input::Await { until, to, .. } => self.wait_unloaded(id, until, Reply::NotOpen, to),
            // One after the other may be loaded for its caller, past the limit by one.
            _ if self.room.is_exceeded() => {
                if let Some(to) = input.into_caller() {
                    let no_room = self.no_room();
                    self.reply(to, Reply::NotAccepted(no_room));
                }
            }
            _ => self.unloaded.want(id.ordinal(), input),
        }
        None
    }

    /// Joins a caller to those who wait for one that is not loaded.
    pub(super) fn wait_unloaded(
        &mut self,
        id: TransactionId,
        until: Timestamp,
        otherwise: Reply,
        to: W,
    ) {
        self.unloaded.wait(id.ordinal(), Waiting { until, otherwise, to });
    }

    /// Replies to who has waited for long enough, and says what is to be loaded.
    pub(super) fn look_at_unloaded(&mut self, now: Timestamp) {
        let waited = self.unloaded.waited(now);
        self.outputs.replies.extend(waited);
        self.outputs.load = self.outputs.load.take().or_else(|| self.next_load(now));
    }

    /// What is to be loaded now, unless something is on its way.
    pub fn next_load(&mut self, now: Timestamp) -> Option<Load> {
        if self.draining || self.unloaded.is_loading() {
            return None;
        }
        let wanted = self.unloaded.next_wanted();
        let ordinals = match wanted {
            Some(wanted) => vec![wanted],
            None => self.unloaded.due_page(now),
        };
        if ordinals.is_empty() {
            return None;
        }
        let room = self.room_to_load(now);
        let bytes = if wanted.is_some() { room.unwrap_or(1) } else { room? };
        self.unloaded.set_loading(&ordinals);
        Some(Load { ordinals, bytes: bytes.min(PAGE_BYTES) })
    }

    /// How much may be loaded; what is stuck gives up its place for it.
    fn room_to_load(&mut self, now: Timestamp) -> Option<usize> {
        loop {
            match self.room.to_load() {
                Some(bytes) => return Some(bytes),
                None if self.unload_one(now) => {}
                None => return None,
            }
        }
    }

    /// Takes what was read of what was to be loaded: all of it, or the first ones.
    pub(super) fn loaded(
        &mut self,
        loaded: Result<Vec<Option<FoldedTransaction>>, ReadError>,
        now: Timestamp,
    ) {
        let asked = self.unloaded.take_loading();
        match loaded {
            Ok(all) => {
                for (place, (ordinal, stored)) in asked.into_iter().zip(all).enumerate() {
                    // In memory it is larger than its text: the rest of the page may not fit in.
                    if place > 0 && !self.room.is_left_to_load() {
                        break;
                    }
                    self.load(ordinal, stored, now);
                }
            }
            Err(error) => {
                tracing::warn!("transactions cannot be loaded from the log: {error}");
                for ordinal in asked {
                    self.unloaded.defer(ordinal, now + READ_AGAIN_AFTER);
                    self.refuse_wanted(ordinal, &error);
                }
            }
        }
        self.measure();
    }

    fn load(&mut self, ordinal: u64, stored: Option<FoldedTransaction>, now: Timestamp) {
        if !self.unloaded.remove(ordinal, &mut self.targets) {
            return;
        }
        let waiters = self.unloaded.waiters_of(ordinal);
        let inputs = self.unloaded.inputs_of(ordinal);
        let id = stored.as_ref().map(|stored| stored.id);
        if let Some(stored) = stored {
            self.recover(stored, now);
        }
        for Waiting { until, otherwise, to } in waiters {
            match id.filter(|id| self.open.contains_key(id)) {
                Some(id) => self.wait(id, Wait::Settled { until }, to, now),
                None => self.reply(to, otherwise),
            }
        }
        for input in inputs {
            self.handle(input, now);
        }
    }

    /// For a mutation: loads one as if there had been no restart.
    #[cfg(test)]
    pub fn load_as_if_it_ran(&mut self, ordinal: u64, stored: FoldedTransaction, now: Timestamp) {
        if self.unloaded.remove(ordinal, &mut self.targets) {
            let id = stored.id;
            self.take_up(stored, now);
            self.advance(id, now);
        }
    }

    #[cfg(test)]
    pub fn is_unloaded(&self, id: TransactionId) -> bool {
        self.unloaded.has(id)
    }

    fn refuse_wanted(&mut self, ordinal: u64, error: &ReadError) {
        let inputs = self.unloaded.inputs_of(ordinal);
        for to in inputs.into_iter().filter_map(Input::into_caller) {
            let why = error.to_string();
            self.reply(to, Reply::NotAccepted(SubmitError::Unavailable { why }));
        }
    }

    /// Lets one of those that may give up its place do so; false where none can now.
    pub(super) fn unload_one(&mut self, now: Timestamp) -> bool {
        for _ in 0..self.unloaded.yielding().min(LOOKS) {
            let Some(id) = self.unloaded.next_yielding() else { return false };
            if let Some(open) = self.open.get_mut(&id) {
                open.yields = false;
            }
            if !self.may_yield(id) {
                continue;
            }
            if self.is_idle(id) {
                self.unload(id, now);
                return true;
            }
            self.yields(id);
        }
        false
    }

    /// Notes that a transaction may give up its place from now on.
    pub(super) fn yields(&mut self, id: TransactionId) {
        if let Some(open) = self.open.get_mut(&id).filter(|open| !open.yields) {
            open.yields = true;
            let open = &self.open;
            self.unloaded.yields(id, |id| open.contains_key(&id));
        }
    }

    fn may_yield(&self, id: TransactionId) -> bool {
        let Some(open) = self.open.get(&id) else { return false };
        match &open.part {
            OpenState::Live(transaction) => open.stuck || self.awaits_unregistered(transaction),
            // It takes next to nothing, and why it was quarantined is known here alone.
            OpenState::Unusable | OpenState::Ended => false,
        }
    }

    /// Whether a restart would find a transaction as it is, and nothing is on its way.
    fn is_idle(&self, id: TransactionId) -> bool {
        let Some(open) = self.open.get(&id) else { return false };
        let waits_for_the_end = |waiter: &Waiter<W>| matches!(waiter.wait, Wait::Settled { .. });
        self.commit.is_still(id, &open.entries)
            && open.attempts.iter().all(|attempts| attempts.on_its_way.is_none())
            && open.waiters.iter().all(waits_for_the_end)
    }

    fn unload(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.remove(&id) else { return };
        tracing::debug!(transaction = %id, "the transaction is unloaded to free memory");
        self.commit.let_go(&open.entries, None);
        if let Some(at) = open.wake {
            self.timers.remove(&(at, id));
        }
        if let Some(key) = &open.key
            && matches!(self.keys.get(key), Some(KeyState::Open(_)))
        {
            self.keys.remove(key);
        }
        // Not asked more often than if it were loaded.
        let due = now + self.settings.backoff.cap;
        let debt = Debt { due, owing: open.owing().collect(), bytes: open.permit.bytes };
        self.unloaded.insert(id.ordinal(), debt);
        self.room.give_back(open.permit);
        for Waiter { wait, to } in open.waiters {
            // INVARIANT: it was idle, so that no others wait.
            if let Wait::Settled { until } = wait {
                self.wait_unloaded(id, until, Reply::Outcome(open.part.unsettled(id)), to);
            }
        }
    }
}
