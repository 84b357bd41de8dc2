//! The errors: the server refused, or gave no answer.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use wholly_core::{InvalidName, Key};

/// The server's refusal, as a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The kind of problem, for programs: `/problems/key-reused`. It never changes.
    pub r#type: String,
    /// The kind, for people.
    #[serde(default)]
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// The problem, and what to do.
    #[serde(default)]
    pub detail: String,
    /// The faults of an invalid definition.
    #[serde(default)]
    pub problems: Vec<DefinitionFault>,
}

/// A fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct DefinitionFault {
    /// Its place, as a JSON pointer (RFC 6901).
    #[serde(default)]
    pub at: String,
    /// The fault.
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

/// A request without a successful answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server refused.
    #[error("{0}")]
    Refused(Problem),
    /// No response came.
    #[error(
        "{url} could not be asked{}: {why}; check that the server runs there",
        tried(.tried_for)
    )]
    Unanswered {
        /// The URL of the request.
        url: String,
        /// The time for which it was repeated.
        tried_for: Duration,
        /// The failure of the last attempt.
        why: String,
    },
    /// The response is not one of Wholly's server.
    #[error("{url} answered {status}, and not as Wholly's server does: {why}")]
    NotUnderstood {
        /// The URL of the request.
        url: String,
        /// The status.
        status: u16,
        /// The reason.
        why: String,
    },
}

fn tried(tried_for: &Duration) -> String {
    match tried_for.as_secs() {
        0 => String::new(),
        seconds => format!(" for {seconds} s"),
    }
}

impl RequestError {
    /// The problem, if the server refused.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// A submission that failed, or whose outcome is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The transaction was not accepted.
    #[error(transparent)]
    NotAccepted(RequestError),
    /// The transaction may have been accepted.
    #[error(
        "{why}. The transaction may have been accepted all the same: submit it again with the key \
         {:?}, which never makes a second one",
        .key.as_str()
    )]
    Unknown {
        /// The key with which it was submitted.
        key: Key,
        /// The reason.
        why: RequestError,
    },
}

/// A submission that cannot be sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubmission {
    /// The key is invalid.
    #[error(transparent)]
    Key(#[from] InvalidName),
    /// A value has no form in JSON, or a text is no JSON.
    #[error("{what} is no JSON: {why}")]
    Json {
        /// The value or text.
        what: String,
        /// The reason.
        why: String,
    },
}
