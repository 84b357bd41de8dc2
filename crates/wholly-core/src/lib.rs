//! The protocols of Wholly as pure state machines, and the types on the wire.
//!
//! # Determinism
//!
//! This crate has no clock, no randomness and no I/O: time and random bits are arguments, and what
//! must be done comes out as values. The same inputs always give the same records, so a restart
//! replays them, the model checker explores them and the simulation repeats them, all with this
//! very code.
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | [`Transaction`] | one of either pattern |
//! | [`two_phase`] | two-phase commit with presumed abort; its page is the specification |
//! | [`saga`] | the saga, orchestrated; its page is the specification |
//! | [`wire`] | what travels between coordinator and participant, and what an answer means |
//! | [`entry`] | the text under which records are kept |

mod deadline;
pub mod entry;
mod id;
mod key;
mod names;
mod nearest;
mod payload;
mod protocol;
mod removal;
pub mod saga;
mod time;
mod trace;
mod transaction;
pub mod two_phase;
pub mod wire;

pub use id::{InvalidId, LogId, TransactionId};
pub use key::Key;
pub use names::{BranchName, InvalidName, KeyId, Name, OperationName, ParticipantName, StepName};
pub use nearest::nearest;
pub use payload::{InvalidPayload, Payload};
pub use protocol::{
    Answered, BranchIndex, BrokenInvariant, Callee, Effect, Input, LAST_ANSWERS_LIMIT, Now, Request,
};
pub use time::Timestamp;
pub use trace::{InvalidTraceContext, TraceContext};
pub use transaction::{CancelError, Ended, Record, ResolveError, Transaction};
