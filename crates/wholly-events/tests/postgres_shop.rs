//! The lesson's shop by events alone, over three databases of a PostgreSQL server of its own.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls};
use wholly_events::feed::{self, HttpFeed, Start};
use wholly_events::{Choreography, Cursor, Failure, Incoming, NewEvent, Reacted, Service};
use wholly_test_postgres::PostgresServer;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    order_id: String,
    quantity: i64,
    amount: i64,
}

type Step<T, R = ()> = Result<Reacted<T, R>, Failure>;

async fn reserve(db: &Client, order: Incoming<Order>) -> Step<Order, Order> {
    let sql = "UPDATE stock SET count = count - $1 WHERE count >= $1";
    if db.execute(sql, &[&order.quantity]).await? == 0 {
        return Ok(Reacted::Refused(order.data));
    }
    Ok(Reacted::Done(order.data))
}

async fn release(db: &Client, order: Incoming<Order>) -> Step<Order> {
    if order.undone.iter().any(|(_, done)| done.is_some()) {
        db.execute("UPDATE stock SET count = count + $1", &[&order.quantity]).await?;
    }
    Ok(Reacted::Done(order.data))
}

async fn charge(db: &Client, order: Incoming<Order>) -> Step<Order, Order> {
    db.execute("INSERT INTO payment VALUES ($1, $2)", &[&order.order_id, &order.amount]).await?;
    if order.amount > 10_000 {
        // What was written before is rolled back.
        return Ok(Reacted::Refused(order.data));
    }
    Ok(Reacted::Done(order.data))
}

async fn set_state(db: &Client, id: &str, state: &str) -> Result<(), Failure> {
    db.execute("UPDATE orders SET state = $2 WHERE id = $1", &[&id, &state]).await?;
    Ok(())
}

async fn confirm(db: &Client, order: Incoming<Order>) -> Step<Order> {
    set_state(db, &order.order_id, "confirmed").await?;
    Ok(Reacted::Done(order.data))
}

async fn cancel(db: &Client, order: Incoming<Order>) -> Step<Order> {
    set_state(db, &order.order_id, "cancelled").await?;
    Ok(Reacted::Done(order.data))
}

fn pool(url: &str) -> Pool {
    let manager = deadpool_postgres::Manager::new(url.parse().unwrap(), NoTls);
    Pool::builder(manager).max_size(12).build().unwrap()
}

/// Places an order, which is there once, however often a connection is lost meanwhile.
async fn place(pool: &Pool, service: &Service<Pool>, id: &str, quantity: i64, amount: i64) {
    let order = Order { order_id: id.to_owned(), quantity, amount };
    eventually(async || try_to_place(pool, service, &order).await.is_ok()).await;
    service.wake();
}

async fn try_to_place(pool: &Pool, service: &Service<Pool>, order: &Order) -> Result<(), Failure> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    let sql = "INSERT INTO orders VALUES ($1, 'created') ON CONFLICT DO NOTHING";
    if tx.execute(sql, &[&order.order_id]).await? == 1 {
        let event = NewEvent::new("OrderCreated", &order.order_id, order)?;
        service.publish(&*tx, &event).await?;
    }
    Ok(tx.commit().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_confirmed_and_cancelled_and_the_server_may_be_killed_meanwhile() {
    let mut server = PostgresServer::start(&[]).unwrap();
    let mut pools = Vec::new();
    for (name, schema) in [
        ("orders", "CREATE TABLE orders (id text PRIMARY KEY, state text)"),
        ("inventory", "CREATE TABLE stock (count bigint); INSERT INTO stock VALUES (1000)"),
        ("payment", "CREATE TABLE payment (id text PRIMARY KEY, amount bigint)"),
    ] {
        let pool = pool(&server.create_database(name).await.unwrap());
        pool.get().await.unwrap().batch_execute(schema).await.unwrap();
        pools.push(pool);
    }
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let feed_of = |nth: usize| {
        let address = listeners[nth].local_addr().unwrap();
        HttpFeed::at(&format!("http://{address}/feed")).unwrap()
    };
    let order = Choreography::new("order")
        .begins("OrderCreated")
        .on("PaymentTaken", confirm)
        .emits("OrderConfirmed")
        .on("InventoryRefused", cancel)
        .emits("OrderCancelled")
        .on("InventoryReleased", cancel)
        .emits("OrderCancelled")
        .follow("inventory", feed_of(1))
        .follow("payment", feed_of(2));
    let inventory = Choreography::new("inventory")
        .on("OrderCreated", reserve)
        .emits("InventoryReserved")
        .refuses("InventoryRefused")
        .on("PaymentRefused", release)
        .undoes(reserve)
        .emits("InventoryReleased")
        .follow("order", feed_of(0))
        .follow("payment", feed_of(2));
    let payment = Choreography::new("payment")
        .on("InventoryReserved", charge)
        .emits("PaymentTaken")
        .refuses("PaymentRefused")
        .follow("inventory", feed_of(1));
    let mut services = Vec::new();
    for ((choreography, pool), listener) in
        [order, inventory, payment].into_iter().zip(&pools).zip(listeners)
    {
        let service = choreography.start(pool.clone()).await.unwrap();
        let routes = feed::router(service.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        services.push(service);
    }
    for n in 0..20 {
        let amount = if n % 4 == 0 { 20_000 } else { 100 };
        place(&pools[0], &services[0], &format!("ORD{n}"), 1, amount).await;
        if n == 12 {
            server.kill().unwrap();
            server.start_again().unwrap();
        }
    }
    let states = "SELECT state, count(*) FROM orders GROUP BY state ORDER BY state";
    let expected = [("cancelled".to_owned(), 5_i64), ("confirmed".to_owned(), 15)];
    eventually(async || {
        let Ok(client) = pools[0].get().await else { return false };
        let Ok(rows) = client.query(states, &[]).await else { return false };
        rows.iter().map(|row| (row.get(0), row.get(1))).eq::<[(String, i64); 2]>(expected.clone())
    })
    .await;
    let count = async |pool: &Pool, sql: &str| -> i64 {
        pool.get().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    };
    assert_eq!(count(&pools[1], "SELECT count FROM stock").await, 985);
    assert_eq!(count(&pools[2], "SELECT count(*) FROM payment").await, 15);
    let unsequenced = "SELECT count(*) FROM wholly_outbox WHERE position IS NULL";
    assert_eq!(count(&pools[2], unsequenced).await, 0);
}

/// Two processes serve one outbox; the second hears of what only the first was woken for. Neither
/// polls within the time that this waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_hears_of_what_another_process_gave_a_position() {
    let server = PostgresServer::start(&[]).unwrap();
    let url = server.create_database("orders").await.unwrap();
    let of_service = |name: &'static str| {
        let choreography = Choreography::new(name).begins("OrderCreated");
        choreography.poll(Duration::from_secs(24 * 60 * 60)).start(pool(&url))
    };
    let publisher = of_service("order").await.unwrap();
    let listener = of_service("order").await.unwrap();
    let is_heard = async || {
        let start = Start::After(Cursor::START);
        let (_, page) = listener.page(start, 10, Duration::from_millis(1)).await.unwrap().unwrap();
        page.events.len()
    };
    let publish = async || {
        let mut client = pool(&url).get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let event = NewEvent::new("OrderCreated", "ORD001", &1).unwrap();
        publisher.publish(&*tx, &event).await.unwrap();
        tx.commit().await.unwrap();
        publisher.wake();
    };
    listener.listen(url.parse().unwrap(), NoTls);
    // It looks by itself when it starts, and when it begins to listen; later it must be told.
    for events in 1..=4 {
        publish().await;
        eventually(async || is_heard().await == events).await;
    }
}

/// Waits until it is so; a minute is far more than it takes.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < give_up, "it did not come to pass within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
