//! Who needs a person, told as soon as it is durable.
//!
//! INVARIANT: what is told of a transaction here is what the log tells of it.

use std::collections::BTreeMap;

use wholly_core::entry::Timed;
use wholly_core::{Callee, Timestamp, Transaction, TransactionId};

use super::{Engine, Part};
use crate::log::Position;

/// A transaction became stuck, at this time, or no longer is.
pub(crate) type StuckChange = (TransactionId, Option<Timestamp>);

impl<W> Engine<W> {
    /// Looks whether a transaction has become stuck, or no longer is.
    pub(super) fn note_stuck(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let stuck = open.held || open.part.is_stuck();
        if stuck == std::mem::replace(&mut open.stuck, stuck) {
            return;
        }
        if stuck {
            self.yields(id);
        }
        // It happens seldom enough for a batch that it need not share.
        self.write_held_back(id, now);
        let durable_with = self.durable_with(id).unwrap_or(self.durable);
        self.stuck_changes.push((durable_with, (id, stuck.then_some(now))));
    }

    /// Notes that what the log holds of a transaction is stuck.
    pub(super) fn found_stuck(&mut self, id: TransactionId, since: Timestamp) {
        self.stuck_changes.push((self.durable, (id, Some(since))));
    }

    /// Tells what has become durable.
    pub(super) fn tell_stuck(&mut self) {
        if self.stuck_changes.is_empty() {
            return;
        }
        let durable = self.durable;
        let is_durable = |(at, _): &(Position, StuckChange)| *at <= durable;
        let (told, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.stuck_changes).into_iter().partition(is_durable);
        self.stuck_changes = waiting;
        self.outputs.stuck.extend(told.into_iter().map(|(_, change)| change));
    }

    /// Whether any transaction here may settle without a person: it is not stuck, and somebody is
    /// here to be asked for it.
    pub fn may_settle(&self) -> bool {
        self.open.values().any(|open| match &open.part {
            _ if open.stuck => false,
            Part::Live(transaction) => !self.waits_for_strangers(transaction),
            Part::SetAside { .. } => false,
            Part::Ended => true,
        })
    }

    /// Whether all that is outstanding is to be asked of who is not here.
    pub(super) fn waits_for_strangers(&self, transaction: &Transaction) -> bool {
        let requests = transaction.effects().filter_map(|effect| transaction.request(effect));
        let mut callees = requests.map(|request| request.callee).peekable();
        callees.peek().is_some() && callees.all(|callee| !self.callees.has(&callee))
    }

    /// Who is to be asked and is not here, and how many transactions wait for them.
    pub fn waited_for(&self) -> BTreeMap<Callee, usize> {
        let mut waiting = BTreeMap::new();
        for open in self.open.values().filter(|open| !open.held) {
            let Part::Live(transaction) = &open.part else { continue };
            for callee in self.held_for(transaction) {
                *waiting.entry(callee).or_default() += 1;
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

impl Part {
    pub(super) fn is_stuck(&self) -> bool {
        match self {
            Self::Live(transaction) => transaction.is_stuck() && !transaction.is_settled(),
            Self::SetAside { .. } => true,
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
