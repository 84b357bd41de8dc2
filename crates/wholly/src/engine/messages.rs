//! The inputs and outputs of the loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use wholly_core::{BranchIndex, BranchName, Ended, Key, LogId, Target, Timestamp, TransactionId};

use super::{Batch, Load, Lookup, NewTransaction, StuckChange, Terms, Wait};
use crate::error::{CancelError, EndError, ResolveError, SubmitError};
use crate::last_answer::CallAttempts;
use crate::log::{Position, ReadError};
use crate::outcome::AnyOutcome;
use crate::participant::{Answered, Attempt};
use crate::replay::FoldedTransaction;

/// An input of the loop.
pub(crate) enum Input<W> {
    /// Begin a transaction, or join the one with the same key.
    Submit { submission: NewTransaction, wait: Wait, to: W },
    /// The log's answer to the lookup of a key.
    Found { key: Key, found: Result<Option<FoldedTransaction>, ReadError> },
    /// An attempt came to its end.
    Answered(Answered),
    /// Reply when the transaction has settled, or at `until`.
    Await { id: TransactionId, until: Timestamp, to: W },
    /// Abort, if it is not decided.
    Cancel { id: TransactionId, reason: String, to: W },
    /// End a quarantined transaction, with an entry at this place of its history or behind it.
    End { id: TransactionId, reason: String, sequence: u32, to: W },
    /// An operator's word for how a branch or step ended.
    Resolve { id: TransactionId, branch: BranchName, ended: Ended, reason: String, to: W },
    /// Ask everything that is outstanding again, now.
    Retry { id: TransactionId, to: W },
    /// The same, and let a transaction go on that is quarantined as part of a restored copy.
    Release { id: TransactionId, reason: String, to: W },
    /// Reply with the state of a transaction that is in memory alone.
    Inspect { id: TransactionId, to: W },
    /// A participant or saga is registered; transactions that await it go on.
    Register { target: Target, terms: Terms },
    /// The transactions that were to be loaded, or the first of them, as the log has them.
    Loaded(Result<Vec<Option<FoldedTransaction>>, ReadError>),
    /// The batch at this position is durable.
    Durable(Position),
    /// Accept nothing new.
    Drain,
}

impl<W> Input<W> {
    /// The caller who wants a reply, if there is one.
    pub fn into_caller(self) -> Option<W> {
        match self {
            Self::Submit { to, .. }
            | Self::Await { to, .. }
            | Self::Cancel { to, .. }
            | Self::End { to, .. }
            | Self::Resolve { to, .. }
            | Self::Retry { to, .. }
            | Self::Release { to, .. }
            | Self::Inspect { to, .. } => Some(to),
            Self::Found { .. }
            | Self::Answered(_)
            | Self::Loaded(_)
            | Self::Register { .. }
            | Self::Durable(_)
            | Self::Drain => None,
        }
    }
}

/// The outputs of the loop.
pub(crate) struct Outputs<W> {
    /// A batch to append; at most one until it is durable.
    pub append: Option<Batch>,
    /// Calls to send, by target.
    pub calls: BTreeMap<Target, Vec<Attempt>>,
    /// Keys to look up in the log.
    pub lookups: Vec<Lookup>,
    /// The page to load from the log; at most one until it is there.
    pub load: Option<Load>,
    /// Replies to give.
    pub replies: Vec<(W, Reply)>,
    /// Transactions that became stuck, or no longer are; durable.
    pub stuck: Vec<StuckChange>,
    /// Transactions that were quarantined, or no longer are; durable.
    pub quarantined: Vec<QuarantineChange>,
}

/// A transaction was quarantined, for this reason, or no longer is.
pub(crate) type QuarantineChange = (TransactionId, Option<Arc<str>>);

/// The point that the loop has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The batch with which all that was recorded is durable.
    pub recorded: Position,
    /// The last batch that is durable.
    pub durable: Position,
    /// The ids that were recorded by then.
    pub minted: Minted,
}

impl Progress {
    /// True if all that was recorded is durable.
    pub fn is_durable(&self) -> bool {
        self.recorded <= self.durable
    }

    /// True if all is durable that was recorded at an earlier point of the same incarnation.
    pub fn covers(&self, earlier: Self) -> bool {
        earlier.recorded <= self.durable || self.is_durable()
    }
}

/// A reply of the loop to a caller.
#[derive(Debug)]
pub(crate) enum Reply {
    Accepted(TransactionId),
    Outcome(AnyOutcome),
    NotAccepted(SubmitError),
    /// It was done: cancelled, resolved, asked again.
    Done,
    /// The state that is in memory alone.
    Inspected(InMemory),
    NotCancelled(CancelError),
    NotResolved(ResolveError),
    NotEnded(EndError),
    /// The loop does not hold the transaction: it has ended, or never was.
    NotOpen,
}

/// The state of a transaction that is in memory alone; empty for one that has ended.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    /// Unregistered participants and sagas that it awaits.
    pub awaiting: Vec<Target>,
    /// The attempts at the outstanding operations of branches or steps.
    pub attempts: Vec<(BranchIndex, CallAttempts)>,
    /// True if it waits in the log for room in memory.
    pub is_unloaded: bool,
}

/// The ids that a log has minted: those with its identity, up to the last ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minted {
    pub identity: LogId,
    pub last_ordinal: u64,
}

impl<W> Outputs<W> {
    pub(super) fn new() -> Self {
        Self {
            append: None,
            calls: BTreeMap::new(),
            lookups: Vec::new(),
            load: None,
            replies: Vec::new(),
            stuck: Vec::new(),
            quarantined: Vec::new(),
        }
    }
}
