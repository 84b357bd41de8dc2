//! The server's answers. Members that a newer server adds are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use wholly_core::{Key, Name, ParticipantName, StepName, Timestamp, TransactionId};

use crate::words::{BranchState, Health, Pattern, State, StepState};

/// What the server says of a transaction that was submitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Submitted {
    /// The transaction.
    pub id: TransactionId,
    /// How it ended; none while only that it was accepted is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Why it aborted, or turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What each step of a completed saga gave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<StepName, Box<RawValue>>,
    /// The outputs were removed when they had been kept for as long as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_removed: bool,
    /// The key with which it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

impl Submitted {
    /// Whether it ended. That is certain; reads show it as settled a little later, perhaps.
    pub fn has_ended(&self) -> bool {
        self.state.is_some()
    }
}

/// A transaction as the server's log tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transaction {
    /// The transaction.
    pub id: TransactionId,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The version of a saga's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The client's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The caller to whom the key belongs; `None` if it belongs to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Name>,
    /// How it goes about it.
    pub pattern: Pattern,
    /// Where it stands.
    pub state: State,
    /// Nothing is left to do.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// Why it aborted, or turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why its records cannot be used, if it was quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// Its payloads, input and outputs were removed when they had been kept for as long as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_removed: bool,
    /// Unregistered participants that it awaits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<String>,
    /// It is not loaded: the server had no room for it in memory, and it goes on when there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unloaded: bool,
    /// When it aborts if it is not decided by then, or turns back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// A saga's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Its branches, in two phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// Its steps, in a saga.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// All that was recorded, oldest first.
    #[serde(default)]
    pub history: Vec<Event>,
}

impl Transaction {
    /// The name of the branch or step that a record calls by its place.
    pub fn branch_name(&self, place: u64) -> Option<&str> {
        let place = usize::try_from(place).ok()?;
        let branch = self.branches.get(place).map(|branch| branch.participant.as_str());
        branch.or_else(|| self.steps.get(place).map(|step| step.name.as_str()))
    }
}

/// A branch of a [`Transaction`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Branch {
    /// Who takes part.
    pub participant: ParticipantName,
    /// Where it stands.
    pub state: BranchState,
    /// Why it needs a person, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The attempts at what is outstanding of it, since the coordinator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<CallAttempts>,
    /// With what; absent where it is retained no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

/// A step of a [`Transaction`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// What it is called.
    pub name: StepName,
    /// Who does it; absent where the coordinator's own program does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantName>,
    /// Where it stands.
    pub state: StepState,
    /// Whether there is no way back once it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// Why it needs a person, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The attempts at what is outstanding of it, since the coordinator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<CallAttempts>,
    /// What it was given, while it is begun or done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// What it gave, while it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
}

/// The attempts at what is outstanding of a [`Branch`] or [`Step`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallAttempts {
    /// The operation: `prepare`, `commit`, `abort`, `commit-one-phase`, `action` or `compensation`.
    pub operation: String,
    /// The number of calls, one that is on its way included.
    pub tries: u32,
    /// When it is asked again; none while a call is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The last answer; none before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<LastAnswer>,
}

/// The last that was heard of a [`Branch`], a [`Step`] or a [`Participant`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastAnswer {
    /// When it came, or was given up.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// `done`, `read-only`, `refused`, `pending`, `heuristic`, `unknown` or `stuck`.
    pub answer: String,
    /// The HTTP status, where that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The words that came with it, or what was seen instead of an answer; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The target of a redirect, which is not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// One record of a [`Transaction`]'s history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When it was recorded.
    pub at: Timestamp,
    /// What was recorded.
    pub record: Record,
}

/// A record in the form of the log: a name alone (`"settled"`), or with what belongs to it
/// (`{"vote": [0, "yes"]}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Box<RawValue>);

impl Record {
    /// Its name; empty where it has not the form of a record.
    pub fn name(&self) -> String {
        self.parts().0
    }

    /// What belongs to it.
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

/// A part of the list of transactions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// Its transactions, newest first. There may be few or none, and more on the next page.
    pub transactions: Vec<Listed>,
    /// How to ask for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A transaction in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listed {
    /// The transaction.
    pub id: TransactionId,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// How it goes about it.
    pub pattern: Pattern,
    /// Where it stands.
    pub state: State,
    /// Nothing is left to do.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
}

/// A participant as the coordinator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Participant {
    /// How the configuration calls it.
    pub name: ParticipantName,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How it is.
    pub health: Health,
    /// How often it was called since the coordinator started; none where that is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// How often no answer that can be understood came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
    /// How many calls are on their way.
    #[serde(default)]
    pub in_progress: u64,
    /// How many calls wait for a slot.
    #[serde(default)]
    pub waiting: u64,
    /// For how many transactions it owes an answer.
    #[serde(default)]
    pub in_flight: u64,
    /// With so many, a submission that names it is refused for the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_limit: Option<u64>,
    /// How often it is called at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// Its last answer; none before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<LastAnswer>,
    /// The number of calls in a row that ended nothing, up to the last one.
    #[serde(default)]
    pub unanswered: u64,
    /// The time of the next call about what its last answer did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// How often a [`Participant`] is called at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slots {
    /// At most.
    pub total: u64,
    /// Of these, kept for commits, aborts and compensations.
    #[serde(default)]
    pub reserved_for_second_phase: u64,
}

/// What went wrong last with a [`Participant`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What.
    pub why: String,
}

/// A saga that can be submitted by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SagaVersion {
    /// What it is called.
    pub name: Name,
    /// Its version.
    pub version: u32,
}
