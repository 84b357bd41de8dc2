//! The report of a conformance suite.

use std::fmt;

use wholly_core::{InvalidName, InvalidPayload};

use crate::InvalidUrl;

/// The report of a conformance suite: a check for each rule.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// One rule, and the verdict on the service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// The verdict on it.
    pub verdict: Verdict,
}

/// The verdict on a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is.
    Passed,
    /// It is not.
    Failed {
        /// The call, and the answer that was seen instead of the contract's.
        seen: String,
    },
    /// It is about something that the service does not offer.
    NotOffered,
}

/// Why the suite could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// The URL cannot be a participant's.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A payload cannot be sent.
    #[error(transparent)]
    Payload(#[from] InvalidPayload),
    /// No payload can be both accepted and refused.
    #[error("both payloads are the same; give one that is accepted and one that is refused")]
    SamePayload,
    /// The system gave no random number for the transactions' ids.
    #[error("the system gave no random number: {0}")]
    Random(String),
    /// A name cannot be an operation's.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Report {
    /// True if no rule is broken.
    pub fn passed(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The rules that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.verdict, Verdict::Failed { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { rule, verdict } in &self.checks {
            match verdict {
                Verdict::Passed => writeln!(f, "passed       {rule}")?,
                Verdict::NotOffered => writeln!(f, "not offered  {rule}")?,
                Verdict::Failed { seen } => writeln!(f, "FAILED       {rule}: {seen}")?,
            }
        }
        Ok(())
    }
}
