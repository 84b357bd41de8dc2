//! Where the time comes from. The core gets it as an argument.

use std::future::ready;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::Either;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;
use wholly_core::Timestamp;

/// The clock of a coordinator.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's.
    System,
    /// Tokio's, which a test can pause, counted from a fixed time.
    #[cfg_attr(not(feature = "test"), allow(dead_code))]
    Tokio { base: Timestamp, since: Instant },
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                // A clock before 1970 counts as 1970; ids ascend all the same.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Tokio { base, since } => *base + since.elapsed(),
        }
    }

    /// Whether a test makes the time.
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Tokio { .. })
    }

    /// Starts what blocks: on a thread for such things, and on virtual time here and now. A paused
    /// clock leaps when the runtime idles, and another thread's pace is no part of a seed.
    pub fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, JoinError>> + Send {
        match self.is_virtual() {
            true => Either::Left(ready(Ok(run()))),
            false => Either::Right(spawn_blocking(run)),
        }
    }
}
