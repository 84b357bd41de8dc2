//! Orders that arrive in an open loop: each at its time, even if earlier ones have not ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::place::{Client, Placed};
use super::plan::Plan;
use super::watch::Watch;
use crate::process::lock;

/// The time since a run began, on the clock of this program and on that of all processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    began_epoch: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        let began_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_epoch }
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn at(&self, offset: Duration) -> Instant {
        self.began + offset
    }

    /// Milliseconds since the Unix epoch, this long after the start.
    pub(super) fn epoch_millis(&self, offset: Duration) -> i64 {
        i64::try_from((self.began_epoch + offset).as_millis()).unwrap_or(i64::MAX)
    }

    /// The time since the start of a moment that another process tells.
    pub(super) fn offset(&self, epoch: Duration) -> Duration {
        epoch.saturating_sub(self.began_epoch)
    }
}

/// The orders that are under way, and what became of each so far.
pub(super) struct Arrivals {
    placed: Arc<Kept>,
    running: JoinSet<()>,
}

pub(super) type Orders = BTreeMap<String, Placed>;

/// The outcome of each order, kept while it happens.
#[derive(Default)]
pub(super) struct Kept(Mutex<Orders>);

impl Kept {
    /// Notes something of an order.
    pub(super) fn note(&self, id: &str, note: impl FnOnce(&mut Placed)) {
        note(lock(&self.0).entry(id.to_owned()).or_default());
    }
}

impl Arrivals {
    /// Lets the orders of the plan arrive from now on.
    pub(super) fn start(plan: &Plan, clock: Clock, client: Client, watch: &Watch) -> Self {
        let placed = Arc::<Kept>::default();
        let (kept, watch, orders) = (Arc::clone(&placed), watch.teller(), plan.orders.clone());
        let mut running = JoinSet::new();
        running.spawn(async move {
            // Dropped with this task, and with it every order that is under way.
            let mut placing = JoinSet::new();
            for arrival in orders {
                sleep_until(clock.at(arrival.at)).await;
                let (client, kept, watch) = (client.clone(), Arc::clone(&kept), watch.clone());
                placing.spawn(async move {
                    let id = arrival.order.id.clone();
                    watch.watch(&id);
                    client.place(arrival.order, clock, &kept).await;
                    watch.leave(&id);
                });
            }
            while placing.join_next().await.is_some() {}
        });
        Self { placed, running }
    }

    /// The orders that were submitted, and those that have finished.
    pub(super) fn counts(&self) -> (usize, usize) {
        let placed = lock(&self.placed.0);
        let finished = placed.values().filter(|placed| placed.finished.is_some()).count();
        (placed.len(), finished)
    }

    /// Waits until every order has ended, or for so long; what became of each.
    pub(super) async fn finish(mut self, patience: Duration) -> Orders {
        let _ = tokio::time::timeout(patience, self.running.join_next()).await;
        self.running.shutdown().await;
        std::mem::take(&mut *lock(&self.placed.0))
    }
}
