//! A transaction as the log tells it.

use serde::Serialize;
use wholly_core::two_phase::{AbortReason, BranchState, Record, State};
use wholly_core::{Key, Name, ParticipantName, Payload, Timestamp, TransactionId};

use crate::Outcome;
use crate::log::StoredTransaction;
use crate::replay::{Replayed, replay};

/// What is durable of a transaction, at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The transaction.
    pub id: TransactionId,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The client's key, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// `two-phase`.
    pub pattern: &'static str,
    /// `init`, `prepared`, `committed` or `aborted`; `unknown` of one that was set aside.
    pub state: &'static str,
    /// Every branch is over.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// Why it aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why its records cannot be used, if it was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// When it aborts if it is not decided by then: milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Its branches.
    pub branches: Vec<BranchSnapshot>,
    /// All that was recorded, oldest first.
    pub history: Vec<Event>,
    #[serde(skip)]
    aborted: Option<AbortReason>,
}

/// A branch of a [`Snapshot`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BranchSnapshot {
    /// Who takes part.
    pub participant: ParticipantName,
    /// Where it stands.
    pub state: BranchState,
    /// Why it needs a person, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// With what.
    pub payload: Payload,
}

/// One record of a [`Snapshot`]'s history.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When it was recorded: milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// What was recorded, in the form of the log.
    pub record: Record,
}

impl Snapshot {
    pub(crate) fn of(stored: &StoredTransaction) -> Self {
        match replay(stored) {
            Ok(replayed) => Self::of_readable(stored.id, replayed),
            Err(error) => Self {
                id: stored.id,
                name: None,
                key: None,
                pattern: "two-phase",
                state: "unknown",
                settled: false,
                stuck: true,
                reason: None,
                set_aside: Some(error.to_string()),
                deadline: None,
                branches: Vec::new(),
                history: Vec::new(),
                aborted: None,
            },
        }
    }

    fn of_readable(id: TransactionId, replayed: Replayed) -> Self {
        let Replayed { transaction, history } = replayed;
        let key = match history.first() {
            Some((_, Record::Started(started))) => started.key.clone(),
            _ => None,
        };
        let aborted = match transaction.state() {
            State::Aborted(reason) => Some(reason.clone()),
            _ => None,
        };
        let branch = |branch| BranchSnapshot {
            participant: wholly_core::two_phase::Branch::participant(branch).clone(),
            state: transaction.branch_state(branch),
            stuck: branch.stuck().map(str::to_owned),
            payload: branch.payload().clone(),
        };
        Self {
            id,
            name: Some(transaction.name().clone()),
            key,
            pattern: "two-phase",
            state: transaction.state().as_str(),
            settled: transaction.is_settled(),
            stuck: transaction.is_stuck(),
            reason: aborted.as_ref().map(ToString::to_string),
            set_aside: None,
            deadline: Some(transaction.deadline()),
            branches: transaction.branches().iter().map(branch).collect(),
            history: history.into_iter().map(|(at, record)| Event { at, record }).collect(),
            aborted,
        }
    }

    /// How the transaction ended, or that it has not settled.
    pub fn outcome(&self) -> Outcome {
        match &self.aborted {
            _ if !self.settled => Outcome::Unsettled(self.id),
            Some(reason) => Outcome::aborted(self.id, reason.clone()),
            None => Outcome::committed(self.id),
        }
    }
}
