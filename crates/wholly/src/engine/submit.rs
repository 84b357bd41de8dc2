//! How a transaction begins.

use std::collections::HashSet;
use std::time::Duration;

use wholly_core::two_phase::{Record, Started, StartedBranch, Transaction};
use wholly_core::{Key, Name, ParticipantName, Payload, Timestamp, TransactionId};

use super::keys::KeyState;
use super::{Attempts, Engine, Open, Part, Reply, Waiter};
use crate::Settings;
use crate::error::SubmitError;

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub name: Name,
    pub key: Option<Key>,
    pub branches: Vec<StartedBranch>,
    /// From the moment of acceptance.
    pub deadline: Option<Duration>,
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
        if let Err(error) = self.check(&submission) {
            return self.reply(to, Reply::NotAccepted(error));
        }
        match submission.key.clone() {
            Some(key) => self.submit_by_key(key, submission, wait, to, now),
            None => self.begin(submission, wait, to, now),
        }
    }

    /// Whether the transaction may begin, were it not for its key.
    fn check(&self, submission: &Submission) -> Result<(), SubmitError> {
        if self.draining {
            return Err(SubmitError::ShuttingDown);
        }
        let Submission { branches, deadline, .. } = submission;
        if branches.is_empty() {
            return Err(SubmitError::NoBranches);
        }
        if branches.len() > Settings::BRANCH_LIMIT {
            return Err(SubmitError::TooManyBranches { branches: branches.len() });
        }
        if let Some(deadline) = *deadline
            && !(Settings::SHORTEST_DEADLINE..=Settings::LONGEST_DEADLINE).contains(&deadline)
        {
            return Err(SubmitError::Deadline { deadline });
        }
        let mut seen = HashSet::with_capacity(branches.len());
        for StartedBranch { participant, .. } in branches {
            if !self.participants.contains_key(participant) {
                return Err(SubmitError::UnknownParticipant { participant: participant.clone() });
            }
            if !seen.insert(participant) {
                return Err(SubmitError::SameBranchTwice { participant: participant.clone() });
            }
        }
        if self.open.len() >= self.settings.in_flight_limit {
            return Err(SubmitError::Overloaded { in_flight: self.open.len() });
        }
        Ok(())
    }

    /// Begins a transaction; its waiter hears of it when it is durable.
    pub(super) fn begin(&mut self, submission: Submission, wait: Wait, to: W, now: Timestamp) {
        let Submission { name, key, branches, deadline } = submission;
        let id = TransactionId::mint(self.last_ordinal, now, self.random.next(), self.identity);
        self.last_ordinal = id.ordinal();
        let one_phase = match branches.as_slice() {
            [only] => self.participants.get(&only.participant).copied().unwrap_or(false),
            _ => false,
        };
        let started = Started {
            name,
            key: key.clone(),
            deadline: now + deadline.unwrap_or(self.settings.deadline),
            one_phase,
            branches,
        };
        if let Some(key) = key.clone() {
            self.keys.insert(key, KeyState::Open(id));
        }
        let open = Open::new(Part::Live(Transaction::start(&started)), key);
        self.open.insert(id, open);
        self.record(id, vec![Record::Started(started)], now);
        self.wait(id, wait, to, now);
    }
}

impl<W> Open<W> {
    pub(super) fn new(part: Part, key: Option<Key>) -> Self {
        let branches = match &part {
            Part::Live(transaction) => transaction.branches().len(),
            Part::SetAside => 0,
        };
        Self {
            part,
            key,
            sequence: 0,
            place: None,
            gate: Default::default(),
            attempts: std::iter::repeat_with(Attempts::default).take(branches).collect(),
            waiters: Vec::<Waiter<W>>::new(),
            wake: None,
        }
    }
}

/// Whether a submission says the same as the transaction that has its key. The deadline does not
/// count: it was the first one's.
pub(super) fn same_body<'a>(
    submission: &Submission,
    name: &Name,
    branches: impl ExactSizeIterator<Item = (&'a ParticipantName, &'a Payload)>,
) -> bool {
    submission.name == *name
        && submission.branches.len() == branches.len()
        && submission.branches.iter().zip(branches).all(|(new, (participant, payload))| {
            new.participant == *participant && new.payload.same_as(payload)
        })
}
