//! A transaction that a client proposes: checked in itself, and not begun.
//!
//! Each pattern says how its transactions begin: the form of a proposal ([`ProtocolProposal`]), the
//! record with which it starts, and the test for another one that says the same.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{Protocol, ProtocolRecord};
use crate::transaction::of_each;
use crate::{
    InvalidPayload, Key, ParticipantName, Pattern, Record, Target, Timestamp, TraceContext,
    Transaction, saga, two_phase,
};

/// A proposed transaction of any pattern.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// Branches, in two phases.
    TwoPhase(two_phase::Proposal),
    /// A saga and its input.
    Saga(saga::Proposal),
}

/// The data that a start records besides the proposal.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The client's own key, if it gave one.
    pub key: Option<Key>,
    /// The trace that it belongs to, if its client gave one.
    pub trace: Option<Arc<TraceContext>>,
    /// The time at which it aborts or turns back.
    pub deadline: Timestamp,
}

/// The beginning of one pattern's transactions.
pub trait ProtocolProposal {
    /// The transactions that begin so.
    type Transaction: Protocol<Record: ProtocolRecord>;

    /// The targets of its parts, in their order.
    fn targets(&self) -> impl Iterator<Item = Target> + '_;

    /// About how many bytes of memory it takes for its payloads and its definition.
    fn memory_bytes(&self) -> usize;

    /// The deadline that its definition gives it, from its acceptance on.
    fn deadline(&self) -> Option<Duration>;

    /// The record with which it starts. `offers_one_phase` tells of its targets.
    fn start(
        self,
        begin: Begin,
        offers_one_phase: impl Fn(&Target) -> bool,
    ) -> <Self::Transaction as Protocol>::Record;

    /// True if it says the same as this transaction, which has the same key. Deadlines do not
    /// count, nor do removed payloads.
    fn is_same_as(&self, begun: &Self::Transaction, with_payloads: bool) -> bool;
}

impl Proposal {
    /// Its pattern.
    pub const fn pattern(&self) -> Pattern {
        match self {
            Self::TwoPhase(_) => Pattern::TwoPhase,
            Self::Saga(_) => Pattern::Saga,
        }
    }

    /// The targets of its branches or steps, in their order.
    pub fn targets(&self) -> Vec<Target> {
        of_each!(Self, self, own => own.targets().collect())
    }

    /// About how many bytes of memory it takes for its payloads and its definition.
    pub fn memory_bytes(&self) -> usize {
        of_each!(Self, self, own => own.memory_bytes())
    }

    /// The deadline that its definition gives it, from its acceptance on.
    pub fn deadline(&self) -> Option<Duration> {
        of_each!(Self, self, own => own.deadline())
    }

    /// The record with which it starts. `offers_one_phase` tells of its targets.
    pub fn start(self, begin: Begin, offers_one_phase: impl Fn(&Target) -> bool) -> Record {
        of_each!(Self, self, own => own.start(begin, offers_one_phase).into())
    }

    /// True if it says the same as this transaction, which has the same key. Deadlines do not
    /// count, nor do removed payloads.
    pub fn is_same_as(&self, begun: &Transaction, with_payloads: bool) -> bool {
        match (self, begun) {
            (Self::TwoPhase(own), Transaction::TwoPhase(begun)) => {
                own.is_same_as(begun, with_payloads)
            }
            (Self::Saga(own), Transaction::Saga(begun)) => own.is_same_as(begun, with_payloads),
            (Self::TwoPhase(_) | Self::Saga(_), _) => false,
        }
    }
}

/// The reason that nothing can be proposed so, whoever is registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProposal {
    /// It has no branch.
    #[error("the transaction has no branches; give it at least one")]
    NoBranches,
    /// It has too many branches.
    #[error(
        "the transaction has {branches} branches; the limit is {}",
        two_phase::Proposal::BRANCH_LIMIT
    )]
    TooManyBranches {
        /// Their number.
        branches: usize,
    },
    /// Two branches name one participant.
    #[error(
        "the transaction names the participant {participant} twice; put what it is to do in one \
         branch"
    )]
    SameBranchTwice {
        /// The participant.
        participant: ParticipantName,
    },
    /// A branch's payload has a fault.
    #[error("the payload of {participant} cannot be taken: {why}")]
    Payload {
        /// The participant.
        participant: String,
        /// The fault.
        why: String,
    },
    /// The saga cannot begin with that input.
    #[error("the saga cannot begin with this input: {why}")]
    Input {
        /// The fault.
        why: String,
    },
}

impl InvalidProposal {
    /// The error of a branch whose payload cannot be taken.
    pub fn payload(participant: &str, why: &InvalidPayload) -> Self {
        Self::Payload { participant: participant.to_owned(), why: why.to_string() }
    }

    /// The error of a saga whose input cannot be taken.
    pub fn input(why: &impl ToString) -> Self {
        Self::Input { why: why.to_string() }
    }
}
