//! What goes into the loop, and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};

use wholly_core::{BranchIndex, BranchName, Ended, Key, LogId, Target, Timestamp, TransactionId};

use super::{Batch, Load, Lookup, StuckChange, Submission, Terms, Wait};
use crate::error::{CancelError, EndError, ResolveError, SubmitError};
use crate::last_answer::CallAttempts;
use crate::log::{Position, ReadError, StoredTransaction};
use crate::outcome::AnyOutcome;
use crate::participant::{Answered, Attempt};

/// What goes into the loop.
pub(crate) enum Input<W> {
    /// Begin a transaction, or join the one with the same key.
    Submit { submission: Submission, wait: Wait, to: W },
    /// What the log holds under a key that was to be looked up.
    Found { key: Key, found: Result<Option<StoredTransaction>, ReadError> },
    /// An attempt came to its end.
    Answered(Answered),
    /// Reply when the transaction has settled, or at `until`.
    Await { id: TransactionId, until: Timestamp, to: W },
    /// Abort, if it is not decided.
    Cancel { id: TransactionId, reason: String, to: W },
    /// End what was quarantined, with an entry at this place of its history or behind it.
    End { id: TransactionId, reason: String, sequence: u32, to: W },
    /// An operator's word for how a branch or step ended.
    Resolve { id: TransactionId, branch: BranchName, ended: Ended, reason: String, to: W },
    /// Ask everything that is outstanding again, now.
    Retry { id: TransactionId, to: W },
    /// The same, and let go on what is quarantined because it came with a restored copy.
    Release { id: TransactionId, reason: String, to: W },
    /// Reply when all that is known of a transaction is durable.
    Read { id: TransactionId, to: W },
    /// Reply when all that is known of every transaction is durable.
    ReadAll { to: W },
    /// A participant or saga is registered; transactions that await it go on.
    Register { target: Target, terms: Terms },
    /// What was to be loaded, or the first of it, as the log has it.
    Loaded(Result<Vec<Option<StoredTransaction>>, ReadError>),
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
            | Self::Read { to, .. }
            | Self::ReadAll { to } => Some(to),
            Self::Found { .. }
            | Self::Answered(_)
            | Self::Loaded(_)
            | Self::Register { .. }
            | Self::Durable(_)
            | Self::Drain => None,
        }
    }
}

/// What comes out of the loop.
pub(crate) struct Outputs<W> {
    /// A batch to append; at most one until it is durable.
    pub append: Option<Batch>,
    /// Calls to send, by who is called.
    pub calls: BTreeMap<Target, Vec<Attempt>>,
    /// Keys to look up in the log.
    pub lookups: Vec<Lookup>,
    /// What to load from the log; at most one until it is there.
    pub load: Option<Load>,
    /// Replies to give.
    pub replies: Vec<(W, Reply)>,
    /// Who became stuck, or no longer is; durable.
    pub stuck: Vec<StuckChange>,
}

/// What a caller of the loop gets.
#[derive(Debug)]
pub(crate) enum Reply {
    Accepted(TransactionId),
    Outcome(AnyOutcome),
    NotAccepted(SubmitError),
    /// It was done: cancelled, resolved, asked again.
    Done,
    /// What is known is durable, but for this.
    Read(Known),
    /// What is known is durable, but for which transactions were quarantined.
    ReadAll {
        quarantined: BTreeSet<TransactionId>,
    },
    NotCancelled(CancelError),
    NotResolved(ResolveError),
    NotEnded(EndError),
    /// The loop does not hold the transaction: it has ended, or never was.
    NotOpen,
}

/// What the loop knows of a transaction and the log does not say.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Who is to be asked and is not here.
    pub awaiting: Vec<Target>,
    /// The attempts at what is outstanding of branches or steps.
    pub attempts: Vec<(BranchIndex, CallAttempts)>,
    /// Why it was quarantined.
    pub quarantined: Option<String>,
    /// The loop knows of it: it has not ended.
    pub is_open: bool,
    /// It has not ended, and waits in the log for room in memory.
    pub is_unloaded: bool,
    /// Which ids the log has minted; `None` where the loop did not say.
    pub minted: Option<Minted>,
}

/// Which ids a log has minted.
#[derive(Clone, Copy, Debug)]
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
        }
    }
}
