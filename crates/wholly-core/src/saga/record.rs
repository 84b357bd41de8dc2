//! The records: all that is kept of a saga.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Graph, Progress};
use crate::deadline::in_words;
use crate::protocol::ProtocolRecord;
use crate::{Key, LogId, Payload, StepName, Timestamp, TraceContext};

/// A step's place in its saga's definition, from 0.
pub type StepIndex = crate::protocol::BranchIndex;

/// One thing that happened to a saga. The module's table says which are forced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// It was accepted. Always the first record, and only the first.
    Started(Started),
    /// An attempt at a step's action went unanswered, or a restart could not tell whether there was
    /// one; written once a step.
    Lost(StepIndex),
    /// A step's action is done, with this output; `null` where it has none.
    Completed(StepIndex, Payload),
    /// A step's participant said no to the action, for this reason.
    Refused(StepIndex, String),
    /// The saga turned back: from here on, the steps done are taken back.
    TurnedBack(Reason),
    /// A step's compensation is done.
    Compensated(StepIndex),
    /// A step needs an operator, for this reason.
    Stuck(StepIndex, String),
    /// An operator ended a step, this way and for this reason.
    Resolved(StepIndex, Resolution, String),
    /// An operator let it go on under the identity of a restored copy of its log, for this reason.
    Released(LogId, String),
    /// Every step is done, or every one that may have been is taken back. Always the last record.
    Settled,
}

/// A reference to nothing once the input is `null`: a step whose payload did not resolve stays
/// unresolved without its payload, and so was never asked.
const RESOLVES_TO_NOTHING: &str = r#"{"$from":"/input/removed"}"#;

impl ProtocolRecord for Record {
    type Transaction = super::Transaction;

    fn start(&self) -> Option<super::Transaction> {
        self.started().map(super::Transaction::start)
    }

    fn is_end(&self) -> bool {
        *self == Self::Settled
    }

    /// A record that decides a saga is forced.
    fn is_decision(&self) -> bool {
        false
    }

    fn key(&self) -> Option<&Key> {
        self.started()?.key.as_ref()
    }

    fn key_mut(&mut self) -> Option<&mut Key> {
        match self {
            Self::Started(started) => started.key.as_mut(),
            _ => None,
        }
    }

    /// The record without the input, the payloads that the definition writes down, and the outputs.
    fn without_payloads(self, of: &super::Transaction) -> Option<Self> {
        Some(match self {
            Self::Started(started) => {
                let mut definition = started.saga.definition().clone();
                for (written, step) in definition.steps.iter_mut().zip(&of.steps) {
                    written.payload = match step.progress {
                        Progress::Unresolved { .. } => {
                            Some(Payload::parse(RESOLVES_TO_NOTHING).ok()?)
                        }
                        _ => None,
                    };
                }
                let saga = Arc::new(Graph::new(definition).ok()?);
                Self::Started(Started { saga, input: Payload::null(), ..started })
            }
            Self::Completed(step, _) => Self::Completed(step, Payload::null()),
            Self::Resolved(step, Resolution::Completed(_), reason) => {
                Self::Resolved(step, Resolution::Completed(Payload::null()), reason)
            }
            other => other,
        })
    }
}

impl Record {
    fn started(&self) -> Option<&Started> {
        match self {
            Self::Started(started) => Some(started),
            _ => None,
        }
    }
}

/// The start of a saga. It carries its own definition, so that another that is loaded later under
/// the same name, or none, changes nothing for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Started {
    /// The client's own key, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The trace that it belongs to, if its client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<TraceContext>>,
    /// Its deadline: it turns back if its pivot has not left or, without one, if it is not done.
    pub deadline: Timestamp,
    /// The definition.
    pub saga: Arc<Graph>,
    /// The input.
    pub input: Payload,
}

/// An operator's word for the end of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Its action is done, with this output.
    Completed(Payload),
    /// It is not done, or taken back.
    Compensated,
}

/// The reason for which a saga turned back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A step's participant said no.
    Refused {
        /// The step.
        step: StepName,
        /// The reason.
        reason: String,
    },
    /// The client took it back.
    Cancelled {
        /// The reason.
        reason: String,
    },
    /// A step was tried as often as its definition says, and it is not known whether it was done.
    Exhausted {
        /// The step.
        step: StepName,
        /// The last answer.
        reason: String,
    },
    /// A step's payload refers to a missing part.
    Unresolved {
        /// The step.
        step: StepName,
        /// The missing part.
        reason: String,
    },
    /// An operator said that a step is not done.
    Resolved {
        /// The step.
        step: StepName,
        /// The reason.
        reason: String,
    },
    /// It was not done by the deadline.
    #[serde(untagged, with = "crate::deadline")]
    Deadline {
        /// The last answers of those from whom one was outstanding, cut to
        /// [`LAST_ANSWERS_LIMIT`](crate::LAST_ANSWERS_LIMIT) bytes; may be empty.
        last_answers: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { step, reason } => write!(f, "{step} was refused: {reason}"),
            Self::Deadline { last_answers } => in_words(f, "it was done", last_answers),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Exhausted { step, reason } => {
                write!(f, "{step} was tried as often as it may be: {reason}")
            }
            Self::Unresolved { step, reason } => {
                write!(f, "{step} cannot be given its payload: {reason}")
            }
            Self::Resolved { step, reason } => {
                write!(f, "{step} was resolved by hand as not done: {reason}")
            }
        }
    }
}
