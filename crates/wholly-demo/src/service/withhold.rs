//! Calls that a service withholds, so that a story can kill somebody at a known point.

use std::fmt;
use std::str::FromStr;

use tokio::sync::watch;

/// The calls that are withheld, written like `before:commit` or `after:prepare`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withhold {
    /// The side of the call on which it is withheld.
    pub side: Side,
    /// The operation: in two-phase the protocol's, in a saga the step's own.
    pub operation: String,
}

/// A side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is not handled, and never will be: it is to come again.
    Before,
    /// It is handled, and what it changed is durable; its answer has not left.
    After,
}

/// A text that names no calls to withhold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no calls; write them like before:commit or after:prepare")]
pub struct InvalidWithhold(String);

impl FromStr for Withhold {
    type Err = InvalidWithhold;

    fn from_str(text: &str) -> Result<Self, InvalidWithhold> {
        let parsed = match text.split_once(':') {
            Some(("before", operation)) => Some((Side::Before, operation)),
            Some(("after", operation)) => Some((Side::After, operation)),
            _ => None,
        };
        let (side, operation) = parsed.ok_or_else(|| InvalidWithhold(text.to_owned()))?;
        Ok(Self { side, operation: operation.to_owned() })
    }
}

impl fmt::Display for Withhold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{side}:{}", self.operation)
    }
}

/// The calls that are withheld until the service is told to go on.
#[derive(Clone)]
pub(super) struct Withholding {
    pub what: Withhold,
    /// True once it was told to go on.
    pub goes_on: watch::Receiver<bool>,
}

impl Withholding {
    /// True if this call is withheld now.
    pub fn concerns(&self, side: Side, operation: &str) -> bool {
        self.what.side == side && self.what.operation == operation && !*self.goes_on.borrow()
    }

    /// Waits until the service is told to go on.
    pub async fn over(&self) {
        // The other end lives as long as the process.
        let _ = self.goes_on.clone().wait_for(|goes_on| *goes_on).await;
    }
}
