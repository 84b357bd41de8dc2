//! Participants in process that count their calls, or wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::{Notify, watch};
use wholly::{Answer, Call, Participant};

/// The number of calls that have come, and whoever waits for more.
#[derive(Default)]
pub struct Calls {
    come: AtomicU64,
    changed: Notify,
}

impl Calls {
    fn count(&self) {
        self.come.fetch_add(1, SeqCst);
        self.changed.notify_one();
    }

    /// Waits until `calls` have come. One may wait.
    pub async fn reach(&self, calls: u64) {
        while self.come.load(SeqCst) < calls {
            self.changed.notified().await;
        }
    }
}

/// Says yes to everything, and counts its calls. It says nothing to prepare before it is let go.
pub struct Counting {
    pub calls: Arc<Calls>,
    pub let_go: watch::Receiver<bool>,
}

impl Participant for Counting {
    async fn prepare(&self, _: Call) -> Answer {
        self.calls.count();
        // The other end gone means the same: nobody wants it to wait.
        let _ = self.let_go.clone().wait_for(|go| *go).await;
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        self.calls.count();
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        self.calls.count();
        Answer::Done
    }
}
