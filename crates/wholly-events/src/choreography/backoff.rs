//! Waits between a process's retries against a database or a feed.

use std::time::Duration;

/// Exponential backoff: each wait doubles, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(20);
/// Short, because a retry is cheap and events wait meanwhile.
const MOST: Duration = Duration::from_secs(1);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Waits, and doubles the next wait.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Returns the current wait, and doubles the next one.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(MOST);
        now
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
