//! Distributed transactions that happen wholly or not at all.

pub mod log;
mod participant;
#[cfg(feature = "test")]
pub mod test;

#[cfg(feature = "http")]
pub use participant::http::{HttpParticipant, InvalidUrl};
pub use participant::slots::{InvalidSlots, Slots};
pub use participant::{Answer, Call, Operation, Participant};
pub use wholly_core::{Key, LogId, Name, ParticipantName, Payload, Timestamp, TransactionId};
