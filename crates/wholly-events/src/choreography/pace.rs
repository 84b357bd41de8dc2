//! Waits between tries of what the process itself asks again: a database, a feed.

use std::time::Duration;

/// Waits that double, from a first to a longest one.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(5);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Waits, and makes the next wait longer.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.take()).await;
    }

    /// The next wait, for who waits elsewhere; the one after it is longer.
    pub(crate) fn take(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(MOST);
        wait
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
