//! The records: all that is kept of a transaction.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deadline::in_words;
use crate::protocol::{BranchIndex, ProtocolRecord};
use crate::{Key, LogId, Name, ParticipantName, Payload, Timestamp, TraceContext};

/// One thing that happened to a transaction. The module's table says which are forced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// It was accepted. Always the first record, and only the first.
    Started(Started),
    /// A participant voted.
    Vote(BranchIndex, Vote),
    /// An attempt at the first phase went unanswered; written once a branch.
    Lost(BranchIndex),
    /// Decided: commit. In one phase: the participant did.
    Committed,
    /// Decided: abort. In one phase: the participant did, or never will commit.
    Aborted(AbortReason),
    /// A branch has done what was decided.
    Acknowledged(BranchIndex),
    /// A branch had ended the other way, for this reason.
    Heuristic(BranchIndex, String),
    /// A branch needs an operator, for this reason.
    Stuck(BranchIndex, String),
    /// An operator ended a branch, this way and for this reason.
    Resolved(BranchIndex, Decision, String),
    /// An operator decided a transaction undecided in a restored copy of the log, for this reason.
    Decided(Decision, String),
    /// An operator let it go on under the identity of a restored copy of its log, for this reason.
    Released(LogId, String),
    /// Every branch is over. Always the last record.
    Settled,
}

impl ProtocolRecord for Record {
    type Transaction = super::Transaction;

    fn start(&self) -> Option<super::Transaction> {
        self.started().map(super::Transaction::start)
    }

    fn is_end(&self) -> bool {
        *self == Self::Settled
    }

    fn is_decision(&self) -> bool {
        matches!(self, Self::Committed | Self::Aborted(_))
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

    fn without_payloads(mut self, _of: &super::Transaction) -> Option<Self> {
        if let Self::Started(started) = &mut self {
            started.branches.iter_mut().for_each(|branch| branch.payload = Payload::null());
        }
        Some(self)
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

/// The start of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Started {
    /// Its name.
    pub name: Name,
    /// The client's own key, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The trace that it belongs to, if its client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<TraceContext>>,
    /// The time at which it aborts if it is not decided by then.
    pub deadline: Timestamp,
    /// True if the only branch's participant decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_phase: bool,
    /// Its branches, each with another participant.
    pub branches: Vec<StartedBranch>,
}

/// A branch as it was submitted; in a log the pair `["orders", {…}]`, for it is in every start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "(ParticipantName, Payload)", from = "(ParticipantName, Payload)")]
pub struct StartedBranch {
    /// The participant.
    pub participant: ParticipantName,
    /// The payload.
    pub payload: Payload,
}

impl From<StartedBranch> for (ParticipantName, Payload) {
    fn from(branch: StartedBranch) -> Self {
        (branch.participant, branch.payload)
    }
}

impl From<(ParticipantName, Payload)> for StartedBranch {
    fn from((participant, payload): (ParticipantName, Payload)) -> Self {
        Self { participant, payload }
    }
}

/// A participant's answer to prepare.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vote {
    /// It can commit, and waits.
    Yes,
    /// It changed nothing and takes no part in the second phase.
    ReadOnly,
    /// It cannot, for this reason.
    No(String),
}

/// The decision about a transaction or, by hand, about a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The change is made.
    Committed,
    /// The change is not made.
    Aborted,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        })
    }
}

/// The reason for which a transaction aborted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortReason {
    /// A participant said no.
    Refused {
        /// The participant.
        participant: ParticipantName,
        /// The reason.
        reason: String,
    },
    /// The client took it back.
    Cancelled {
        /// The reason.
        reason: String,
    },
    /// The coordinator restarted before it had decided.
    Restarted,
    /// An operator resolved the only branch as aborted.
    Resolved {
        /// The reason.
        reason: String,
    },
    /// Not every vote was in by the deadline.
    #[serde(untagged, with = "crate::deadline")]
    Deadline {
        /// The last answers of those from whom one was outstanding, cut to
        /// [`LAST_ANSWERS_LIMIT`](crate::LAST_ANSWERS_LIMIT) bytes; may be empty.
        last_answers: String,
    },
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { participant, reason } => write!(f, "{participant} refused: {reason}"),
            Self::Deadline { last_answers } => in_words(f, "every vote was in", last_answers),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Restarted => f.write_str("the coordinator restarted before it had decided"),
            Self::Resolved { reason } => write!(f, "resolved by hand: {reason}"),
        }
    }
}
