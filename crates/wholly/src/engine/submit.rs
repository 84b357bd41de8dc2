//! How a transaction begins.

use std::sync::Arc;
use std::time::Duration;

use wholly_core::{
    Begin, Input, Key, Proposal, Record, Timestamp, TraceContext, Transaction, TransactionId,
};

use super::keys::KeyState;
use super::other_key::OtherKey;
use super::room::{Permit, needed};
use super::targets::{Targets, Who};
use super::{Attempts, Engine, Entries, Open, OpenState, Reply, Waiter};
use crate::Settings;
use crate::error::SubmitError;
use crate::log::listing::Labels;

/// A transaction that a client submits.
#[derive(Clone, Debug)]
pub(crate) struct NewTransaction {
    pub key: Option<Key>,
    /// Another key under which it may have begun.
    pub other_key: Option<OtherKey>,
    pub trace: Option<Arc<TraceContext>>,
    /// From the moment of acceptance.
    pub deadline: Option<Duration>,
    pub proposal: Proposal,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Its transaction is accepted: durable.
    Accepted,
    /// Its transaction has settled, or this time has come.
    Settled { until: Timestamp },
    /// What it asked for is recorded as it must be.
    Recorded,
}

impl<W> Engine<W> {
    pub(super) fn submit(&mut self, submission: NewTransaction, wait: Wait, to: W, now: Timestamp) {
        match submission.first_key().cloned() {
            Some(key) => self.submit_by_key(key, submission, wait, to, now),
            None => self.begin(submission, wait, to, now),
        }
    }

    /// Whether the transaction may begin, were it not for its key.
    fn check(&mut self, submission: &NewTransaction, now: Timestamp) -> Result<(), SubmitError> {
        if self.draining {
            return Err(SubmitError::ShuttingDown);
        }
        submission.deadline.map_or(Ok(()), Settings::check_deadline)?;
        let targets = submission.proposal.targets();
        if let Some(unknown) = targets.iter().find(|target| !self.targets.has(target)) {
            return Err(SubmitError::unknown(unknown));
        }
        let bytes = needed(&submission.proposal, targets.len());
        self.make_room(bytes, now)?;
        let share = self.room.share();
        let mut targets = targets.iter();
        targets.try_for_each(|one| self.targets.check_room(one, bytes, &self.settings, share))
    }

    /// Begins a transaction; its waiter hears of it when it is durable.
    pub(super) fn begin(&mut self, submission: NewTransaction, wait: Wait, to: W, now: Timestamp) {
        // Only now: what was begun with a key is found by it, whatever has changed since.
        if let Err(error) = self.check(&submission, now) {
            return self.reply(to, Reply::NotAccepted(error));
        }
        let id = TransactionId::mint(self.last_ordinal, now, self.random.next(), self.identity);
        self.last_ordinal = id.ordinal();
        let key = submission.key.clone();
        let started = self.started(submission, now);
        // INVARIANT: the record of a start starts a transaction.
        let Some(transaction) = Transaction::start(&started) else { return };
        if let Some(key) = key.clone() {
            self.keys.insert(key, KeyState::Open(id));
        }
        self.meter.begun(&transaction);
        let open = Open::new(OpenState::Live(transaction), key, &mut self.targets);
        self.keep(id, open);
        self.record(id, vec![started], now);
        // What a saga's first steps are given may not resolve.
        self.step(id, &Input::Time, now);
        self.wait(id, wait, to, now);
    }

    fn started(&self, submission: NewTransaction, now: Timestamp) -> Record {
        let NewTransaction { key, other_key: _, trace, deadline, proposal } = submission;
        let deadline = deadline.or(proposal.deadline()).unwrap_or(self.settings.deadline);
        let begin = Begin { key, trace, deadline: now + deadline };
        proposal.start(begin, |target| self.targets.offers_one_phase(target))
    }
}

impl<W> Open<W> {
    pub(super) fn new(part: OpenState, key: Option<Key>, targets: &mut Targets) -> Self {
        let attempts = match &part {
            OpenState::Live(transaction) => {
                let parts = transaction.parts();
                parts.map(|part| Attempts::at(targets.who(part.target))).collect()
            }
            OpenState::Unusable | OpenState::Ended => Vec::new(),
        };
        let labels = match &part {
            OpenState::Live(transaction) => Some(Labels::of(transaction)),
            OpenState::Unusable | OpenState::Ended => None,
        };
        Self {
            part,
            quarantined: false,
            key,
            entries: Entries::new(labels),
            permit: Permit::default(),
            attempts,
            waiters: Vec::<Waiter<W>>::new(),
            stuck: false,
            yields: false,
            wake: None,
        }
    }
}

impl Attempts {
    /// None yet.
    fn at(who: Who) -> Self {
        Self {
            who,
            owes: false,
            on_its_way: None,
            operation: None,
            tries: 0,
            unsent: 0,
            not_before: None,
            last_answer: None,
        }
    }
}
