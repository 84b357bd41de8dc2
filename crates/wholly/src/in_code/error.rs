//! What a handler says when it cannot say what was done.

use std::error::Error;
use std::fmt;

use wholly_core::wire::{Answer, cut};

/// Why a step, or its undo, is not done.
///
/// Every [`Error`](std::error::Error) becomes one by `?`, and then it is *unknown* whether the step
/// was done: it is asked again, until the saga's deadline, or after the pivot until it is done. (A
/// boxed error is none itself: `.map_err(|e| StepError::unknown(e.to_string()))?`.) That a step will
/// not be done has to be said: [`refused`](Self::refused).
///
/// ```
/// use wholly::StepError;
///
/// fn charge(amount: &str) -> Result<u64, StepError> {
///     let amount = amount.parse()?; // unknown
///     match amount {
///         0 => Err(StepError::refused("nothing to charge")),
///         amount => Ok(amount),
///     }
/// }
/// assert_eq!(charge("x").unwrap_err().to_string(), "unknown: invalid digit found in string");
/// assert_eq!(charge("0").unwrap_err().to_string(), "refused: nothing to charge");
/// ```
// Not a `std::error::Error` itself: it could not then be made of every one.
pub struct StepError(StepErrorKind);

enum StepErrorKind {
    Refused(String),
    Stuck(String),
    Unknown(String),
}

impl StepError {
    /// The step was not done, and will not be: the saga turns back. After the pivot there is no way
    /// back, and an undo cannot be refused: they are asked again.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self(StepErrorKind::Refused(reason.into()))
    }

    /// It cannot be done, and asking again will not mend that: an operator has to look. The saga is
    /// shown as stuck at once. The step is asked again all the same, for a new version of the
    /// program may know what to do.
    pub fn stuck(reason: impl Into<String>) -> Self {
        Self(StepErrorKind::Stuck(reason.into()))
    }

    /// It may have been done, and it may not; what `?` makes of an error.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self(StepErrorKind::Unknown(reason.into()))
    }

    /// What it is to an action.
    pub(super) fn into_answer(self) -> Answer {
        match self.0 {
            StepErrorKind::Refused(reason) => Answer::refused(reason),
            StepErrorKind::Stuck(reason) => Answer::Stuck { reason: cut(reason) },
            StepErrorKind::Unknown(reason) => Answer::unknown(reason),
        }
    }

    /// What it is to a compensation, which cannot be refused.
    pub(super) fn into_answer_to_undo(self) -> Answer {
        match self.0 {
            StepErrorKind::Refused(reason) => {
                Answer::unknown(format!("an undo cannot be refused, and this was: {reason}"))
            }
            _ => self.into_answer(),
        }
    }
}

/// Unknown, for this error and what caused it.
impl<E: Error> From<E> for StepError {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        Self::unknown(reason)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            StepErrorKind::Refused(reason) => write!(f, "refused: {reason}"),
            StepErrorKind::Stuck(reason) => write!(f, "stuck: {reason}"),
            StepErrorKind::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
