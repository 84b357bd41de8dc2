//! A transaction of any pattern: the list of the patterns, and the way from it to each.
//!
//! A new pattern is a variant of [`Transaction`] and of [`Record`], and a line of `of_each`. What
//! it must bring is [`Protocol`].

use serde::Serialize;

use crate::protocol::{
    BranchIndex, BrokenInvariant, Effect, Input, Inquiry, Now, Protocol, ProtocolRecord, Request,
    broken,
};
use crate::view::{Part, View};
use crate::{BranchName, Key, LogId, Pattern, Proposal, Target, Timestamp, saga, two_phase};

/// A transaction of any pattern: the value to which its records fold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// A transaction in two phases.
    TwoPhase(two_phase::Transaction),
    /// A saga.
    Saga(saga::Transaction),
}

/// A record of any pattern. In an entry's text the pattern is said once for all records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// A record of a transaction in two phases.
    TwoPhase(two_phase::Record),
    /// A record of a saga.
    Saga(saga::Record),
}

/// An operator's word for how a branch or step ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The end of a branch: committed or aborted.
    TwoPhase(two_phase::Decision),
    /// The end of a step: completed or compensated.
    Saga(saga::Resolution),
}

/// Does the same with a value of each pattern.
macro_rules! of_each {
    ($type:ident, $value:expr, $one:ident => $then:expr) => {
        match $value {
            $type::TwoPhase($one) => $then,
            $type::Saga($one) => $then,
        }
    };
}

pub(crate) use of_each;

/// Does the same with a transaction and a record or word of its own pattern; `else` with others.
macro_rules! of_both {
    ($other:ident, $pair:expr, ($one:ident, $its:ident) => $then:expr, else $else:expr) => {
        match $pair {
            (Transaction::TwoPhase($one), $other::TwoPhase($its)) => $then,
            (Transaction::Saga($one), $other::Saga($its)) => $then,
            (Transaction::TwoPhase(_) | Transaction::Saga(_), _) => $else,
        }
    };
}

impl Transaction {
    /// The transaction that this record starts; `None` if it starts none.
    pub fn start(record: &Record) -> Option<Self> {
        of_each!(Record, record, record => record.start().map(Self::from))
    }

    /// Folds a record into the value.
    ///
    /// # Errors
    /// When a law forbids the record here, or it is another pattern's.
    pub fn apply(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        of_both!(Record, (self, record),
            (own, record) => own.apply(record),
            else broken("a transaction keeps its pattern"))
    }

    /// Takes an input; returns the records that it led to, in their order.
    ///
    /// # Errors
    /// When a record breaks a law: the transaction is to be quarantined, and nothing to be kept.
    pub fn step<'a>(
        &mut self,
        input: &Input,
        now: impl Into<Now<'a>>,
    ) -> Result<Vec<Record>, BrokenInvariant> {
        of_each!(Self, self, own => own.step(input, now).map(any))
    }

    /// Takes a client's wish to abort or turn back.
    ///
    /// # Errors
    /// When it is too late for that.
    pub fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Vec<Record>, CancelError> {
        of_each!(Self, self, own => Ok(any(own.cancel(reason, now)?)))
    }

    /// Takes an operator's word for how a branch or step ended.
    ///
    /// # Errors
    /// When it cannot have ended so.
    pub fn resolve(
        &mut self,
        branch: BranchIndex,
        ended: Ended,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Record>, ResolveError> {
        of_both!(Ended, (self, ended),
            (own, ended) => Ok(any(own.resolve(branch, ended, reason, now)?)),
            else Err(ResolveError::WrongPattern))
    }

    /// Takes an operator's word for how a branch or step ended, in a transaction that came with a
    /// restored copy. Time stands still for it.
    ///
    /// # Errors
    /// When it cannot have ended so.
    pub fn resolve_quarantined(
        &mut self,
        branch: BranchIndex,
        ended: Ended,
        reason: &str,
    ) -> Result<Vec<Record>, ResolveError> {
        of_both!(Ended, (self, ended),
            (own, ended) => Ok(any(own.resolve_quarantined(branch, ended, reason)?)),
            else Err(ResolveError::WrongPattern))
    }

    /// Takes an operator's word that a restored transaction goes on under this identity.
    ///
    /// # Errors
    /// When a law forbids it.
    pub fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Record>, BrokenInvariant> {
        of_each!(Self, self, own => own.release(log, reason).map(any))
    }

    /// The answer to a participant in doubt that asks for the decision.
    pub fn inquiry(&self) -> Inquiry {
        of_each!(Self, self, own => own.inquiry())
    }

    /// The identity of the restored copy under which an operator let it go on last.
    pub fn released(&self) -> Option<LogId> {
        of_each!(Self, self, own => own.released())
    }

    /// True if a record must be durable before anything that follows from it leaves.
    pub fn forces(&self, record: &Record) -> bool {
        of_both!(Record, (self, record),
            (own, record) => own.forces(record),
            else true)
    }

    /// The outstanding effects, from the value alone: at most one operation a branch or step.
    pub fn effects(&self) -> impl Iterator<Item = Effect> + '_ {
        let outstanding = |branch| of_each!(Self, self, own => own.outstanding(branch));
        let branches = 0..self.part_count();
        branches.filter_map(move |branch| Some(Effect { branch, operation: outstanding(branch)? }))
    }

    /// The request behind an effect, with its target; `None` if the effect is not outstanding.
    pub fn request(&self, effect: Effect) -> Option<Request> {
        of_each!(Self, self, own => own.request(effect))
    }

    /// The rule for trying a step again, if its saga has one.
    pub fn retry(&self, branch: BranchIndex) -> Option<&saga::Retry> {
        of_each!(Self, self, own => own.retry(branch))
    }

    /// The time at which it aborts or turns back by itself, if it may.
    pub fn turns_back_at(&self) -> Option<Timestamp> {
        of_each!(Self, self, own => own.turns_back_at())
    }

    /// About how many bytes of memory it takes for its payloads and its definition.
    pub fn memory_bytes(&self) -> usize {
        of_each!(Self, self, own => own.memory_bytes())
    }

    /// The transaction as it looks from outside.
    pub fn view(&self) -> View<'_> {
        of_each!(Self, self, own => own.view())
    }

    /// The number of its branches or steps.
    pub fn part_count(&self) -> BranchIndex {
        of_each!(Self, self, own => own.part_count())
    }

    /// A branch or step as it looks from outside; `None` past the last one.
    pub fn part(&self, branch: BranchIndex) -> Option<Part<'_>> {
        of_each!(Self, self, own => own.part(branch))
    }

    /// The target of a branch or step.
    pub fn target(&self, branch: BranchIndex) -> Option<Target> {
        self.part(branch).map(|part| part.target)
    }

    /// Its branches or steps, in their order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        (0..).map_while(|branch| self.part(branch))
    }

    /// The place of the branch or step with this name.
    pub fn branch_named(&self, name: &BranchName) -> Option<BranchIndex> {
        (0..).zip(self.parts()).find(|(_, part)| part.name == *name).map(|(branch, _)| branch)
    }

    /// True if nothing is left to do.
    pub fn is_settled(&self) -> bool {
        of_each!(Self, self, own => own.is_settled())
    }

    /// True if it needs an operator.
    pub fn is_stuck(&self) -> bool {
        of_each!(Self, self, own => own.is_stuck())
    }
}

impl Record {
    /// The pattern whose record it is.
    pub const fn pattern(&self) -> Pattern {
        match self {
            Self::TwoPhase(_) => Pattern::TwoPhase,
            Self::Saga(_) => Pattern::Saga,
        }
    }

    /// True for the last record of its transaction.
    pub fn is_end(&self) -> bool {
        of_each!(Self, self, own => own.is_end())
    }

    /// True for a decision that is not forced in every case; one that decides a saga is.
    pub fn is_decision(&self) -> bool {
        of_each!(Self, self, own => own.is_decision())
    }

    /// The record without the caller of the client's key, as it is shown.
    #[must_use]
    pub fn without_caller(mut self) -> Self {
        if let Some(key) = of_each!(Self, &mut self, own => own.key_mut()) {
            *key = key.without_caller();
        }
        self
    }

    /// The client's key, in a start.
    pub fn key(&self) -> Option<&Key> {
        of_each!(Self, self, own => own.key())
    }

    /// The record without its payloads: the history, without what its client and its participants
    /// gave to be carried. Names, the client's key, times and reasons stay. `of` is the
    /// transaction, settled; `None` where the rest of a definition makes no sense without them.
    ///
    /// INVARIANT: what is left folds to a transaction in the same state.
    pub fn without_payloads(&self, of: &Transaction) -> Option<Self> {
        of_both!(Record, (of, self.clone()),
            (of, record) => record.without_payloads(of).map(Self::from),
            else None)
    }
}

/// Records of one pattern as records of any.
fn any<R: Into<Record>>(records: Vec<R>) -> Vec<Record> {
    records.into_iter().map(R::into).collect()
}

macro_rules! from_each {
    ($($any:ident :: $variant:ident ($one:ty)),* $(,)?) => {$(
        impl From<$one> for $any {
            fn from(one: $one) -> Self {
                Self::$variant(one)
            }
        }
    )*};
}

from_each! {
    Transaction::TwoPhase(two_phase::Transaction),
    Transaction::Saga(saga::Transaction),
    Record::TwoPhase(two_phase::Record),
    Record::Saga(saga::Record),
    Ended::TwoPhase(two_phase::Decision),
    Ended::Saga(saga::Resolution),
    Proposal::TwoPhase(two_phase::Proposal),
    Proposal::Saga(saga::Proposal),
}

/// The reason that a transaction cannot be aborted or turned back. Exhaustive, so that the library
/// decides about each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The error of a transaction in two phases.
    #[error(transparent)]
    TwoPhase(#[from] two_phase::CancelError),
    /// The error of a saga.
    #[error(transparent)]
    Saga(#[from] saga::CancelError),
}

impl CancelError {
    /// The law that was broken, if that is why.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        match self {
            Self::TwoPhase(two_phase::CancelError::BrokenInvariant(broken))
            | Self::Saga(saga::CancelError::BrokenInvariant(broken)) => Some(broken),
            Self::TwoPhase(_) | Self::Saga(_) => None,
        }
    }
}

impl ResolveError {
    /// The law that was broken, if that is why.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        match self {
            Self::TwoPhase(two_phase::ResolveError::BrokenInvariant(broken))
            | Self::Saga(saga::ResolveError::BrokenInvariant(broken)) => Some(broken),
            Self::TwoPhase(_) | Self::Saga(_) | Self::WrongPattern => None,
        }
    }
}

/// The reason that a part cannot be resolved by hand. Exhaustive, so that the library decides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The error of a transaction in two phases.
    #[error(transparent)]
    TwoPhase(#[from] two_phase::ResolveError),
    /// The error of a saga.
    #[error(transparent)]
    Saga(#[from] saga::ResolveError),
    /// A branch ends as committed or aborted, a step as completed or compensated.
    #[error("a branch is resolved as committed or aborted, a step as completed or compensated")]
    WrongPattern,
}
