//! The report of a suite: a line for each rule.

use std::fmt;

/// The findings of a suite: a check for each rule.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The checks, in the order in which they were made.
    pub checks: Vec<RuleCheck>,
}

/// The check of one rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleCheck {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The rule is kept.
    Passed,
    /// The rule is broken.
    Failed {
        /// The behaviour that was seen instead.
        seen: String,
    },
    /// The rule could not be checked.
    NotOffered,
}

impl Report {
    /// True if no rule is broken.
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.verdict, Verdict::Failed { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for RuleCheck { rule, verdict } in &self.checks {
            match verdict {
                Verdict::Passed => writeln!(f, "passed       {rule}")?,
                Verdict::NotOffered => writeln!(f, "not offered  {rule}")?,
                Verdict::Failed { seen } => writeln!(f, "FAILED       {rule}: {seen}")?,
            }
        }
        Ok(())
    }
}

/// The reason why a check did not pass.
#[derive(Debug)]
pub(super) enum RuleFailure {
    /// The service offers no way to check the rule.
    NotOffered,
    /// The service broke the rule; the behaviour that was seen instead.
    Seen(String),
}

/// The result of a check, or of a part of one.
pub(super) type RuleResult<T = ()> = Result<T, RuleFailure>;

impl RuleFailure {
    pub(super) fn verdict(checked: Result<(), Self>) -> Verdict {
        match checked {
            Ok(()) => Verdict::Passed,
            Err(Self::NotOffered) => Verdict::NotOffered,
            Err(Self::Seen(seen)) => Verdict::Failed { seen },
        }
    }
}

/// Fails with the seen behaviour unless the condition holds.
pub(super) fn ensure(is_so: bool, seen: impl FnOnce() -> String) -> RuleResult {
    if is_so { Ok(()) } else { Err(RuleFailure::Seen(seen())) }
}
