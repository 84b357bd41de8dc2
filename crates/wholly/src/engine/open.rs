//! What the loop holds of a transaction that has not ended.

use wholly_core::wire::Operation;
use wholly_core::{Key, Record, Timestamp, Transaction, TransactionId};

use super::group_commit::Entries;
use super::room::Permit;
use super::submit::Wait;
use super::targets::Who;
use crate::last_answer::LastAnswer;
use crate::outcome::AnyOutcome;

/// A transaction that has not ended.
pub(super) struct Open<W> {
    pub(super) part: OpenState,
    /// It came with a restored copy of the log: nothing happens to it until an operator says so.
    pub(super) quarantined: bool,
    pub(super) key: Option<Key>,
    /// Its records on their way to the log.
    pub(super) entries: Entries,
    /// Its part of the memory for open transactions.
    pub(super) permit: Permit,
    /// One for each branch or step.
    pub(super) attempts: Vec<Attempts>,
    pub(super) waiters: Vec<Waiter<W>>,
    /// As it was noted last.
    pub(super) stuck: bool,
    /// It is in the queue of those that may give up their place.
    pub(super) yields: bool,
    pub(super) wake: Option<Timestamp>,
}

/// What the loop knows of an open transaction.
pub(super) enum OpenState {
    Live(Transaction),
    /// Its records cannot be read or break a law: it is stuck, and nothing is sent.
    Unusable,
    /// It was quarantined, and an operator ended it: its last entry says so, or will.
    Ended,
}

/// The attempts at what is outstanding of one branch.
pub(super) struct Attempts {
    /// Who is asked.
    pub(super) who: Who,
    /// They are waited for, and counted for it.
    pub(super) owes: bool,
    pub(super) on_its_way: Option<Operation>,
    /// The operation that `tries` and `not_before` are about.
    pub(super) operation: Option<Operation>,
    pub(super) tries: u32,
    /// How often in a row it had no slot in time.
    pub(super) unsent: u32,
    pub(super) not_before: Option<Timestamp>,
    /// What was heard last, if it ended nothing.
    pub(super) last_answer: Option<Box<LastAnswer>>,
}

pub(super) struct Waiter<W> {
    pub(super) wait: Wait,
    pub(super) to: W,
}

impl OpenState {
    pub(super) fn forces(&self, record: &Record) -> bool {
        match self {
            Self::Live(transaction) => transaction.forces(record),
            Self::Unusable | Self::Ended => false,
        }
    }

    /// What is told of what has not settled.
    pub(super) fn unsettled(&self, id: TransactionId) -> AnyOutcome {
        match self {
            Self::Live(transaction) => AnyOutcome::unsettled(id, transaction),
            Self::Unusable | Self::Ended => AnyOutcome::Quarantined(id),
        }
    }
}
