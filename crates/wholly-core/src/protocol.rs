//! The words that both patterns share: what goes into a transaction, and what is outstanding of it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::wire::{Answer, Operation, cut_to};
use crate::{BranchName, Name, OperationName, ParticipantName, Payload, Timestamp};

/// A branch's or step's place in its transaction, from 0.
pub type BranchIndex = u16;

/// The time for what came with a restored copy: it stands still, so that no deadline passes.
pub(crate) const TIMELESS: Timestamp = Timestamp::from_millis(0);

/// The time of an input, and what was heard until then. A [`Timestamp`] alone says that nothing was.
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

/// What happens to a transaction, other than an operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An attempt came to its end.
    Answered(Answered),
    /// Time went on.
    Time,
    /// The coordinator restarted; what was on its way may still arrive.
    Restarted,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which branch or step was asked.
    pub branch: BranchIndex,
    /// What it was asked.
    pub operation: Operation,
    /// What came back.
    pub answer: Answer,
    /// How often it was asked this since the coordinator started.
    pub tries: u32,
    /// Whether that is so often that an operator should know.
    pub exhausted: bool,
}

/// What is outstanding: a branch or step to be asked, until it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Effect {
    /// Which branch or step.
    pub branch: BranchIndex,
    /// What to ask.
    pub operation: Operation,
}

/// What an effect asks of whom, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who is asked.
    pub target: Target,
    /// For which branch or step.
    pub branch: BranchName,
    /// What a saga's step calls the operation.
    pub operation_name: Option<OperationName>,
    /// With what.
    pub payload: Payload,
    /// After this time it must be refused.
    pub expires: Option<Timestamp>,
    /// An answer that comes after [`expires`](Self::expires) is of no use.
    pub useless_once_expired: bool,
    /// How long an attempt may take, if not as long as any.
    pub timeout: Option<Duration>,
}

/// Who is asked.
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
