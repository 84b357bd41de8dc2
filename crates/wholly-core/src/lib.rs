//! The protocols of Wholly as pure state machines, and the types on the wire.
//!
//! # Determinism
//!
//! This crate has no clock, no randomness and no I/O: time and random bits are arguments, and
//! effects are values. The same inputs always give the same records, so a restart replays them, the
//! model checker explores them and the simulation repeats them, all with this very code.
//!
//! # Layout
//!
//! | module | contents |
//! |---|---|
//! | [`Protocol`] | the face of a pattern, by which the rest of Wholly uses it |
//! | [`Transaction`], [`View`] | a transaction of any pattern, and its view from outside |
//! | [`Pattern`], [`State`] | the words of the patterns, and their numbers on disk |
//! | [`two_phase`] | two-phase commit with presumed abort; its page is the specification |
//! | [`saga`] | the saga, orchestrated; its page is the specification |
//! | [`wire`] | the messages of coordinator and participant, and the meaning of an answer |
//! | [`entry`] | the text under which records are kept |

mod deadline;
pub mod entry;
mod id;
mod key;
mod names;
mod nearest;
mod pattern;
mod payload;
mod proposal;
mod protocol;
pub mod saga;
mod time;
mod trace;
mod transaction;
pub mod two_phase;
mod view;
pub mod wire;

pub use id::{InvalidId, LogId, TransactionId};
pub use key::Key;
pub use names::{BranchName, InvalidName, KeyId, Name, OperationName, ParticipantName, StepName};
pub use nearest::nearest;
pub use pattern::{End, PartKind, PartState, Pattern, State};
pub use payload::{InvalidPayload, Payload};
pub use proposal::{Begin, InvalidProposal, Proposal, ProtocolProposal};
pub use protocol::{
    Answered, BranchIndex, BrokenInvariant, Effect, Input, Inquiry, LAST_ANSWERS_LIMIT, Now,
    Protocol, ProtocolRecord, Request, Target,
};
pub use time::Timestamp;
pub use trace::{InvalidTraceContext, TraceContext};
pub use transaction::{CancelError, Ended, Record, ResolveError, Transaction};
pub use view::{Part, View};
