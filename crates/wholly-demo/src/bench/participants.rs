//! Participants in process that do nothing, so that what is measured is Wholly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::{Notify, watch};
use wholly::{Answer, Call, Participant};

/// A saga's operation of this name is refused.
pub(super) const REFUSED: &str = "refuse";

/// Says yes to everything else, at once.
pub(super) struct Idle;

impl Participant for Idle {
    async fn prepare(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn action(&self, call: Call) -> Answer {
        match call.operation_name() {
            REFUSED => Answer::refused("it was to be"),
            _ => Answer::Done,
        }
    }

    async fn compensate(&self, _: Call) -> Answer {
        Answer::Done
    }
}

/// How many calls have come, and who wants to know.
#[derive(Default)]
pub(super) struct Calls {
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

/// Says yes to everything, at once, and counts.
pub(super) struct Counting(pub Arc<Calls>);

impl Participant for Counting {
    async fn prepare(&self, _: Call) -> Answer {
        self.0.count();
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        self.0.count();
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        self.0.count();
        Answer::Done
    }
}

/// Counts, and says nothing to prepare before it is let go.
pub(super) struct Waiting {
    pub calls: Arc<Calls>,
    pub let_go: watch::Receiver<bool>,
}

impl Participant for Waiting {
    async fn prepare(&self, _: Call) -> Answer {
        self.calls.count();
        // The other end gone means the same: nobody wants it to wait.
        let _ = self.let_go.clone().wait_for(|go| *go).await;
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        Answer::Done
    }
}
