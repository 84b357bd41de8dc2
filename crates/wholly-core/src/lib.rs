//! The protocols of Wholly as pure state machines.
#![doc = ""]

mod id;
mod names;
mod payload;
mod time;
pub mod wire;

pub use id::{InvalidId, LogId, TransactionId};
pub use names::{InvalidName, Key, Name, ParticipantName};
pub use payload::{InvalidPayload, Payload};
pub use time::Timestamp;
