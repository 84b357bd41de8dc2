//! How a transaction begins.

use std::sync::Arc;
use std::time::Duration;

use wholly_core::saga::{self, Graph};
use wholly_core::two_phase::{self, StartedBranch};
use wholly_core::{
    Input, Key, Name, Payload, Record, Target, Timestamp, TraceContext, Transaction, TransactionId,
};

use super::keys::KeyState;
use super::other_key::OtherKey;
use super::room::{Permit, needed};
use super::targets::{Targets, Who};
use super::{Attempts, Engine, Open, Part, Reply, Waiter};
use crate::Settings;
use crate::error::SubmitError;
use crate::log::listing::Labels;

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub key: Option<Key>,
    /// Another key under which it may have begun.
    pub other_key: Option<OtherKey>,
    pub trace: Option<Arc<TraceContext>>,
    /// From the moment of acceptance.
    pub deadline: Option<Duration>,
    pub change: Change,
}

/// What is to happen, by its pattern.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    TwoPhase {
        name: Name,
        branches: Vec<StartedBranch>,
    },
    Saga {
        saga: Arc<Graph>,
        input: Payload,
        /// The client named no version: one that was begun with another is the same.
        any_version: bool,
    },
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
    pub(super) fn submit(&mut self, submission: Submission, wait: Wait, to: W, now: Timestamp) {
        match submission.first_key().cloned() {
            Some(key) => self.submit_by_key(key, submission, wait, to, now),
            None => self.begin(submission, wait, to, now),
        }
    }

    /// Whether the transaction may begin, were it not for its key.
    fn check(&mut self, submission: &Submission, now: Timestamp) -> Result<(), SubmitError> {
        if self.draining {
            return Err(SubmitError::ShuttingDown);
        }
        submission.deadline.map_or(Ok(()), Settings::check_deadline)?;
        match &submission.change {
            Change::TwoPhase { branches, .. } => self.check_branches(branches)?,
            Change::Saga { saga, .. } => self.check_saga(saga)?,
        }
        let bytes = needed(&submission.change);
        self.make_room(bytes, now)?;
        self.check_room(&submission.change, bytes)
    }

    fn check_branches(&self, branches: &[StartedBranch]) -> Result<(), SubmitError> {
        Settings::check_branches(branches)?;
        branches.iter().try_for_each(|branch| {
            self.check_target(&Target::Participant(branch.participant.clone()))
        })
    }

    fn check_saga(&self, saga: &Graph) -> Result<(), SubmitError> {
        let definition = saga.definition();
        definition.steps.iter().try_for_each(|step| self.check_target(&definition.target(step)))
    }

    /// Refuses what names somebody who has no room for more.
    fn check_room(&self, change: &Change, bytes: usize) -> Result<(), SubmitError> {
        let share = self.room.share();
        let room = |target| self.targets.check_room(&target, bytes, &self.settings, share);
        match change {
            Change::TwoPhase { branches, .. } => branches
                .iter()
                .try_for_each(|branch| room(Target::Participant(branch.participant.clone()))),
            Change::Saga { saga, .. } => {
                let definition = saga.definition();
                definition.steps.iter().try_for_each(|step| room(definition.target(step)))
            }
        }
    }

    fn check_target(&self, target: &Target) -> Result<(), SubmitError> {
        match self.targets.has(target) {
            true => Ok(()),
            false => Err(SubmitError::unknown(target)),
        }
    }

    /// Begins a transaction; its waiter hears of it when it is durable.
    pub(super) fn begin(&mut self, submission: Submission, wait: Wait, to: W, now: Timestamp) {
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
        let open = Open::new(Part::Live(transaction), key, &mut self.targets);
        self.keep(id, open);
        self.record(id, vec![started], now);
        // What a saga's first steps are given may not resolve.
        self.step(id, &Input::Time, now);
        self.wait(id, wait, to, now);
    }

    fn started(&self, submission: Submission, now: Timestamp) -> Record {
        let Submission { key, other_key: _, trace, deadline, change } = submission;
        match change {
            Change::TwoPhase { name, branches } => {
                let one_phase = match branches.as_slice() {
                    [only] => {
                        let target = Target::Participant(only.participant.clone());
                        self.targets.offers_one_phase(&target)
                    }
                    _ => false,
                };
                let deadline = now + deadline.unwrap_or(self.settings.deadline);
                let started =
                    two_phase::Started { name, key, trace, deadline, one_phase, branches };
                Record::TwoPhase(two_phase::Record::Started(started))
            }
            Change::Saga { saga, input, .. } => {
                let own = saga.definition().deadline_millis.map(Duration::from_millis);
                let deadline = now + deadline.or(own).unwrap_or(self.settings.deadline);
                let started = saga::Started { key, trace, deadline, saga, input };
                Record::Saga(saga::Record::Started(started))
            }
        }
    }
}

impl<W> Open<W> {
    pub(super) fn new(part: Part, key: Option<Key>, targets: &mut Targets) -> Self {
        let attempts = match &part {
            Part::Live(transaction) => {
                let asked = (0..).map_while(|branch| transaction.target(branch));
                asked.map(|target| Attempts::at(targets.who(target))).collect()
            }
            Part::Unusable | Part::Ended => Vec::new(),
        };
        let labels = match &part {
            Part::Live(transaction) => Some(Labels::of(transaction)),
            Part::Unusable | Part::Ended => None,
        };
        Self {
            part,
            quarantined: false,
            key,
            labels,
            sequence: 0,
            buffered: Vec::new(),
            place: None,
            gate: Default::default(),
            decided: Default::default(),
            permit: Permit::default(),
            attempts,
            waiters: Vec::<Waiter<W>>::new(),
            stuck: false,
            yields: false,
            last_seen: Default::default(),
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

impl Change {
    /// Whether it says the same as this transaction's. The deadline does not count: it was the
    /// first one's. Nor do payloads that were removed: they cannot be compared any more.
    pub(super) fn is_same_as(&self, transaction: &Transaction, payloads: bool) -> bool {
        match (self, transaction) {
            (Self::TwoPhase { name, branches }, Transaction::TwoPhase(begun)) => {
                name == begun.name()
                    && branches.len() == begun.branches().len()
                    && branches.iter().zip(begun.branches()).all(|(new, old)| {
                        new.participant == *old.participant()
                            && (!payloads || new.payload.same_as(old.payload()))
                    })
            }
            (Self::Saga { saga, input, any_version }, Transaction::Saga(begun)) => {
                let (new, old) = (saga.definition(), begun.definition());
                let same = match (*any_version, payloads) {
                    (true, _) => new.name == old.name,
                    (false, true) => new.same_as(old),
                    (false, false) => (&new.name, new.version) == (&old.name, old.version),
                };
                same && (!payloads || input.same_as(begun.input()))
            }
            _ => false,
        }
    }
}
