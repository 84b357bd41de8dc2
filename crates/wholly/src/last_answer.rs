//! The last answer that the coordinator heard of a branch or step, and of a participant.

use std::fmt;

use serde::Serialize;
use wholly_core::Timestamp;
use wholly_core::wire::{Answer, HttpHead, Operation, cut_to};

/// The longest reason that is kept of a last answer, in bytes: many may wait for a participant that
/// hangs.
const REASON_LIMIT: usize = 200;

/// An answer, or that none came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastAnswer {
    /// The time at which it came, or was given up: milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// The operation.
    pub operation: Operation,
    /// `done`, `read-only`, `refused`, `pending`, `heuristic`, `unknown` or `stuck`.
    pub answer: &'static str,
    /// The status of an HTTP answer that was `pending` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The words that came with it, or a description of what came instead; may be empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// The target of a redirect, which is not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Box<str>>,
}

/// The attempts at the outstanding operation of a branch or step, since the coordinator started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallAttempts {
    /// The operation that is asked.
    pub operation: Operation,
    /// The number of calls, one that is on its way included.
    pub tries: u32,
    /// The time of the next try: milliseconds since the Unix epoch. Absent while a call is on its
    /// way, and while its target is not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The last answer; absent before the first. It may be one to the operation before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<LastAnswer>,
}

impl LastAnswer {
    pub(crate) fn new(at: Timestamp, operation: Operation, answer: &Answer) -> Self {
        let cut = |text: &str| cut_to(text.to_owned(), REASON_LIMIT).into_boxed_str();
        let (status, redirect) = match answer.http() {
            Some(HttpHead { status, redirect }) => (Some(*status), redirect.as_deref().map(cut)),
            None => (None, None),
        };
        let (answer, reason) = (answer.as_str(), cut(answer.reason()));
        Self { at, operation, answer, status, reason, redirect }
    }

    /// True if it left nothing to be asked again.
    pub(crate) fn is_done(answer: &Answer) -> bool {
        matches!(answer, Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly)
    }
}

impl fmt::Display for LastAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.answer)?;
        // The reason of an unknown answer begins with its status.
        if let Some(status) = self.status.filter(|_| self.answer != "unknown") {
            write!(f, ", status {status}")?;
        }
        match &*self.reason {
            "" => Ok(()),
            reason => write!(f, ", {reason}"),
        }
    }
}
