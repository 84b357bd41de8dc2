//! Distributed transactions that happen wholly or not at all.

pub mod log;
mod participant;

pub use log::memory::MemoryLog;
#[cfg(feature = "sqlite")]
pub use log::sqlite::SqliteLog;
pub use participant::{Answer, Call, Operation, Participant};
pub use wholly_core::{Key, LogId, Name, ParticipantName, Payload, Timestamp, TransactionId};
