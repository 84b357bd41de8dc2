//! What can go wrong: the server said no, or could not be asked.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use wholly_core::{InvalidName, Key};

/// The server's no, as a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of problem it is, for programs: `/problems/key-reused`. It never changes.
    pub r#type: String,
    /// The kind, for people.
    #[serde(default)]
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, and what to do.
    #[serde(default)]
    pub detail: String,
    /// All that is wrong with a definition, where that is the problem.
    #[serde(default)]
    pub problems: Vec<Wrong>,
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Wrong {
    /// Where, as a JSON pointer (RFC 6901).
    #[serde(default)]
    pub at: String,
    /// What.
    pub what: String,
}

impl Problem {
    /// The last part of its [`type`](Self::type): `key-reused`.
    pub fn kind(&self) -> &str {
        self.r#type.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.is_empty() {
            true => f.write_str(&self.title),
            false => f.write_str(&self.detail),
        }
    }
}

/// Why there is no answer to what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The server said no.
    #[error("{0}")]
    Refused(Problem),
    /// No answer came.
    #[error(
        "{url} could not be asked{}: {why}; check that the server runs there",
        tried(.tried_for)
    )]
    Unanswered {
        /// What was asked.
        url: String,
        /// For how long it was tried again.
        tried_for: Duration,
        /// What came instead, the last time.
        why: String,
    },
    /// An answer came that a server of this kind does not give.
    #[error("{url} answered {status}, and not as Wholly's server does: {why}")]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
}

fn tried(tried_for: &Duration) -> String {
    match tried_for.as_secs() {
        0 => String::new(),
        seconds => format!(" for {seconds} s"),
    }
}

impl AskError {
    /// The problem, where the server said no.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// Why a transaction was not submitted, or that it is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It was not accepted.
    #[error(transparent)]
    NotAccepted(AskError),
    /// It may have been accepted.
    #[error(
        "{why}. The transaction may have been accepted all the same: submit it again with the key \
         {:?}, which never makes a second one",
        .key.as_str()
    )]
    Unknown {
        /// The key with which it was submitted.
        key: Key,
        /// Why nobody knows.
        why: AskError,
    },
}

/// Why a transaction cannot even be put into words.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubmission {
    /// The client's key is none.
    #[error(transparent)]
    Key(#[from] InvalidName),
    /// A value has no form in JSON, or a text is none.
    #[error("{what} is no JSON: {why}")]
    Json {
        /// What was to be JSON.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}
