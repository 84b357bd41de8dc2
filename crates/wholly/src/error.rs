//! The errors of the coordinator: an enum for each operation.

use std::time::Duration;

use wholly_core::saga::InvalidDefinition;
use wholly_core::{
    self as core, InvalidName, InvalidProposal, Key, Name, ParticipantName, Pattern, Target,
    TransactionId, saga, two_phase,
};

use crate::Settings;
use crate::log::{OpenError, ReadError};

/// The error of a coordinator that did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The name of a participant is invalid.
    #[error("the participant {name:?} cannot be registered: {why}")]
    Participant {
        /// The name.
        name: String,
        /// The reason.
        why: InvalidName,
    },
    /// Two participants have one name.
    #[error("the participant {name} is registered twice; give each its own name")]
    ParticipantTwice {
        /// The name.
        name: ParticipantName,
    },
}

/// The error of a saga in code that was not registered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SagaError {
    /// It makes no sense. In code a compensation is given by `undo`, and `needs_no_undo` says that
    /// none is needed.
    #[error(
        "the saga {name:?} version {version} cannot be registered: {why} (in code `undo` gives a \
         compensation, and `needs_no_undo` says that none is needed)"
    )]
    Invalid {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// All that is wrong with it.
        why: InvalidDefinition,
    },
    /// There is one with this name and version already.
    #[error(
        "the saga {name:?} version {version} is registered twice; give what has changed a new \
         version"
    )]
    Twice {
        /// Its name.
        name: Name,
        /// Its version.
        version: u32,
    },
}

/// The error of a transaction that was not accepted. Nothing has happened unless it says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The submission is invalid, whichever participants are registered.
    #[error(transparent)]
    Invalid(#[from] InvalidProposal),
    /// A branch names an unregistered participant.
    #[error("no participant is registered as {participant}; register it, or correct the name")]
    UnknownParticipant {
        /// The name.
        participant: ParticipantName,
    },
    /// No saga in this program's code has that name and version.
    #[error("no saga {saga:?} version {version} is registered; register it before the start")]
    UnknownSaga {
        /// Its name.
        saga: Name,
        /// Its version.
        version: u32,
    },
    /// The deadline is too short or too long.
    #[error(
        "a deadline of {deadline:?} is out of range; it may be from {:?} to {:?}",
        Settings::SHORTEST_DEADLINE,
        Settings::LONGEST_DEADLINE
    )]
    Deadline {
        /// The deadline.
        deadline: Duration,
    },
    /// A name or the key is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The key belongs to another transaction.
    #[error(
        "the key {key:?} belongs to the transaction {id}, whose content differs; use a new key for \
         each transaction"
    )]
    KeyReused {
        /// The key.
        key: Key,
        /// The transaction that has it.
        id: TransactionId,
    },
    /// The transaction with the key has ended, with an unknown outcome.
    #[error(
        "the transaction {id} with the key {key} is over, but its records cannot be used: its \
         outcome is not known, and it is not run again; look at the transaction, and use a new key \
         to run it again"
    )]
    Quarantined {
        /// The key.
        key: Key,
        /// The transaction with the key.
        id: TransactionId,
    },
    /// There are too many in flight.
    #[error("{in_flight} transactions are in flight, which is the limit; try again later")]
    Overloaded {
        /// The number of transactions in flight.
        in_flight: usize,
    },
    /// One of its participants owes answers for as many transactions as the limit allows.
    #[error(
        "{target} has not answered for {owed} transactions yet, which is the limit for one \
         participant; repair it if it hangs, or try again later; transactions without it are \
         accepted"
    )]
    ParticipantOverloaded {
        /// The participant, or the saga in code.
        target: Target,
        /// The number of transactions.
        owed: usize,
    },
    /// The transactions in flight take as much memory as the limit allows.
    #[error(
        "the transactions in flight take {in_flight_bytes} bytes of memory of at most \
         {limit_bytes}, and this one does not fit; try again later"
    )]
    OutOfRoom {
        /// The memory in use.
        in_flight_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The transactions for which one participant owes an answer take all the memory that they may.
    #[error(
        "{target} has not answered for transactions of {owed_bytes} bytes yet, and the limit for \
         one participant is {limit_bytes}; repair it if it hangs, or try again later; transactions \
         without it are accepted"
    )]
    ParticipantOutOfRoom {
        /// The participant, or the saga in code.
        target: Target,
        /// The memory of those transactions.
        owed_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The log cannot be written. It is not known whether the transaction was accepted.
    #[error(
        "the log is not available ({why}), and the transaction may or may not be accepted: submit \
         it again with the same key"
    )]
    Unavailable {
        /// The failure of the log.
        why: String,
    },
    /// The coordinator at whose builder the saga was registered has not started.
    #[error(
        "the coordinator of the saga {saga:?} version {version} has not started; start the builder \
         with which the saga was registered"
    )]
    NotStarted {
        /// The saga's name.
        saga: Name,
        /// Its version.
        version: u32,
    },
    /// The coordinator is shutting down.
    #[error("the coordinator is shutting down; submit the transaction again later")]
    ShuttingDown,
}

impl SubmitError {
    pub(crate) fn unknown(target: &Target) -> Self {
        match target.clone() {
            Target::Participant(participant) => Self::UnknownParticipant { participant },
            Target::Code { saga, version } => Self::UnknownSaga { saga, version },
        }
    }
}

/// The error of a read of transactions.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The coordinator has stopped.
    #[error("the coordinator has stopped")]
    Stopped,
}

/// The error of a read of a decision.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// Another log minted the id.
    #[error("the transaction {id} belongs to another log; ask the coordinator that accepted it")]
    OtherLog {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The log has not minted the id yet.
    #[error("the transaction {id} does not exist: its id is newer than the log's last transaction")]
    NotBegun {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// It may have been trimmed.
    #[error(
        "the transaction {id} is not in the log, which has deleted settled transactions of that \
         time: its decision is not known any more"
    )]
    Trimmed {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// It is a saga.
    #[error("the transaction {id} is a saga, which has no prepared participants")]
    Saga {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// Records that are not in the log yet may still come.
    #[error("the decision of the transaction {id} cannot be read now: {why}")]
    Unavailable {
        /// The id that was asked for.
        id: TransactionId,
        /// The reason.
        why: String,
    },
}

/// The error of an abort.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It is committed.
    #[error("the transaction {id} is committed, and a decision never changes")]
    Committed {
        /// The transaction.
        id: TransactionId,
    },
    /// Its only participant decides.
    #[error(
        "the only participant of the transaction {id} decides, and was called; wait for its answer"
    )]
    OnePhase {
        /// The transaction.
        id: TransactionId,
    },
    /// It is a saga, and completed.
    #[error("the saga {id} is completed, and cannot turn back")]
    Completed {
        /// The transaction.
        id: TransactionId,
    },
    /// It is a saga whose pivot may be done.
    #[error(
        "the pivot of the saga {id} may be done, so the saga cannot turn back: wait for the pivot, \
         or resolve it by hand if it is stuck"
    )]
    PivotMayHaveLeft {
        /// The transaction.
        id: TransactionId,
    },
    /// It was quarantined.
    #[error(
        "the transaction {id} is quarantined because its records cannot be used: find out what its \
         participants did, then end it by hand"
    )]
    Quarantined {
        /// The transaction.
        id: TransactionId,
    },
    /// There is no such transaction.
    #[error("there is no transaction {id}")]
    NotFound {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The coordinator cannot take it now.
    #[error("the transaction cannot be aborted now: {why}")]
    Unavailable {
        /// The reason.
        why: String,
    },
}

impl CancelError {
    /// The error of a transaction whose change is made.
    pub(crate) fn too_late(id: TransactionId, pattern: Option<Pattern>) -> Self {
        match pattern {
            Some(Pattern::Saga) => Self::Completed { id },
            Some(Pattern::TwoPhase) | None => Self::Committed { id },
        }
    }

    pub(crate) fn from_core(id: TransactionId, error: core::CancelError) -> Self {
        use core::CancelError::{Saga, TwoPhase};
        match error {
            TwoPhase(two_phase::CancelError::Committed) => Self::Committed { id },
            TwoPhase(two_phase::CancelError::OnePhase) => Self::OnePhase { id },
            Saga(saga::CancelError::Completed) => Self::Completed { id },
            Saga(saga::CancelError::PivotMayHaveLeft) => Self::PivotMayHaveLeft { id },
            TwoPhase(two_phase::CancelError::BrokenInvariant(broken))
            | Saga(saga::CancelError::BrokenInvariant(broken)) => {
                Self::Unavailable { why: broken.to_string() }
            }
        }
    }
}

/// The error of an end by hand.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// Its records can be used.
    #[error(
        "the transaction {id} is not quarantined, and goes on by itself; abort it to stop it, or \
         resolve its stuck branches or steps"
    )]
    NotQuarantined {
        /// The transaction.
        id: TransactionId,
    },
    /// It came with a restored copy of the log.
    #[error(
        "the transaction {id} is quarantined because it came with a restored copy of the log, but \
         its records can be used: retry, abort or resolve it"
    )]
    Restored {
        /// The transaction.
        id: TransactionId,
    },
    /// There is no such transaction in flight.
    #[error("the transaction {id} is not in flight: it has ended, or does not exist")]
    NotInFlight {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The coordinator cannot take it now.
    #[error("the transaction cannot be ended now: {why}")]
    Unavailable {
        /// The reason.
        why: String,
    },
}

/// The error of a resolution by hand, or of a retry.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The transaction has no such branch or step.
    #[error("the transaction {id} has no such branch or step")]
    NoSuchBranch {
        /// The transaction.
        id: TransactionId,
    },
    /// The branch has ended.
    #[error(
        "the branch or step of the transaction {id} has ended already; there is nothing to resolve"
    )]
    Over {
        /// The transaction.
        id: TransactionId,
    },
    /// There is no decision yet.
    #[error("the transaction {id} is not decided; abort it instead")]
    Undecided {
        /// The transaction.
        id: TransactionId,
    },
    /// The step or branch cannot have ended so.
    #[error("the branch or step of the transaction {id} cannot be resolved so: {why}")]
    NotSo {
        /// The transaction.
        id: TransactionId,
        /// The reason, and what else to do.
        why: String,
    },
    /// It was quarantined.
    #[error(
        "the transaction {id} is quarantined because its records cannot be used: find out what its \
         participants did, then end it by hand"
    )]
    Quarantined {
        /// The transaction.
        id: TransactionId,
    },
    /// It came with a restored copy of the log.
    #[error(
        "the transaction {id} is quarantined because it came with a restored copy of the log, and \
         the original may have gone on with it: find out what its participants did, then retry, \
         abort or resolve it"
    )]
    Restored {
        /// The transaction.
        id: TransactionId,
    },
    /// There is no such transaction in flight.
    #[error("the transaction {id} is not in flight: it has settled, or does not exist")]
    NotInFlight {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The coordinator cannot take it now.
    #[error("the transaction cannot be resolved now: {why}")]
    Unavailable {
        /// The reason.
        why: String,
    },
}

impl ResolveError {
    pub(crate) fn from_core(id: TransactionId, error: core::ResolveError) -> Self {
        use core::ResolveError::{Saga, TwoPhase, WrongPattern};
        match &error {
            TwoPhase(two_phase::ResolveError::NoSuchBranch)
            | Saga(saga::ResolveError::NoSuchStep) => Self::NoSuchBranch { id },
            TwoPhase(two_phase::ResolveError::Over) | Saga(saga::ResolveError::Over) => {
                Self::Over { id }
            }
            TwoPhase(two_phase::ResolveError::Undecided) => Self::Undecided { id },
            WrongPattern
            | Saga(
                saga::ResolveError::NotBegun
                | saga::ResolveError::TurnedBack
                | saga::ResolveError::NoWayBack
                | saga::ResolveError::Unreadable { .. },
            ) => Self::NotSo { id, why: error.to_string() },
            TwoPhase(two_phase::ResolveError::BrokenInvariant(broken))
            | Saga(saga::ResolveError::BrokenInvariant(broken)) => {
                Self::Unavailable { why: broken.to_string() }
            }
        }
    }
}
