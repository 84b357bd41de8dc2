//! Clients that place orders, several at once, and ask again under the same id until they have the
//! end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::TortureError;
use wholly_demo::fleet::{Fleet, FleetError, Role};
use wholly_demo::order::{Order, ask_until};
use wholly_demo::process::lock;
use wholly_demo::shop::ServiceKind;

const CLIENTS: usize = 8;

/// The longest that an order may take, with all that is done to the services meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Clients {
    shared: Arc<RoundState>,
    running: JoinSet<()>,
}

/// The knowledge of a round's clients at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientKnowledge {
    /// The end of each order.
    pub(super) ends: BTreeMap<String, String>,
    /// The orders that did not end, and why.
    pub(super) failures: Vec<String>,
    /// The number of times they had to ask again.
    pub(super) retries: u64,
}

struct RoundState {
    url: String,
    to_place: Mutex<VecDeque<Order>>,
    to_await: Mutex<VecDeque<Order>>,
    taken: watch::Sender<usize>,
    told: Mutex<ClientKnowledge>,
    orders: usize,
    all_at_once: bool,
}

impl Clients {
    pub(super) fn start(fleet: &Fleet, orders: &[Order], all_at_once: bool) -> Self {
        let shared = Arc::new(RoundState {
            url: fleet.url(Role::Service(ServiceKind::Order), "/orders"),
            to_place: Mutex::new(orders.iter().cloned().collect()),
            to_await: Mutex::default(),
            taken: watch::Sender::new(0),
            told: Mutex::default(),
            orders: orders.len(),
            all_at_once,
        });
        let mut running = JoinSet::new();
        for _ in 0..CLIENTS {
            running.spawn(Arc::clone(&shared).client());
        }
        Self { shared, running }
    }

    /// Waits until every order is there, or given up.
    pub(super) async fn all_taken(&self) -> Result<(), TortureError> {
        let mut taken = self.shared.taken.subscribe();
        let all = taken.wait_for(|taken| *taken >= self.shared.orders);
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(FleetError::Late("every order is taken".to_owned()).into()),
        }
    }

    /// Waits until each order has ended, or is given up.
    pub(super) async fn finish(&mut self) -> Result<(), TortureError> {
        while let Some(ended) = self.running.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Takes their knowledge; who still waits does not any more.
    pub(super) fn told(self) -> ClientKnowledge {
        std::mem::take(&mut *lock(&self.shared.told))
    }
}

impl RoundState {
    async fn client(self: Arc<Self>) {
        while let Some(order) = pop(&self.to_place) {
            let place = self.ask(&order, "", &[200, 202]);
            let placed = place.await;
            self.taken.send_modify(|taken| *taken += 1);
            match placed {
                Err(why) => lock(&self.told).failures.push(why),
                Ok(_) if self.all_at_once => lock(&self.to_await).push_back(order),
                Ok(_) => self.wait_for(&order).await,
            }
        }
        while let Some(order) = pop(&self.to_await) {
            self.wait_for(&order).await;
        }
    }

    async fn wait_for(&self, order: &Order) {
        let ended = self.ask(order, "?wait_ms=1000", &[200]).await;
        let mut told = lock(&self.told);
        match ended {
            Ok(end) => _ = told.ends.insert(order.id.clone(), end),
            Err(why) => told.failures.push(why),
        }
    }

    /// Asks until there is one of these answers.
    async fn ask(&self, order: &Order, query: &str, enough: &[u16]) -> Result<String, String> {
        let url = format!("{}{query}", self.url);
        let (answer, retries) = ask_until(&url, order, enough, PATIENCE).await?;
        lock(&self.told).retries += retries;
        Ok(answer["status"].as_str().unwrap_or_default().to_owned())
    }
}

fn pop(orders: &Mutex<VecDeque<Order>>) -> Option<Order> {
    lock(orders).pop_front()
}
