//! The face of a pattern: the trait by which the rest of Wholly uses it, and the words of all.
//!
//! A pattern is a value that implements [`Protocol`] and records that implement
//! [`ProtocolRecord`]. The enums [`Transaction`](crate::Transaction), [`Record`](crate::Record) and
//! [`Proposal`](crate::Proposal) list the patterns that there are; nothing else needs to.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::view::{Part, View};
use crate::wire::{Answer, Operation, cut_to};
use crate::{
    BranchName, Key, LogId, Name, OperationName, ParticipantName, Payload, Timestamp, saga,
    two_phase,
};

/// One pattern of transactions, as a state machine.
///
/// The value is folded from its records and says by itself what is outstanding. An input gives
/// records, a record changes the value; time is an argument.
pub trait Protocol: Clone {
    /// The records of this pattern.
    type Record: ProtocolRecord<Transaction = Self>;
    /// An operator's word for how a part ended.
    type Resolution;
    /// The error of a transaction that cannot be aborted or turned back.
    type CancelError;
    /// The error of a part that cannot be resolved by hand.
    type ResolveError;

    /// Folds a record into the value.
    ///
    /// # Errors
    /// When a law forbids the record here; the value is then not to be used.
    fn apply(&mut self, record: &Self::Record) -> Result<(), BrokenInvariant>;

    /// The records that an input means, without those that follow from them.
    fn decide(&self, input: &Input, now: Now<'_>) -> Vec<Self::Record>;

    /// The next record that the value demands without any input.
    fn consequence(&self, now: Now<'_>) -> Option<Self::Record>;

    /// True if a record must be durable before anything that follows from it leaves.
    fn forces(&self, record: &Self::Record) -> bool;

    /// The number of its parts: branches or steps.
    fn part_count(&self) -> BranchIndex;

    /// The operation that is outstanding of a part, from the value alone.
    fn outstanding(&self, part: BranchIndex) -> Option<Operation>;

    /// The request behind an effect, with its target; `None` if the effect is not outstanding.
    fn request(&self, effect: Effect) -> Option<Request>;

    /// Takes a client's wish to abort or turn back.
    ///
    /// # Errors
    /// When it is too late for that.
    fn cancel(
        &mut self,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Self::Record>, Self::CancelError>;

    /// Takes an operator's word for how a part ended.
    ///
    /// # Errors
    /// When there is no such part, or it cannot have ended so.
    fn resolve(
        &mut self,
        part: BranchIndex,
        ended: Self::Resolution,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Self::Record>, Self::ResolveError>;

    /// Takes an operator's word for how a part ended, in a transaction that came with a restored
    /// copy of its log. Time stands still for it; where the transaction is undecided, the word may
    /// be the decision, too.
    ///
    /// # Errors
    /// When there is no such part, or it cannot have ended so.
    fn resolve_quarantined(
        &mut self,
        part: BranchIndex,
        ended: Self::Resolution,
        reason: &str,
    ) -> Result<Vec<Self::Record>, Self::ResolveError>;

    /// Takes an operator's word that a restored transaction goes on under this identity.
    ///
    /// # Errors
    /// When a law forbids it.
    fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Self::Record>, BrokenInvariant>;

    /// The answer to a participant in doubt that asks for the decision.
    fn inquiry(&self) -> Inquiry;

    /// The identity of the restored copy under which an operator let it go on last.
    fn released(&self) -> Option<LogId>;

    /// The time at which it aborts or turns back by itself, if it may.
    fn turns_back_at(&self) -> Option<Timestamp>;

    /// The rule for trying a part again, if the transaction itself has one.
    fn retry(&self, part: BranchIndex) -> Option<&saga::Retry>;

    /// About how many bytes of memory it takes for its payloads and its definition.
    fn memory_bytes(&self) -> usize;

    /// True if nothing is left to do.
    fn is_settled(&self) -> bool;

    /// True if it needs an operator.
    fn is_stuck(&self) -> bool;

    /// The transaction as it looks from outside.
    fn view(&self) -> View<'_>;

    /// One of its parts as it looks from outside; `None` past the last one.
    fn part(&self, part: BranchIndex) -> Option<Part<'_>>;

    /// The outstanding effects: at most one operation a part.
    fn effects(&self) -> impl Iterator<Item = Effect> + '_ {
        let outstanding = |branch| Some(Effect { branch, operation: self.outstanding(branch)? });
        (0..self.part_count()).filter_map(outstanding)
    }

    /// Takes an input: folds in its records, then those that follow, until none does. Returns the
    /// records, in their order.
    ///
    /// # Errors
    /// When a record breaks a law: the transaction is to be quarantined, and nothing to be kept.
    fn step<'a>(
        &mut self,
        input: &Input,
        now: impl Into<Now<'a>>,
    ) -> Result<Vec<Self::Record>, BrokenInvariant> {
        let now = now.into();
        let records = self.decide(input, now);
        self.record(records, now)
    }

    /// Folds records in, then those that follow from them. Returns all of them, in their order.
    ///
    /// # Errors
    /// When a record breaks a law.
    fn record<'a>(
        &mut self,
        mut records: Vec<Self::Record>,
        now: impl Into<Now<'a>>,
    ) -> Result<Vec<Self::Record>, BrokenInvariant> {
        let now = now.into();
        records.iter().try_for_each(|record| self.apply(record))?;
        while let Some(record) = self.consequence(now) {
            self.apply(&record)?;
            records.push(record);
        }
        Ok(records)
    }
}

/// The answer to a participant in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// The decision; `None` while there is none.
    Decision(Option<two_phase::Decision>),
    /// Participants of this pattern are never in doubt: they are told what to do.
    NeverInDoubt,
}

/// A record of one pattern: a fact that is kept of a transaction.
pub trait ProtocolRecord: Sized {
    /// The transaction that the records fold to.
    type Transaction: Protocol<Record = Self>;

    /// The transaction that this record starts; `None` if it starts none.
    fn start(&self) -> Option<Self::Transaction>;

    /// True for the last record of its transaction.
    fn is_end(&self) -> bool;

    /// True for a decision that may be told before anything that is forced is durable.
    fn is_decision(&self) -> bool;

    /// The client's key, in a start.
    fn key(&self) -> Option<&Key>;

    /// The client's key, in a start.
    fn key_mut(&mut self) -> Option<&mut Key>;

    /// The record without the payloads of clients and participants. `of` is the transaction,
    /// settled. `None` where the rest makes no sense without them.
    ///
    /// INVARIANT: what is left folds to a transaction in the same state.
    fn without_payloads(self, of: &Self::Transaction) -> Option<Self>;
}

/// A branch's or step's place in its transaction, from 0.
pub type BranchIndex = u16;

/// The time for a transaction from a restored copy: it stands still, so that no deadline passes.
pub(crate) const TIMELESS: Timestamp = Timestamp::from_millis(0);

/// The time of an input, and the answers heard until then. A [`Timestamp`] alone stands for none.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The time.
    pub at: Timestamp,
    /// The last answers of those from whom an answer is outstanding. A deadline that has passed
    /// records them, cut to [`LAST_ANSWERS_LIMIT`] bytes; nothing is decided by them.
    pub last_answers: &'a str,
}

/// The most that a deadline that has passed records of the last answers, in bytes.
pub const LAST_ANSWERS_LIMIT: usize = 1_000;

impl From<Timestamp> for Now<'_> {
    fn from(at: Timestamp) -> Self {
        Self { at, last_answers: "" }
    }
}

impl Now<'_> {
    /// The last answers, as they are recorded.
    pub(crate) fn recorded(&self) -> String {
        cut_to(self.last_answers.to_owned(), LAST_ANSWERS_LIMIT)
    }
}

/// An event in a transaction's life, other than an operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An attempt came to its end.
    Answered(Answered),
    /// Time went on.
    Time,
    /// The coordinator restarted; calls on their way may still arrive.
    Restarted,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The branch or step that was asked.
    pub branch: BranchIndex,
    /// The operation that it was asked for.
    pub operation: Operation,
    /// The answer.
    pub answer: Answer,
    /// The number of times it was asked this since the coordinator started.
    pub tries: u32,
    /// True if that is so often that an operator should know.
    pub exhausted: bool,
}

/// An outstanding call: a branch or step to be asked, until it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Effect {
    /// The branch or step.
    pub branch: BranchIndex,
    /// The operation to ask for.
    pub operation: Operation,
}

/// The request that an effect makes of its target, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The target that is asked.
    pub target: Target,
    /// The branch or step that it is asked for.
    pub branch: BranchName,
    /// The name that a saga's step gives the operation.
    pub operation_name: Option<OperationName>,
    /// The payload.
    pub payload: Payload,
    /// After this time it must be refused.
    pub expires: Option<Timestamp>,
    /// An answer that comes after [`expires`](Self::expires) is of no use.
    pub useless_once_expired: bool,
    /// The longest that an attempt may take, if it has a limit of its own.
    pub timeout: Option<Duration>,
}

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum Target {
    /// A participant.
    Participant(ParticipantName),
    /// The program itself, which has the steps of this saga in its code.
    Code {
        /// The saga's name.
        saga: Name,
        /// Its version.
        version: u32,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Participant(name) => write!(f, "the participant {name}"),
            Self::Code { saga, version } => write!(f, "the saga {saga:?} version {version}"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// A record that a law of the protocol forbids here. Its transaction is to be quarantined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a law of the protocol is broken: {law}")]
#[non_exhaustive]
pub struct BrokenInvariant {
    /// The law, in words.
    pub law: &'static str,
}

pub(crate) fn ensure(holds: bool, law: &'static str) -> Result<(), BrokenInvariant> {
    if holds { Ok(()) } else { broken(law) }
}

pub(crate) fn broken<T>(law: &'static str) -> Result<T, BrokenInvariant> {
    Err(BrokenInvariant { law })
}
