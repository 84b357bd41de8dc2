//! Waits between tries of what the process itself asks again: a database, a feed.

use std::time::Duration;

/// Waits that double, from a first to a longest one.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(20);
/// A question is cheap for who answers it, and events wait meanwhile.
const MOST: Duration = Duration::from_secs(1);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Waits, and makes the next wait longer.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.longer()).await;
    }

    /// The time to wait now; the next wait is longer.
    pub(crate) fn longer(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(MOST);
        now
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
