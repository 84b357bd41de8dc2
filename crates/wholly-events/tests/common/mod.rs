//! The shop's three services in this process, each over its own SQLite file and its own port.
#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wholly_events::feed::{self, HttpFeed};
use wholly_events::{Choreography, Failure, Incoming, NewEvent, Reacted, Service};
use wholly_participant::sqlite::Database;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub order_id: String,
    pub item: String,
    pub quantity: u32,
    pub amount: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reason {
    pub order_id: String,
    pub reason: String,
}

type Step<T, R = ()> = Result<Reacted<T, R>, Failure>;

fn reserve(db: &Connection, order: Incoming<Order>) -> Step<Order, Reason> {
    let taken = db.execute(
        "UPDATE stock SET count = count - ?2 WHERE item = ?1 AND count >= ?2",
        (&order.item, order.quantity),
    )?;
    if taken == 0 {
        let reason = format!("not enough of {}", order.item);
        return Ok(Reacted::Refused(Reason { order_id: order.order_id.clone(), reason }));
    }
    db.execute(
        "INSERT INTO reservation VALUES (?1, ?2, ?3)",
        (&order.order_id, &order.item, order.quantity),
    )?;
    Ok(Reacted::Done(order.data))
}

fn release(db: &Connection, refused: Incoming<Reason>) -> Step<Reason> {
    db.execute(
        "UPDATE stock SET count = count + (SELECT quantity FROM reservation WHERE id = ?1)
         WHERE item = (SELECT item FROM reservation WHERE id = ?1)",
        [&refused.order_id],
    )?;
    db.execute("DELETE FROM reservation WHERE id = ?1", [&refused.order_id])?;
    Ok(Reacted::Done(refused.data))
}

fn charge(db: &Connection, order: Incoming<Order>) -> Step<Order, Reason> {
    if order.amount > 10_000 {
        let (order_id, reason) = (order.order_id.clone(), "declined".to_owned());
        return Ok(Reacted::Refused(Reason { order_id, reason }));
    }
    db.execute("INSERT INTO payment VALUES (?1, ?2)", (&order.order_id, order.amount))?;
    Ok(Reacted::Done(order.data))
}

fn confirm(db: &Connection, order: Incoming<Order>) -> Step<Order> {
    db.execute("UPDATE orders SET state = 'confirmed' WHERE id = ?1", [&order.order_id])?;
    Ok(Reacted::Done(order.data))
}

fn cancel(db: &Connection, refused: Incoming<Reason>) -> Step<Reason> {
    db.execute("UPDATE orders SET state = 'cancelled' WHERE id = ?1", [&refused.order_id])?;
    Ok(Reacted::Done(refused.data))
}

pub struct Node {
    pub service: Service<Database>,
    pub database: Database,
    serving: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub struct Shop {
    directory: TempDir,
    ports: [u16; 3],
    pub order: Node,
    pub inventory: Node,
    pub payment: Option<Node>,
}

pub async fn database(path: &Path, schema: &'static str) -> Database {
    let database = Database::open(path).unwrap();
    database.transaction(move |db| Ok(db.execute_batch(schema)?)).await.unwrap();
    database
}

pub async fn node(choreography: Choreography<Database>, database: Database, port: u16) -> Node {
    let service = choreography.start(database.clone()).await.unwrap();
    let routes = feed::router(service.clone());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Node { service, database, serving }
}

fn feed_at(port: u16) -> HttpFeed {
    HttpFeed::at(&format!("http://127.0.0.1:{port}/feed")).unwrap()
}

async fn free_ports() -> [u16; 3] {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    [0, 1, 2].map(|n: usize| listeners[n].local_addr().unwrap().port())
}

impl Shop {
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports().await;
        let order = Choreography::new("order")
            .begins("OrderCreated")
            .on("PaymentTaken", confirm)
            .emits("OrderConfirmed")
            .on("InventoryRefused", cancel)
            .emits("OrderCancelled")
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled")
            .ends("OrderConfirmed")
            .ends("OrderCancelled")
            .follow("inventory", feed_at(ports[1]))
            .follow("payment", feed_at(ports[2]));
        let schema = "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, state TEXT)";
        let path = directory.path().join("order.db");
        let order = node(order, database(&path, schema).await, ports[0]).await;
        let inventory = Choreography::new("inventory")
            .on("OrderCreated", reserve)
            .emits("InventoryReserved")
            .refuses("InventoryRefused")
            .on("PaymentRefused", release)
            .undoes(reserve)
            .emits("InventoryReleased")
            .follow("order", feed_at(ports[0]))
            .follow("payment", feed_at(ports[2]));
        let schema = "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INTEGER);
            INSERT OR IGNORE INTO stock VALUES ('item1', 10), ('item2', 5);
            CREATE TABLE IF NOT EXISTS reservation (id TEXT PRIMARY KEY, item TEXT, quantity INTEGER)";
        let path = directory.path().join("inventory.db");
        let inventory = node(inventory, database(&path, schema).await, ports[1]).await;
        let mut shop = Self { directory, ports, order, inventory, payment: None };
        shop.start_payment().await;
        shop
    }

    /// The feed of order, inventory or payment.
    pub fn feed(&self, nth: usize) -> HttpFeed {
        feed_at(self.ports[nth])
    }

    pub fn stop_payment(&mut self) {
        self.payment = None;
    }

    pub async fn start_payment(&mut self) {
        let payment = Choreography::new("payment")
            .on("InventoryReserved", charge)
            .emits("PaymentTaken")
            .refuses("PaymentRefused")
            .follow("inventory", feed_at(self.ports[1]));
        let schema = "CREATE TABLE IF NOT EXISTS payment (id TEXT PRIMARY KEY, amount INTEGER)";
        let path = self.directory.path().join("payment.db");
        self.payment = Some(node(payment, database(&path, schema).await, self.ports[2]).await);
    }

    pub async fn place(&self, id: &str, item: &str, quantity: u32, amount: u32) {
        let order = Order { order_id: id.to_owned(), item: item.to_owned(), quantity, amount };
        let (id, service) = (id.to_owned(), self.order.service.clone());
        let create = move |db: &rusqlite::Transaction<'_>| {
            db.execute("INSERT INTO orders VALUES (?1, 'created')", [&id])?;
            let event = NewEvent::new("OrderCreated", &id, &order)?;
            Ok(service.publish(db, &event)?)
        };
        self.order.database.transaction(create).await.unwrap();
        self.order.service.wake();
    }

    pub async fn order(&self, id: &str) -> Option<String> {
        let id = id.to_owned();
        let read = move |db: &rusqlite::Transaction<'_>| {
            let found =
                db.query_row("SELECT state FROM orders WHERE id = ?1", [&id], |row| row.get(0));
            Ok(found.ok())
        };
        self.order.database.transaction(read).await.unwrap()
    }

    pub async fn stock(&self, item: &str) -> i64 {
        let item = item.to_owned();
        let read = move |db: &rusqlite::Transaction<'_>| {
            Ok(db.query_row("SELECT count FROM stock WHERE item = ?1", [&item], |row| row.get(0))?)
        };
        self.inventory.database.transaction(read).await.unwrap()
    }

    pub async fn payments(&self) -> i64 {
        let path = self.directory.path().join("payment.db");
        let db = Connection::open(path).unwrap();
        db.query_row("SELECT count(*) FROM payment", [], |row| row.get(0)).unwrap()
    }
}

/// Waits until it is so; a minute is far more than it takes.
pub async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < give_up, "it did not come to pass within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
