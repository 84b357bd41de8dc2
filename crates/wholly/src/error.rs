//! What can go wrong, an enum for each operation.

use std::time::Duration;

use wholly_core::saga::InvalidDefinition;
use wholly_core::{
    self as core, InvalidName, InvalidProposal, Key, Name, ParticipantName, Pattern, Target,
    TransactionId, saga, two_phase,
};

use crate::Settings;
use crate::log::{OpenError, ReadError};

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A participant has a name that it cannot have.
    #[error("the participant {name:?} cannot be registered: {why}")]
    Participant {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: InvalidName,
    },
    /// Two participants have one name.
    #[error("the participant {name} is registered twice; give each its own name")]
    ParticipantTwice {
        /// The name.
        name: ParticipantName,
    },
}

/// Why a saga in code was not registered.
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

/// Why a transaction was not accepted. Unless it says otherwise, nothing has happened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It cannot be a transaction, whoever is registered.
    #[error(transparent)]
    Invalid(#[from] InvalidProposal),
    /// A branch names nobody who is registered.
    #[error("no participant is registered as {participant}; register it or mend the name")]
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
    /// A name or the key is not what it may be.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The key belongs to another transaction.
    #[error(
        "the key {key:?} was used for the transaction {id}, which says something else; use one \
         key for one change"
    )]
    KeyReused {
        /// The key.
        key: Key,
        /// The transaction that has it.
        id: TransactionId,
    },
    /// The transaction with the key has ended, and how is not known.
    #[error(
        "the transaction {id}, which has the key {key}, is over and its records cannot be used: how it \
         ended is not known, and it is not run again; see what is known of it"
    )]
    Quarantined {
        /// The key.
        key: Key,
        /// Whose it is.
        id: TransactionId,
    },
    /// There are too many in flight.
    #[error("{in_flight} transactions are in flight, which is the limit; try again later")]
    Overloaded {
        /// How many.
        in_flight: usize,
    },
    /// Somebody whom it names owes answers for as many transactions as one may.
    #[error(
        "{target} has not answered for {owed} transactions yet, and one may owe no more; mend it if \
         it hangs, or try again later: what does not name it is taken"
    )]
    ParticipantOverloaded {
        /// Who.
        target: Target,
        /// For how many.
        owed: usize,
    },
    /// What is in flight takes as much memory as it may.
    #[error(
        "the transactions in flight take {in_flight_bytes} bytes of memory, and the limit is \
         {limit_bytes}: there is no room for this one; try again later"
    )]
    OutOfRoom {
        /// How much is taken.
        in_flight_bytes: usize,
        /// How much may be.
        limit_bytes: usize,
    },
    /// The transactions for which one participant owes an answer take as much memory as they may.
    #[error(
        "{target} has not answered for transactions of {owed_bytes} bytes yet, and the limit for one is \
         {limit_bytes}; mend it if it hangs, or try again later: what does not name it is taken"
    )]
    ParticipantOutOfRoom {
        /// Who.
        target: Target,
        /// How much memory those take.
        owed_bytes: usize,
        /// How much they may.
        limit_bytes: usize,
    },
    /// The log cannot be written. It is not known whether the transaction was accepted.
    #[error(
        "the log is not available ({why}); whether the transaction was accepted is not known: \
         submit it again with the same key"
    )]
    Unavailable {
        /// What is wrong.
        why: String,
    },
    /// The coordinator at whose builder the saga was registered has not started.
    #[error(
        "the coordinator of the saga {saga:?} version {version} has not started; start the builder \
         that it was registered at"
    )]
    NotStarted {
        /// The saga's name.
        saga: Name,
        /// Its version.
        version: u32,
    },
    /// The coordinator is shutting down.
    #[error("the coordinator is shutting down; submit to another one, or later")]
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

/// Why a transaction's fate cannot be told.
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

/// Why it cannot be told what was decided of a transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// Another log minted the id.
    #[error("the transaction {id} belongs to another log; ask the coordinator that began it")]
    OtherLog {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The log has not minted the id yet.
    #[error("the transaction {id} has not begun: its id is newer than the log's last one")]
    NotBegun {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// It may have been trimmed.
    #[error(
        "the log does not hold the transaction {id}, and has deleted transactions of its time that \
         had settled: whether it committed is not known any more"
    )]
    Trimmed {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// It is a saga.
    #[error("the transaction {id} is a saga: it has no prepared participants")]
    Saga {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// What is not in the log may still come into it.
    #[error("it cannot be told now what was decided of {id}: {why}")]
    Unavailable {
        /// The id that was asked for.
        id: TransactionId,
        /// Why not.
        why: String,
    },
}

/// Why a transaction was not aborted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It is committed.
    #[error("the transaction {id} is committed; a decision never changes")]
    Committed {
        /// Which.
        id: TransactionId,
    },
    /// Its only participant decides.
    #[error(
        "the only participant of the transaction {id} decides, and has been asked to; wait for it"
    )]
    OnePhase {
        /// Which.
        id: TransactionId,
    },
    /// It is a saga, and completed.
    #[error("the saga {id} is completed; there is no way back")]
    Completed {
        /// Which.
        id: TransactionId,
    },
    /// It is a saga whose pivot may be done.
    #[error(
        "the pivot of the saga {id} is done or may be, so there may be no way back: wait for it, or, \
         where it is stuck, resolve it by hand"
    )]
    PivotMayHaveLeft {
        /// Which.
        id: TransactionId,
    },
    /// It was quarantined.
    #[error(
        "the transaction {id} was quarantined: its records cannot be used; see what is known of it, and \
         end it by hand"
    )]
    Quarantined {
        /// Which.
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
        /// Why not.
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

/// Why a transaction was not ended by hand.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// Its records can be used.
    #[error(
        "the transaction {id} was not quarantined: it goes on by itself; to stop it, abort it, and \
         where it is stuck, resolve its branches or steps"
    )]
    NotQuarantined {
        /// Which transaction.
        id: TransactionId,
    },
    /// It came with a restored copy of the log.
    #[error(
        "the records of the transaction {id} can be used: it is quarantined because it came with a restored \
         copy of the log; release, abort or resolve it"
    )]
    Restored {
        /// Which transaction.
        id: TransactionId,
    },
    /// There is no such transaction in flight.
    #[error("the transaction {id} is not in flight: it has ended, or never was")]
    NotInFlight {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The coordinator cannot take it now.
    #[error("the transaction cannot be ended now: {why}")]
    Unavailable {
        /// Why not.
        why: String,
    },
}

/// Why a branch was not resolved by hand, or a transaction not asked again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The transaction has no such branch or step.
    #[error("the transaction {id} has no such branch or step")]
    NoSuchBranch {
        /// Which transaction.
        id: TransactionId,
    },
    /// The branch has ended.
    #[error("that branch or step of the transaction {id} is over; there is nothing to resolve")]
    Over {
        /// Which transaction.
        id: TransactionId,
    },
    /// There is no decision yet.
    #[error("the transaction {id} is not decided; abort it instead")]
    Undecided {
        /// Which transaction.
        id: TransactionId,
    },
    /// The step or branch cannot have ended so.
    #[error("it cannot be resolved so: {why} (transaction {id})")]
    NotSo {
        /// Which transaction.
        id: TransactionId,
        /// Why not, and what else to do.
        why: String,
    },
    /// It was quarantined.
    #[error(
        "the transaction {id} was quarantined: its records cannot be used; see what is known of it, and \
         end it by hand"
    )]
    Quarantined {
        /// Which transaction.
        id: TransactionId,
    },
    /// It came with a restored copy of the log.
    #[error(
        "the transaction {id} came with a restored copy of the log, and the original may have gone \
         on with it: find out what its participants did, then release, abort or resolve it"
    )]
    Restored {
        /// Which transaction.
        id: TransactionId,
    },
    /// There is no such transaction in flight.
    #[error("the transaction {id} is not in flight: it has settled, or never was")]
    NotInFlight {
        /// The id that was asked for.
        id: TransactionId,
    },
    /// The coordinator cannot take it now.
    #[error("the transaction cannot be resolved now: {why}")]
    Unavailable {
        /// Why not.
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
