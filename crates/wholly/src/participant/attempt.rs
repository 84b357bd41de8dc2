//! An attempt: one call on its way to a participant, and how it ended.

use std::time::Duration;

use wholly_core::TransactionId;

use super::{Answer, Call, Operation};

/// A call that is to be made.
pub(crate) struct Attempt {
    pub call: Call,
    /// The branch or step of the call: repeated in the answer.
    pub branch: u16,
    /// The time from [`Lane::send`] to the answer; at most a day.
    pub timeout: Duration,
}

/// The end of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub transaction: TransactionId,
    pub branch: u16,
    pub operation: Operation,
    pub answer: Answer,
    /// False if the participant certainly saw nothing of it.
    pub sent: bool,
}
