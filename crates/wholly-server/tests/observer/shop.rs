//! The lesson's shop by events alone: three services in this process, each over its own SQLite file
//! and its own port.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use wholly_events::choreography::RetryPolicy;
use wholly_events::feed::{self, HttpFeed};
use wholly_events::{Choreography, Failure, Incoming, NewEvent, Reacted, Service};
use wholly_participant::sqlite::Database;

type Step = Result<Reacted<Value, Value>, Failure>;

fn reserve(_: &Connection, order: Incoming<Value>) -> Step {
    Ok(Reacted::Done(order.data))
}

fn release(_: &Connection, refused: Incoming<Value>) -> Step {
    Ok(Reacted::Done(refused.data))
}

/// Refuses what is too much, and fails for an order of 13.
fn charge(_: &Connection, order: Incoming<Value>) -> Step {
    match order["amount"].as_u64() {
        Some(13) => Err("the card's machine is broken".into()),
        Some(..=10_000) => Ok(Reacted::Done(order.data)),
        _ => Ok(Reacted::Refused(json!({"reason": "declined"}))),
    }
}

fn confirm(_: &Connection, order: Incoming<Value>) -> Step {
    Ok(Reacted::Done(order.data))
}

fn cancel(_: &Connection, refused: Incoming<Value>) -> Step {
    Ok(Reacted::Done(refused.data))
}

/// A service that runs. It has threads of its own, so that its end is that of its connections, too.
pub struct Node {
    service: Service<Database>,
    database: Database,
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Shop {
    directory: TempDir,
    ports: [u16; 3],
    within: Duration,
    order: Option<Node>,
    inventory: Option<Node>,
    payment: Option<Node>,
}

impl Shop {
    /// A shop whose orders may take so long; no service runs yet.
    pub async fn closed(within: Duration) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let ports = [0, 1, 2].map(|n: usize| listeners[n].local_addr().unwrap().port());
        let directory = tempfile::tempdir().unwrap();
        Self { directory, ports, within, order: None, inventory: None, payment: None }
    }

    pub async fn open(within: Duration) -> Self {
        let mut shop = Self::closed(within).await;
        shop.start_order().await;
        shop.start_others().await;
        shop
    }

    /// The sections of the configuration for its feeds.
    pub fn sections(&self) -> String {
        let names = ["order", "inventory", "payment"];
        let section = |(name, port): (&str, &u16)| {
            format!("[feeds.{name}]\nurl = 'http://127.0.0.1:{port}/feed'\n")
        };
        names.into_iter().zip(&self.ports).map(section).collect()
    }

    pub async fn start_order(&mut self) {
        let order = Choreography::new("order")
            .begins("OrderCreated")
            .on("PaymentTaken", confirm)
            .emits("OrderConfirmed")
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled")
            .ends("OrderConfirmed")
            .ends("OrderCancelled")
            .within(self.within)
            .follow("inventory", self.feed(1))
            .follow("payment", self.feed(2));
        self.order = Some(self.node(order, 0).await);
    }

    pub async fn start_others(&mut self) {
        let inventory = Choreography::new("inventory")
            .on("OrderCreated", reserve)
            .emits("InventoryReserved")
            .on("PaymentRefused", release)
            .undoes(reserve)
            .emits("InventoryReleased")
            .follow("order", self.feed(0))
            .follow("payment", self.feed(2));
        self.inventory = Some(self.node(inventory, 1).await);
        self.start_payment().await;
    }

    pub async fn start_payment(&mut self) {
        let (first, most) = (Duration::from_millis(5), Duration::from_millis(50));
        let payment = Choreography::new("payment")
            .on("InventoryReserved", charge)
            .emits("PaymentTaken")
            .refuses("PaymentRefused")
            .retry(RetryPolicy { first, most, stuck_after: 2 })
            .follow("inventory", self.feed(1));
        self.payment = Some(self.node(payment, 2).await);
    }

    pub fn stop_order(&mut self) {
        self.order = None;
    }

    pub fn stop_payment(&mut self) {
        self.payment = None;
    }

    fn feed(&self, nth: usize) -> HttpFeed {
        HttpFeed::at(&format!("http://127.0.0.1:{}/feed", self.ports[nth])).unwrap()
    }

    fn file(&self, nth: usize) -> PathBuf {
        self.directory.path().join(format!("{nth}.db"))
    }

    async fn node(&self, choreography: Choreography<Database>, nth: usize) -> Node {
        let database = Database::open(self.file(nth)).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (port, own) = (self.ports[nth], database.clone());
        let started = runtime.spawn(async move {
            let service = choreography.start(own).await.unwrap();
            let routes = feed::router(service.clone());
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
            service
        });
        Node { service: started.await.unwrap(), database, runtime: Some(runtime) }
    }

    pub async fn place(&self, id: &str, amount: u32) {
        let order = self.order.as_ref().unwrap();
        let event = NewEvent::new("OrderCreated", id, &json!({"amount": amount})).unwrap();
        let create = move |db: &Transaction<'_>| Ok(wholly_events::rusqlite::publish(db, &event)?);
        order.database.transaction(create).await.unwrap();
        order.service.wake();
    }
}
