//! Who needs an operator, told as soon as it is durable.
//!
//! INVARIANT: what is told of a transaction here is what the log tells of it.

use std::collections::BTreeMap;

use wholly_core::entry::Timed;
use wholly_core::{Target, Timestamp, Transaction, TransactionId};

use super::{Engine, OpenState};

/// A transaction became stuck, at this time, or no longer is.
pub(crate) type StuckChange = (TransactionId, Option<Timestamp>);

impl<W> Engine<W> {
    /// Looks whether a transaction has become stuck, or no longer is.
    pub(super) fn note_stuck(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let stuck = open.quarantined || open.part.is_stuck();
        if stuck == std::mem::replace(&mut open.stuck, stuck) {
            return;
        }
        if stuck {
            self.yields(id);
        }
        // It happens seldom enough for a batch that it need not share.
        self.write_buffered(id, now);
        let durable_with = self.commit.durable_with(id).unwrap_or(self.commit.durable());
        self.stuck_changes.push((durable_with, (id, stuck.then_some(now))));
    }

    /// Notes that what the log holds of a transaction is stuck.
    pub(super) fn found_stuck(&mut self, id: TransactionId, since: Timestamp) {
        self.stuck_changes.push((self.commit.durable(), (id, Some(since))));
    }

    /// Tells what has become durable.
    pub(super) fn tell_stuck(&mut self) {
        let durable = self.commit.durable();
        let told = self.stuck_changes.extract_if(.., |(at, _)| *at <= durable);
        self.outputs.stuck.extend(told.map(|(_, change)| change));
    }

    /// Whether any transaction here may settle without an operator: it is not stuck, and somebody is
    /// here to be asked for it.
    pub fn may_settle(&self) -> bool {
        self.open.values().any(|open| match &open.part {
            _ if open.stuck => false,
            OpenState::Live(transaction) => !self.awaits_unregistered(transaction),
            OpenState::Unusable => false,
            OpenState::Ended => true,
        })
    }

    /// Whether all that is outstanding is to be asked of who is not here.
    pub(super) fn awaits_unregistered(&self, transaction: &Transaction) -> bool {
        let requests = transaction.effects().filter_map(|effect| transaction.request(effect));
        let mut targets = requests.map(|request| request.target).peekable();
        targets.peek().is_some() && targets.all(|target| !self.targets.has(&target))
    }

    /// Who is to be asked and is not here, and how many transactions wait for them.
    pub fn waited_for(&self) -> BTreeMap<Target, usize> {
        let mut waiting = BTreeMap::new();
        for open in self.open.values().filter(|open| !open.quarantined) {
            let OpenState::Live(transaction) = &open.part else { continue };
            for target in self.awaiting(transaction) {
                *waiting.entry(target).or_default() += 1;
            }
        }
        waiting
    }

    /// Who is stuck by what the log holds, ahead of all else that [`Engine::poll`] will say.
    pub fn stuck_at_start(&mut self) -> Vec<StuckChange> {
        self.tell_stuck();
        std::mem::take(&mut self.outputs.stuck)
    }
}

impl OpenState {
    pub(super) fn is_stuck(&self) -> bool {
        match self {
            Self::Live(transaction) => transaction.is_stuck() && !transaction.is_settled(),
            Self::Unusable => true,
            Self::Ended => false,
        }
    }
}

/// Since when the transaction with this history is stuck, if it is.
pub(super) fn stuck_since(history: &[Timed]) -> Option<Timestamp> {
    let (_, started) = history.first()?;
    let mut transaction = Transaction::start(started)?;
    let mut since = None;
    for (at, record) in &history[1..] {
        transaction.apply(record).ok()?;
        since = transaction.is_stuck().then(|| since.unwrap_or(*at));
    }
    since
}
