//! *Unloaded* transactions: those that have not ended and are in the log alone.
//!
//! After a restart all of them are unloaded, and are loaded in pages as far as there is
//! [room](super::room). Without room, a stuck transaction gives up its place, and is loaded again
//! later in its turn. The loop keeps the ordinal of each: a submission with its key joins it and
//! begins nothing, its waiters wait on, and an operator's word loads it.
//!
//! INVARIANT: nothing of an unloaded transaction is on its way or waits to be written: a restart
//! would find it as it is.
//!
//! INVARIANT: a transaction that has not ended is open or unloaded, never both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wholly_core::{LogId, Timestamp, TransactionId};

use super::targets::{Targets, Who};
use super::{Input, Reply};

/// The most transactions that are loaded at once.
const PAGE: usize = 4_096;
/// The length of a queue that is worth a sweep.
const FEW: usize = 1_024;

/// The unloaded transactions, by their ordinals.
pub(super) struct Unloaded<W> {
    all: BTreeMap<u64, Debt>,
    /// The time from which each may be loaded, except for those that a caller wants now.
    due: BTreeSet<(Timestamp, u64)>,
    wanted: VecDeque<u64>,
    /// The inputs of callers for each.
    inputs: BTreeMap<u64, Vec<Input<W>>>,
    waiters: BTreeMap<u64, Vec<Waiting<W>>>,
    alarms: BTreeSet<(Timestamp, u64)>,
    /// The ordinals that are being loaded.
    loading: Vec<u64>,
    /// Open transactions that may give up their place, in the order in which they came to that.
    yielding: VecDeque<TransactionId>,
    /// The number of these that the last sweep left.
    yielding_after_sweep: usize,
}

/// The counts of a transaction while it is not loaded.
pub(super) struct Debt {
    pub due: Timestamp,
    /// The targets that owe an answer for it: it keeps its place in their shares.
    pub owing: Box<[Who]>,
    pub bytes: usize,
}

/// A caller that waits for the end of an unloaded transaction.
pub(super) struct Waiting<W> {
    pub until: Timestamp,
    /// The reply if it has not come by then.
    pub otherwise: Reply,
    pub to: W,
}

impl<W> Unloaded<W> {
    /// Begins with all that the log has.
    pub fn at_start(ordinals: Vec<u64>) -> Self {
        let due = Timestamp::default();
        let debt = |ordinal| (ordinal, Debt { due, owing: Box::default(), bytes: 0 });
        Self {
            due: ordinals.iter().map(|ordinal| (due, *ordinal)).collect(),
            all: ordinals.into_iter().map(debt).collect(),
            wanted: VecDeque::new(),
            inputs: BTreeMap::new(),
            waiters: BTreeMap::new(),
            alarms: BTreeSet::new(),
            loading: Vec::new(),
            yielding: VecDeque::new(),
            yielding_after_sweep: 0,
        }
    }

    pub fn any(&self) -> bool {
        !self.all.is_empty()
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn has(&self, id: TransactionId) -> bool {
        self.all.contains_key(&id.ordinal())
    }

    /// The oldest transaction; of its id only the ordinal is known.
    pub fn oldest(&self) -> Option<TransactionId> {
        let (ordinal, _) = self.all.first_key_value()?;
        Some(TransactionId::of_parts(*ordinal, 0, LogId::from_bits(0)))
    }

    /// The time of the next look at it.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        // A transaction that is due waits for room, which no time brings about.
        let due = self.due.first().map(|(at, _)| *at).filter(|at| *at > now);
        alarm.into_iter().chain(due).min()
    }

    /// The bytes of each transaction for which this target owes an answer.
    #[cfg(test)]
    pub fn owed_by(&self, who: Who) -> impl Iterator<Item = usize> {
        let owed = self.all.values().filter(move |debt| debt.owing.contains(&who));
        owed.map(|debt| debt.bytes)
    }

    /// Notes that an open transaction may give up its place. Some before it are open no more.
    pub fn yields(&mut self, id: TransactionId, is_open: impl Fn(TransactionId) -> bool) {
        self.yielding.push_back(id);
        if self.yielding.len() > self.yielding_after_sweep * 2 + FEW {
            self.yielding.retain(|id| is_open(*id));
            self.yielding_after_sweep = self.yielding.len();
        }
    }

    /// Makes all due: a target came for which some may have waited.
    pub fn all_are_due(&mut self) {
        let due = Timestamp::default();
        self.due.clear();
        for (ordinal, debt) in &mut self.all {
            debt.due = due;
            self.due.insert((due, *ordinal));
        }
    }

    /// The next one that a caller wants.
    pub fn next_wanted(&mut self) -> Option<u64> {
        while let Some(ordinal) = self.wanted.front().copied() {
            if self.all.contains_key(&ordinal) {
                return Some(ordinal);
            }
            self.wanted.pop_front();
        }
        None
    }

    pub fn due_page(&self, now: Timestamp) -> Vec<u64> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.take(PAGE).map(|(_, ordinal)| *ordinal).collect()
    }

    /// Keeps a caller's input for a transaction, which is loaded for it.
    pub fn want(&mut self, ordinal: u64, input: Input<W>) {
        self.wanted.push_back(ordinal);
        self.inputs.entry(ordinal).or_default().push(input);
    }

    /// Takes the inputs of callers for a transaction, which is not loaded for them any more.
    pub fn inputs_of(&mut self, ordinal: u64) -> Vec<Input<W>> {
        let inputs = self.inputs.remove(&ordinal).unwrap_or_default();
        if !inputs.is_empty() {
            self.wanted.retain(|wanted| *wanted != ordinal);
        }
        inputs
    }

    pub fn is_loading(&self) -> bool {
        !self.loading.is_empty()
    }

    /// Sets the ordinals that are being loaded.
    pub fn set_loading(&mut self, ordinals: &[u64]) {
        self.loading = ordinals.to_vec();
    }

    /// Takes the ordinals that were being loaded.
    pub fn take_loading(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.loading)
    }

    /// The number of transactions that may give up their place.
    pub fn yielding(&self) -> usize {
        self.yielding.len()
    }

    /// Takes the next transaction that may give up its place.
    pub fn next_yielding(&mut self) -> Option<TransactionId> {
        self.yielding.pop_front()
    }

    pub fn insert(&mut self, ordinal: u64, debt: Debt) {
        self.due.insert((debt.due, ordinal));
        self.all.insert(ordinal, debt);
    }

    pub fn remove(&mut self, ordinal: u64, targets: &mut Targets) -> bool {
        let Some(Debt { due, owing, bytes }) = self.all.remove(&ordinal) else { return false };
        self.due.remove(&(due, ordinal));
        for who in owing {
            targets.count(who, false, bytes);
        }
        true
    }

    pub fn defer(&mut self, ordinal: u64, until: Timestamp) {
        if let Some(debt) = self.all.get_mut(&ordinal) {
            self.due.remove(&(debt.due, ordinal));
            debt.due = until;
            self.due.insert((until, ordinal));
        }
    }

    pub fn wait(&mut self, ordinal: u64, waiting: Waiting<W>) {
        self.alarms.insert((waiting.until, ordinal));
        self.waiters.entry(ordinal).or_default().push(waiting);
    }

    pub fn waiters_of(&mut self, ordinal: u64) -> Vec<Waiting<W>> {
        let waiters = self.waiters.remove(&ordinal).unwrap_or_default();
        for waiting in &waiters {
            self.alarms.remove(&(waiting.until, ordinal));
        }
        waiters
    }

    /// The replies to callers that have waited for long enough.
    pub fn waited(&mut self, now: Timestamp) -> Vec<(W, Reply)> {
        let mut replies = Vec::new();
        while let Some(&(at, ordinal)) = self.alarms.first().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, ordinal));
            let Some(waiters) = self.waiters.get_mut(&ordinal) else { continue };
            let late = waiters.extract_if(.., |waiting| waiting.until <= now);
            replies.extend(late.map(|Waiting { otherwise, to, .. }| (to, otherwise)));
            if waiters.is_empty() {
                self.waiters.remove(&ordinal);
            }
        }
        replies
    }

    /// The replies to all who wait, and the callers' inputs, when the loop's incarnation ends.
    pub fn fail(self) -> (Vec<(W, Reply)>, Vec<Input<W>>) {
        let waiters = self.waiters.into_values().flatten();
        let replies = waiters.map(|Waiting { otherwise, to, .. }| (to, otherwise)).collect();
        (replies, self.inputs.into_values().flatten().collect())
    }
}
