//! The server's answers. Members that a newer server adds are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use wholly_core::{Key, Name, ParticipantName, StepName, Timestamp, TransactionId};

use crate::words::{BranchState, Health, Pattern, State, StepState};

/// The answer to a submission.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Submitted {
    /// The transaction.
    pub id: TransactionId,
    /// The state in which it ended; none as long as it is only accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The reason for which it aborted or turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The outputs of the steps of a completed saga.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<StepName, Box<RawValue>>,
    /// True if retention removed the outputs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_removed: bool,
    /// The key with which it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

impl Submitted {
    /// True if it ended. Reads may show it as settled a little later.
    pub fn has_ended(&self) -> bool {
        self.state.is_some()
    }
}

/// A transaction, read from the server's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transaction {
    /// The transaction.
    pub id: TransactionId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The version of a saga's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The caller to whom the key belongs; `None` if it belongs to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Name>,
    /// Its pattern.
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// True if it has settled: nothing is left to do.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The reason for which it aborted or turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason for which its records cannot be used, if it is quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// True if retention removed its payloads, input and outputs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_removed: bool,
    /// The unregistered participants that it awaits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<String>,
    /// True if the server has no room for it in memory; it continues when there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unloaded: bool,
    /// The time at which it aborts or turns back unless it is decided by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// A saga's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Its branches, in two-phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// Its steps, in a saga.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Its records, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
}

impl Transaction {
    /// The name of the branch or step with this index, as records have it.
    pub fn branch_name(&self, index: u64) -> Option<&str> {
        let index = usize::try_from(index).ok()?;
        let branch = self.branches.get(index).map(|branch| branch.participant.as_str());
        branch.or_else(|| self.steps.get(index).map(|step| step.name.as_str()))
    }
}

/// A branch of a [`Transaction`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Branch {
    /// Its participant.
    pub participant: ParticipantName,
    /// Its state.
    pub state: BranchState,
    /// The reason for which it needs an operator, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The attempts at its outstanding call, since the coordinator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<CallAttempts>,
    /// Its payload; absent if retention removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

/// A step of a [`Transaction`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Its name.
    pub name: StepName,
    /// Its participant; absent if the coordinator's own program runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantName>,
    /// Its state.
    pub state: StepState,
    /// True if the saga cannot turn back once it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// The reason for which it needs an operator, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The attempts at its outstanding call, since the coordinator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<CallAttempts>,
    /// Its payload, from its beginning until it is compensated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// Its output, while it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
}

/// The attempts at the outstanding call of a [`Branch`] or [`Step`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallAttempts {
    /// The operation: `prepare`, `commit`, `abort`, `commit-one-phase`, `action` or `compensation`.
    pub operation: String,
    /// The number of attempts, one that is under way included.
    pub tries: u32,
    /// The time of the next attempt; none while one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The last answer; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<LastAnswer>,
}

/// The last answer of a [`Branch`], a [`Step`] or a [`Participant`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastAnswer {
    /// The time at which it came, or the attempt was given up.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// `done`, `read-only`, `refused`, `pending`, `heuristic`, `unknown` or `stuck`.
    pub answer: String,
    /// The HTTP status, if it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The participant's reason, or what came instead of an answer; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The target of a redirect, which is not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// An entry of a [`Transaction`]'s history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// The record.
    pub record: Record,
}

/// A record in the form of the log: a name (`"settled"`), or a name with a body
/// (`{"vote": [0, "yes"]}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Box<RawValue>);

impl Record {
    /// Its name; empty if it has not the form of a record.
    pub fn name(&self) -> String {
        self.parts().0
    }

    /// Its body.
    pub fn body(&self) -> Option<Value> {
        self.parts().1
    }

    fn parts(&self) -> (String, Option<Value>) {
        match serde_json::from_str(self.0.get()) {
            Ok(Value::String(name)) => (name, None),
            Ok(Value::Object(members)) => {
                let first = members.into_iter().next();
                first.map(|(name, body)| (name, Some(body))).unwrap_or_default()
            }
            _ => Default::default(),
        }
    }
}

/// A row of a list of transactions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransactionSummary {
    /// The transaction.
    pub id: TransactionId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its pattern.
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// True if it has settled: nothing is left to do.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The time at which it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
}

/// A participant as the coordinator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Participant {
    /// Its name in the configuration.
    pub name: ParticipantName,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its health.
    pub health: Health,
    /// The number of calls since the coordinator started; none if calls are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// The number of calls without an answer that can be understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
    /// The number of calls under way.
    #[serde(default)]
    pub in_progress: u64,
    /// The number of calls that wait for a slot.
    #[serde(default)]
    pub waiting: u64,
    /// The number of transactions for which it owes an answer.
    #[serde(default)]
    pub in_flight: u64,
    /// The number of them at which submissions that name it are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_limit: Option<u64>,
    /// The limit of concurrent calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Its last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// Its last answer; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<LastAnswer>,
    /// The number of the last calls in a row that did not end their operation.
    #[serde(default)]
    pub unanswered: u64,
    /// The time of the next attempt at an operation that its last answer did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// The limit of concurrent calls of a [`Participant`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slots {
    /// The most calls at once.
    pub total: u64,
    /// Of these, the ones reserved for commits, aborts and compensations.
    #[serde(default)]
    pub reserved_for_second_phase: u64,
}

/// The last error of a [`Participant`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastError {
    /// The time.
    pub at: Timestamp,
    /// The error.
    pub why: String,
}

/// A saga that can be submitted by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SagaVersion {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: u32,
}
