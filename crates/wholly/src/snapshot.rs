//! A transaction as the log tells it.

use serde::{Serialize, Serializer};
use wholly_core::{
    BranchIndex, BranchName, Key, Name, Part, PartKind, PartState, ParticipantName, Pattern,
    Payload, Record, State, Target, Timestamp, Transaction, TransactionId,
};

use crate::AnyOutcome;
use crate::engine::InMemory;
use crate::last_answer::CallAttempts;
use crate::log::StoredTransaction;
use crate::replay::{ReplayError, Replayed, as_far_as_known};

/// A transaction as it is durable, at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The transaction.
    pub id: TransactionId,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The version of a saga's definition, with which it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The client's key, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The caller to whom the key belongs; `None` if it belongs to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Name>,
    /// Its pattern; `None`, written `unknown`, where not even its start can be read.
    #[serde(serialize_with = "or_unknown")]
    pub pattern: Option<Pattern>,
    /// Its state; `None`, written `unknown`, where not all of its records can be used.
    #[serde(serialize_with = "or_unknown")]
    pub state: Option<State>,
    /// Nothing is left to do.
    pub settled: bool,
    /// An operator is needed.
    pub stuck: bool,
    /// Why it aborted, or turned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why nothing is done for it, if it was quarantined: its records cannot be used, or it came with
    /// a restored copy of the log. Also that an operator ended it, when and why; and of one that
    /// had settled, or that the coordinator still knows in memory, that it is damaged in the log.
    /// What is shown besides is then what the records say up to the first that cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// Unregistered participants and sagas that it awaits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<Target>,
    /// It is not loaded: there was no room for it in memory, and it goes on when there is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unloaded: bool,
    /// When it aborts if it is not decided by then, or turns back if its pivot has not left:
    /// milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// A saga's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// Its branches, in two phases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<PartSnapshot>,
    /// Its steps, in a saga.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PartSnapshot>,
    /// Its payloads, input and outputs were removed when they had been kept for as long as they are:
    /// `null` is in their place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub payloads_removed: bool,
    /// All that was recorded, oldest first.
    pub history: Vec<HistoryEntry>,
    #[serde(skip)]
    outcome: AnyOutcome,
}

/// A branch or a step of a [`Snapshot`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PartSnapshot {
    /// Its name: a step's own, a branch's participant's.
    #[serde(skip)]
    pub name: BranchName,
    /// Its name where that is written: a branch's is its participant's.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    own_name: Option<BranchName>,
    /// The participant that does it; `None` where the program itself does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantName>,
    /// Its state.
    pub state: PartState,
    /// True for a step after which there is no way back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// The reason why it needs an operator, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
    /// The attempts at what is outstanding of it, and what was heard last. They are in memory alone:
    /// they begin anew with each start, and are absent while the coordinator has no time to say them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<CallAttempts>,
    /// Its payload: of a step, while it is begun or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// A step's output, while it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
}

/// One record of a [`Snapshot`]'s history.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// When it was recorded: milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// What was recorded, in the form of the log.
    pub record: Record,
}

impl Snapshot {
    /// A transaction as the log has it. No record says that it is quarantined, nor that it has ended
    /// where its last ones cannot be used.
    pub(crate) fn of(
        stored: &StoredTransaction,
        has_ended: bool,
        quarantined: Option<&str>,
    ) -> Self {
        let id = stored.id;
        let (replayed, wrong) = as_far_as_known(stored);
        let mut snapshot = match replayed {
            Some(replayed) => Self::of_readable(id, replayed),
            None => Self::empty(id, AnyOutcome::Quarantined(id)),
        };
        match wrong {
            None if snapshot.settled => {}
            None => {
                snapshot.stuck |= quarantined.is_some();
                snapshot.quarantined = quarantined.map(str::to_owned);
            }
            Some(wrong) => {
                snapshot.is_only_known_in_part(&wrong, has_ended, quarantined.is_some());
            }
        }
        snapshot
    }

    /// Adds what is known in memory alone.
    pub(crate) fn add(&mut self, known: InMemory) {
        let InMemory { awaiting, attempts, is_unloaded } = known;
        self.unloaded = is_unloaded;
        if self.quarantined.is_none() {
            self.shows(attempts);
            self.awaiting = awaiting;
        }
    }

    /// Shows the attempts at branches or steps.
    fn shows(&mut self, attempts: Vec<(BranchIndex, CallAttempts)>) {
        for (branch, attempts) in attempts {
            let place = usize::from(branch);
            let of_branch = self.branches.get_mut(place).map(|branch| &mut branch.attempts);
            let of_step = self.steps.get_mut(place).map(|step| &mut step.attempts);
            if let Some(shown) = of_branch.or(of_step) {
                *shown = Some(attempts);
            }
        }
    }

    /// Only the first of its records are shown: its state is not known.
    fn is_only_known_in_part(&mut self, wrong: &ReplayError, has_ended: bool, quarantined: bool) {
        self.outcome = AnyOutcome::Quarantined(self.id);
        (self.state, self.reason) = (None, None);
        self.settled = has_ended || wrong.ended().is_some();
        // One that is whole in memory goes on, and needs nobody yet.
        self.stuck = !self.settled && quarantined;
        self.quarantined = Some(wrong.to_string());
    }

    fn of_readable(id: TransactionId, replayed: Replayed) -> Self {
        let mut snapshot = Self::empty(id, AnyOutcome::of_stored(id, &replayed));
        let Replayed { transaction, history, payloads_removed } = replayed;
        let key = history.first().and_then(|(_, record)| record.key());
        snapshot.caller = key.and_then(Key::caller);
        snapshot.key = key.map(Key::without_caller);
        snapshot.payloads_removed = payloads_removed;
        let event =
            |(at, record): (_, Record)| HistoryEntry { at, record: record.without_caller() };
        snapshot.history = history.into_iter().map(event).collect();
        snapshot.fill(&transaction);
        snapshot
    }

    fn empty(id: TransactionId, outcome: AnyOutcome) -> Self {
        Self {
            id,
            name: None,
            version: None,
            key: None,
            caller: None,
            pattern: None,
            state: None,
            settled: false,
            stuck: false,
            reason: None,
            quarantined: None,
            awaiting: Vec::new(),
            unloaded: false,
            deadline: None,
            input: None,
            branches: Vec::new(),
            steps: Vec::new(),
            payloads_removed: false,
            history: Vec::new(),
            outcome,
        }
    }

    fn fill(&mut self, transaction: &Transaction) {
        let view = transaction.view();
        self.name = Some(view.name.clone());
        self.version = view.version;
        self.pattern = Some(view.pattern);
        self.state = Some(view.state);
        self.settled = view.settled;
        self.stuck = view.stuck;
        self.reason = view.reason.map(ToString::to_string);
        self.deadline = Some(view.deadline);
        self.input = view.input.cloned();
        let parts = transaction.parts();
        match view.pattern.parts() {
            PartKind::Branches => {
                let branch = |part| PartSnapshot { own_name: None, ..PartSnapshot::of(part) };
                self.branches = parts.map(branch).collect();
            }
            PartKind::Steps => self.steps = parts.map(PartSnapshot::of).collect(),
        }
    }

    /// How the transaction ended, or that it has not settled.
    pub fn outcome(&self) -> AnyOutcome {
        self.outcome.clone()
    }
}

impl PartSnapshot {
    fn of(part: Part<'_>) -> Self {
        Self {
            own_name: Some(part.name.clone()),
            name: part.name,
            participant: match part.target {
                Target::Participant(participant) => Some(participant),
                Target::Code { .. } => None,
            },
            state: part.state,
            pivot: part.pivot,
            stuck: part.stuck.map(str::to_owned),
            attempts: None,
            payload: part.payload.cloned(),
            output: part.output.cloned(),
        }
    }
}

/// Writes a word, or `unknown`.
fn or_unknown<S: Serializer>(
    word: &Option<impl Serialize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match word {
        Some(word) => word.serialize(serializer),
        None => serializer.serialize_str("unknown"),
    }
}
