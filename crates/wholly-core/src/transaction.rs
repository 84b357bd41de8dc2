//! A transaction of either pattern: what the engine needs of both.

use std::sync::Arc;

use serde::Serialize;

use crate::protocol::{BranchIndex, BrokenInvariant, Effect, Input, Now, Request, Target, broken};
use crate::{BranchName, Key, LogId, Name, Timestamp, TraceContext, saga, two_phase};

/// A transaction of either pattern: what its records amount to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// In two phases.
    TwoPhase(two_phase::Transaction),
    /// In steps.
    Saga(saga::Transaction),
}

/// What is kept of a transaction. In an entry's text the pattern is said once for all records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// Of one in two phases.
    TwoPhase(two_phase::Record),
    /// Of one in steps.
    Saga(saga::Record),
}

/// How an operator says that a branch or step ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// A branch: committed or aborted.
    Branch(two_phase::Decision),
    /// A step: completed or compensated.
    Step(saga::Resolution),
}

impl From<two_phase::Decision> for Ended {
    fn from(decision: two_phase::Decision) -> Self {
        Self::Branch(decision)
    }
}

impl From<saga::Resolution> for Ended {
    fn from(resolution: saga::Resolution) -> Self {
        Self::Step(resolution)
    }
}

impl Transaction {
    /// The transaction that this record starts; `None` if it starts none.
    pub fn start(record: &Record) -> Option<Self> {
        match record {
            Record::TwoPhase(two_phase::Record::Started(started)) => {
                Some(Self::TwoPhase(two_phase::Transaction::start(started)))
            }
            Record::Saga(saga::Record::Started(started)) => {
                Some(Self::Saga(saga::Transaction::start(started)))
            }
            _ => None,
        }
    }

    /// Folds a record into the value.
    ///
    /// # Errors
    /// When a law forbids the record here, or it is another pattern's.
    pub fn apply(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        match (self, record) {
            (Self::TwoPhase(transaction), Record::TwoPhase(record)) => transaction.apply(record),
            (Self::Saga(saga), Record::Saga(record)) => saga.apply(record),
            _ => broken("a transaction keeps its pattern"),
        }
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
        Ok(match self {
            Self::TwoPhase(transaction) => of_two_phase(transaction.step(input, now)?),
            Self::Saga(saga) => of_saga(saga.step(input, now)?),
        })
    }

    /// Takes a client's wish to abort or turn back.
    ///
    /// # Errors
    /// When it is too late for that.
    pub fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Vec<Record>, CancelError> {
        Ok(match self {
            Self::TwoPhase(transaction) => of_two_phase(transaction.cancel(reason, now)?),
            Self::Saga(saga) => of_saga(saga.cancel(reason, now)?),
        })
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
        Ok(match (self, ended) {
            (Self::TwoPhase(transaction), Ended::Branch(decision)) => {
                of_two_phase(transaction.resolve(branch, decision, reason, now)?)
            }
            (Self::Saga(saga), Ended::Step(resolution)) => {
                of_saga(saga.resolve(branch, resolution, reason, now)?)
            }
            _ => return Err(ResolveError::WrongPattern),
        })
    }

    /// Takes an operator's word for how a branch or step ended, in a transaction that a restored
    /// copy holds. Time stands still for it.
    ///
    /// # Errors
    /// When it cannot have ended so.
    pub fn resolve_quarantined(
        &mut self,
        branch: BranchIndex,
        ended: Ended,
        reason: &str,
    ) -> Result<Vec<Record>, ResolveError> {
        match (self, ended) {
            (Self::TwoPhase(transaction), Ended::Branch(decision)) => {
                Ok(of_two_phase(transaction.resolve_quarantined(branch, decision, reason)?))
            }
            (Self::Saga(saga), Ended::Step(resolution)) => {
                Ok(of_saga(saga.resolve_quarantined(branch, resolution, reason)?))
            }
            _ => Err(ResolveError::WrongPattern),
        }
    }

    /// Takes an operator's word that what came with a restored copy goes on under this identity.
    ///
    /// # Errors
    /// When a law forbids it.
    pub fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Record>, BrokenInvariant> {
        Ok(match self {
            Self::TwoPhase(transaction) => of_two_phase(transaction.release(log, reason)?),
            Self::Saga(saga) => of_saga(saga.release(log, reason)?),
        })
    }

    /// The identity of the restored copy under which an operator let it go on last.
    pub fn released(&self) -> Option<LogId> {
        match self {
            Self::TwoPhase(transaction) => transaction.released(),
            Self::Saga(saga) => saga.released(),
        }
    }

    /// Whether a record must be durable before anything that follows from it leaves.
    pub fn forces(&self, record: &Record) -> bool {
        match (self, record) {
            (Self::TwoPhase(transaction), Record::TwoPhase(record)) => transaction.forces(record),
            (Self::Saga(saga), Record::Saga(record)) => saga.forces(record),
            _ => true,
        }
    }

    /// What is outstanding, from the value alone: at most one operation a branch or step.
    pub fn effects(&self) -> impl Iterator<Item = Effect> + '_ {
        let (branches, steps) = match self {
            Self::TwoPhase(transaction) => (Some(transaction.effects()), None),
            Self::Saga(saga) => (None, Some(saga.effects())),
        };
        branches.into_iter().flatten().chain(steps.into_iter().flatten())
    }

    /// What an effect asks of whom; `None` of what is not outstanding.
    pub fn request(&self, effect: Effect) -> Option<Request> {
        match self {
            Self::TwoPhase(transaction) => transaction.request(effect),
            Self::Saga(saga) => saga.request(effect),
        }
    }

    /// Who does a branch or step.
    pub fn target(&self, branch: BranchIndex) -> Option<Target> {
        match self {
            Self::TwoPhase(transaction) => {
                let branch = transaction.branches().get(usize::from(branch))?;
                Some(Target::Participant(branch.participant().clone()))
            }
            Self::Saga(saga) => saga.target(branch),
        }
    }

    /// When a step is tried again, if its saga says so.
    pub fn retry(&self, branch: BranchIndex) -> Option<&saga::Retry> {
        match self {
            Self::TwoPhase(_) => None,
            Self::Saga(saga) => saga.definition().steps.get(usize::from(branch))?.retry.as_ref(),
        }
    }

    /// When it aborts or turns back by itself, if it may.
    pub fn turns_back_at(&self) -> Option<Timestamp> {
        match self {
            Self::TwoPhase(transaction) => transaction.aborts_at(),
            Self::Saga(saga) => saga.turns_back_at(),
        }
    }

    /// About how many bytes of memory it takes for its payloads and its definition.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::TwoPhase(transaction) => transaction.memory_bytes(),
            Self::Saga(saga) => saga.memory_bytes(),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &Name {
        match self {
            Self::TwoPhase(transaction) => transaction.name(),
            Self::Saga(saga) => saga.name(),
        }
    }

    /// The trace that it belongs to, if its client gave one.
    pub fn trace(&self) -> Option<&Arc<TraceContext>> {
        match self {
            Self::TwoPhase(transaction) => transaction.trace(),
            Self::Saga(saga) => saga.trace(),
        }
    }

    /// How many branches or steps it has.
    pub fn branch_count(&self) -> usize {
        match self {
            Self::TwoPhase(transaction) => transaction.branches().len(),
            Self::Saga(saga) => saga.steps().len(),
        }
    }

    /// Where the branch or step with this name is.
    pub fn branch_named(&self, name: &BranchName) -> Option<BranchIndex> {
        let name = name.as_str();
        let found = match self {
            Self::TwoPhase(transaction) => {
                transaction.branches().iter().position(|b| b.participant().as_str() == name)
            }
            Self::Saga(saga) => saga.steps().position(|(step, _)| step.name.as_str() == name),
        };
        found.and_then(|index| BranchIndex::try_from(index).ok())
    }

    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::TwoPhase(transaction) => transaction.is_settled(),
            Self::Saga(saga) => saga.is_settled(),
        }
    }

    /// Whether it needs an operator.
    pub fn is_stuck(&self) -> bool {
        match self {
            Self::TwoPhase(transaction) => transaction.is_stuck(),
            Self::Saga(saga) => saga.is_stuck(),
        }
    }
}

impl Record {
    /// Whether it is the last of its transaction.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::TwoPhase(two_phase::Record::Settled) | Self::Saga(saga::Record::Settled)
        )
    }

    /// Whether it decides its transaction in two phases; what decides a saga is always forced.
    pub fn is_decision(&self) -> bool {
        matches!(self, Self::TwoPhase(two_phase::Record::Committed | two_phase::Record::Aborted(_)))
    }

    /// The record without the caller of the client's key, as it is shown.
    #[must_use]
    pub fn without_caller(mut self) -> Self {
        let key = match &mut self {
            Self::TwoPhase(two_phase::Record::Started(started)) => &mut started.key,
            Self::Saga(saga::Record::Started(started)) => &mut started.key,
            _ => return self,
        };
        *key = key.as_ref().map(Key::without_caller);
        self
    }

    /// The client's key, in a start.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::TwoPhase(two_phase::Record::Started(started)) => started.key.as_ref(),
            Self::Saga(saga::Record::Started(started)) => started.key.as_ref(),
            _ => None,
        }
    }
}

fn of_two_phase(records: Vec<two_phase::Record>) -> Vec<Record> {
    records.into_iter().map(Record::TwoPhase).collect()
}

fn of_saga(records: Vec<saga::Record>) -> Vec<Record> {
    records.into_iter().map(Record::Saga).collect()
}

/// Why a transaction cannot be aborted or turned back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// Of one in two phases.
    #[error(transparent)]
    TwoPhase(#[from] two_phase::CancelError),
    /// Of one in steps.
    #[error(transparent)]
    Saga(#[from] saga::CancelError),
}

impl CancelError {
    /// The law that was broken, if that is why.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        match self {
            Self::TwoPhase(two_phase::CancelError::BrokenInvariant(broken))
            | Self::Saga(saga::CancelError::BrokenInvariant(broken)) => Some(broken),
            _ => None,
        }
    }
}

impl ResolveError {
    /// The law that was broken, if that is why.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        match self {
            Self::TwoPhase(two_phase::ResolveError::BrokenInvariant(broken))
            | Self::Saga(saga::ResolveError::BrokenInvariant(broken)) => Some(broken),
            _ => None,
        }
    }
}

/// Why a branch or step cannot be resolved by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Of one in two phases.
    #[error(transparent)]
    TwoPhase(#[from] two_phase::ResolveError),
    /// Of one in steps.
    #[error(transparent)]
    Saga(#[from] saga::ResolveError),
    /// A branch ends as committed or aborted, a step as completed or compensated.
    #[error("a branch is resolved as committed or aborted, a step as completed or compensated")]
    WrongPattern,
}
