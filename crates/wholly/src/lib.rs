//! Distributed transactions that happen wholly or not at all.
//!
//! A [`Coordinator`] runs a change over several services or databases so that it happens at all of
//! them or at none, through crashes of any of them and of itself. It incarnations in your program, on
//! tokio, and remembers in a [log](log::Log): one SQLite file by default.
//!
//! The protocols are those of [`wholly_core`], whose pages are their specification.
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | `conformance` | whether a service, in any language, keeps the participant's contract |
//! | `coordinator` | the API, and the driver that gives the loop its I/O |
//! | `engine` | the one loop, without I/O: group commit, gates, retries, recovery |
//! | `feed` | what became durable, as events |
//! | `in_code` | sagas in code: typed steps of the program itself |
//! | `meter` | what an operator sees: counters and times |
//! | [`log`] | where it remembers: the trait, SQLite, memory |
//! | `participant` | participants: the trait, HTTP, the lane of each |
//! | `reader` | what is durable, read without the loop |
//!
//! The library installs nothing global: no TLS provider, no tracing subscriber, no signal handler. A
//! program that may run with a limit on the size of files should handle or ignore SIGXFSZ, as
//! `wholly serve` does: else the system ends it where a full disk would be an error.

mod clock;
#[cfg(all(feature = "http", feature = "conformance"))]
pub mod conformance;
mod coordinator;
mod engine;
mod error;
mod feed;
mod in_code;
mod key_scope;
mod last_answer;
mod listed;
pub mod log;
mod memory;
mod meter;
mod outcome;
mod participant;
mod payloads;
mod reader;
mod replay;
mod settings;
#[cfg(test)]
mod simulation;
mod snapshot;
#[cfg(feature = "test")]
pub mod test;
mod workers;

pub use coordinator::{Builder, Coordinator, Draft, Health, SagaRun, Submission, TwoPhase};
pub use engine::Backoff;
pub use error::{
    CancelError, DecisionError, EndError, GetError, ResolveError, SagaError, StartError,
    SubmitError,
};
pub use feed::{EventId, Feed, FeedEvent, InvalidEventId, Page, Recorded};
pub use in_code::{Retry, Saga, SagaHandle, SagaStep, Step, StepError, step};
pub use key_scope::KeyScope;
pub use last_answer::{CallAttempts, LastAnswer};
pub use listed::{Listed, Listing};
pub use log::listing::{Cursor, Filter, InvalidCursor};
pub use log::memory::MemoryLog;
#[cfg(feature = "sqlite")]
pub use log::sqlite::{CopyError, SqliteLog};
pub use meter::{
    BegunMeasures, CallMeasures, Distribution, EndedMeasures, LastError, Measures,
    SettledTransaction, TargetHealth, TargetMeasures,
};
pub use outcome::{Aborted, AnyOutcome, Committed, Compensated, Completed, Outcome, SagaOutcome};
#[cfg(feature = "http")]
pub use participant::http::{HttpConnections, HttpParticipant, InvalidCredentials, InvalidUrl};
pub use participant::{Answer, Call, Operation, Participant};
pub use participant::{InvalidSlots, Slots};
pub use settings::{Retention, Settings};
pub use snapshot::{Event, PartSnapshot, Snapshot};
pub use wholly_core::saga::{
    Definition, Graph, InvalidDefinition, Reason, Resolution, StepDefinition,
};
pub use wholly_core::two_phase::{AbortReason, Decision, Started, StartedBranch, Vote};
pub use wholly_core::{
    BranchName, End, Ended, InvalidName, InvalidPayload, InvalidProposal, Key, KeyId, LogId, Name,
    OperationName, PartState, ParticipantName, Pattern, Payload, Proposal, Record, State, StepName,
    Target, Timestamp, TraceContext, TransactionId, saga, two_phase,
};
