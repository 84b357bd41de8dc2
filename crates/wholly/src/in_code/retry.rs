//! The retries of a step.

use std::time::Duration;

use wholly_core::saga::{self, Factor, Problem, Segment};

use super::written::millis;

/// The retries of a step: their pauses and number. By default the coordinator's setting.
///
/// ```
/// # use std::time::Duration;
/// # use wholly::Retry;
/// let retry = Retry::default().first(Duration::from_millis(50)).factor(1.5).tries(10);
/// # let _ = retry;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "it says when a step is tried again"]
pub struct Retry {
    first: Option<Duration>,
    factor: Option<f64>,
    cap: Option<Duration>,
    tries: Option<u32>,
}

impl Retry {
    /// The first pause, in whole milliseconds.
    pub fn first(mut self, first: Duration) -> Self {
        self.first = Some(first);
        self
    }

    /// The factor by which each pause is longer than the one before it: 1 to 100.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = Some(factor);
        self
    }

    /// The longest pause, in whole milliseconds.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = Some(cap);
        self
    }

    /// The number of tries without an answer after which the saga turns back, with the step
    /// unknown. By default only the deadline turns it back. Before the pivot only.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    /// Parses it for the definition.
    pub(super) fn parse(self, at: Vec<Segment>, problems: &mut Vec<Problem>) -> saga::Retry {
        let factor = self.factor.and_then(|factor| {
            Factor::try_from(factor).map_err(|what| problems.push(Problem { at, what })).ok()
        });
        let (first_millis, cap_millis) = (self.first.map(millis), self.cap.map(millis));
        saga::Retry { first_millis, factor, cap_millis, tries: self.tries }
    }
}
