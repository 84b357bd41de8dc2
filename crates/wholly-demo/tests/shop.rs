//! The shop keeps the lesson's rules, over real connections.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking; this is for its helpers")]

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wholly_core::wire::{Answer, HttpAnswer, Operation};
use wholly_demo::shop::{self, ServiceKind, Stock, opening_stock};

use Operation::{Abort, Commit, CommitOnePhase, Prepare};

struct Service {
    kind: ServiceKind,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Service {
    async fn start(kind: ServiceKind, directory: &Path, stock: Stock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let database = directory.join(format!("{kind}.db"));
        let serving = tokio::spawn(async move {
            shop::serve(kind, listener, &database, stock).await.unwrap();
        });
        Self { kind, address, serving }
    }

    async fn ask(&self, transaction: u32, operation: Operation, payload: Value) -> Answer {
        let headers = format!(
            "wholly-transaction: {transaction:032x}-0000000000000001\r\n\
             wholly-branch: {}\r\nwholly-operation: {operation}\r\n",
            self.kind
        );
        let said = self.send("POST", &format!("/{operation}"), &headers, &payload).await;
        let answer = said.header("wholly-answer");
        HttpAnswer { status: said.status, answer, retry_after: None, body: said.body.as_bytes() }
            .meaning(operation, &[])
    }

    async fn post(&self, path: &str, payload: Value) -> (u16, Value) {
        let said = self.send("POST", path, "", &payload).await;
        (said.status, serde_json::from_str(&said.body).unwrap())
    }

    async fn books(&self) -> Value {
        let said = self.send("GET", "/books", "", &Value::Null).await;
        assert_eq!((said.status, said.header("content-type")), (200, Some("application/json")));
        serde_json::from_str(&said.body).unwrap()
    }

    async fn send(&self, method: &str, path: &str, headers: &str, payload: &Value) -> Said {
        let body = payload.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        Said { status, head: head.to_owned(), body: body.to_owned() }
    }
}

/// A response.
struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|h| h.0 == name)?.1.into()
    }
}

fn line(on_hand: u32, reserved: u32) -> Value {
    json!({ "on_hand": on_hand, "available": on_hand - reserved, "reserved": reserved })
}

#[tokio::test]
async fn the_lessons_two_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let start = |kind| Service::start(kind, directory.path(), opening_stock());
    let order = start(ServiceKind::Order).await;
    let payment = start(ServiceKind::Payment).await;
    let inventory = start(ServiceKind::Inventory).await;

    let success = [
        (&order, json!({ "order_id": "ORD001", "item": "item1" })),
        (&payment, json!({ "order_id": "ORD001", "amount": 1000 })),
        (&inventory, json!({ "item_id": "item1", "quantity": 2 })),
    ];
    for operation in [Prepare, Commit] {
        for (service, payload) in &success {
            assert_eq!(service.ask(1, operation, payload.clone()).await, Answer::Done);
        }
    }

    let (goods, lack) = (json!({ "order_id": "ORD002", "item": "item2" }), "insufficient stock");
    assert_eq!(order.ask(2, Prepare, goods).await, Answer::Done);
    let money = json!({ "order_id": "ORD002", "amount": 500 });
    assert_eq!(payment.ask(2, Prepare, money).await, Answer::Done);
    let much = json!({ "item_id": "item2", "quantity": 100 });
    let refused = Answer::refused(format!("{lack} for item2: 100 asked, 5 available"));
    assert_eq!(inventory.ask(2, Prepare, much).await, refused);
    assert_eq!(payment.books().await["in_doubt"], 1);
    for service in [&order, &payment, &inventory] {
        assert_eq!(service.ask(2, Abort, Value::Null).await, Answer::Done);
    }

    let orders = json!({ "orders": { "ORD001": { "item": "item1" } }, "in_doubt": 0 });
    assert_eq!(order.books().await, orders);
    let payments = json!({ "payments": { "ORD001": 1000 }, "in_doubt": 0 });
    assert_eq!(payment.books().await, payments);
    let stock = json!({ "item1": line(8, 0), "item2": line(5, 0) });
    assert_eq!(inventory.books().await, json!({ "stock": stock, "in_doubt": 0 }));
}

#[tokio::test]
async fn what_is_prepared_is_not_available_to_another_even_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let inventory = Service::start(ServiceKind::Inventory, directory.path(), opening_stock()).await;
    let of_item2 = |quantity: u32| json!({ "item_id": "item2", "quantity": quantity });
    assert_eq!(inventory.ask(1, Prepare, of_item2(3)).await, Answer::Done);
    assert_eq!(inventory.ask(2, Prepare, of_item2(2)).await, Answer::Done);
    let (status, problem) = inventory.post("/reservations", of_item2(1)).await;
    assert_eq!(status, 409, "{problem}");

    inventory.serving.abort();
    let inventory = Service::start(ServiceKind::Inventory, directory.path(), opening_stock()).await;
    assert_eq!(inventory.books().await["stock"]["item2"], line(5, 5));
    assert_eq!(inventory.books().await["in_doubt"], 2);
    assert!(matches!(inventory.ask(3, Prepare, of_item2(1)).await, Answer::Refused { .. }));
    assert_eq!(inventory.ask(1, Abort, of_item2(3)).await, Answer::Done);
    assert_eq!(inventory.ask(2, Commit, of_item2(2)).await, Answer::Done);
    assert_eq!(inventory.books().await["stock"]["item2"], line(3, 0));
    assert_eq!(inventory.ask(4, CommitOnePhase, of_item2(3)).await, Answer::Done);
    assert_eq!(inventory.books().await["stock"]["item2"], line(0, 0));
}

#[tokio::test]
async fn each_service_says_no_to_what_breaks_its_rule() {
    let directory = tempfile::tempdir().unwrap();
    let bad = [
        (ServiceKind::Order, json!({ "item": "item1" }), "order_id is required"),
        (ServiceKind::Order, json!({ "order_id": "" }), "order_id is required"),
        (ServiceKind::Payment, json!({ "order_id": "A", "amount": -1 }), "negative"),
        (ServiceKind::Payment, json!({ "order_id": "A", "amount": "1" }), "payload"),
        (ServiceKind::Payment, json!({ "amount": 1 }), "order_id"),
        (ServiceKind::Inventory, json!({ "item_id": "item1", "quantity": -1 }), "negative"),
        (ServiceKind::Inventory, json!({ "item_id": "item9", "quantity": 1 }), "0 available"),
        (ServiceKind::Inventory, json!({ "item_id": "item1", "quantity": 11 }), "10 available"),
        (ServiceKind::Inventory, json!({ "item_id": "item1", "quantity": i64::MAX }), "10 avail"),
        (ServiceKind::Inventory, json!(null), "payload"),
    ];
    for (number, (kind, payload, why)) in (0..).zip(bad) {
        let service = Service::start(kind, directory.path(), opening_stock()).await;
        let before = service.books().await;
        for (offset, operation) in [(0, Prepare), (100, CommitOnePhase)] {
            let answer = service.ask(number + offset, operation, payload.clone()).await;
            assert!(
                matches!(&answer, Answer::Refused { reason } if reason.contains(why)),
                "{kind} {operation} {payload}: {answer:?}"
            );
        }
        assert_eq!(service.books().await, before);
    }
}

#[tokio::test]
async fn without_a_coordinator_the_books_no_longer_agree() {
    let directory = tempfile::tempdir().unwrap();
    let start = |kind| Service::start(kind, directory.path(), opening_stock());
    let order = start(ServiceKind::Order).await;
    let payment = start(ServiceKind::Payment).await;
    let inventory = start(ServiceKind::Inventory).await;

    let (status, _) = order.post("/orders", json!({ "order_id": "O", "item": "item2" })).await;
    assert_eq!(status, 201);
    let (status, _) = payment.post("/payments", json!({ "order_id": "O", "amount": 500 })).await;
    assert_eq!(status, 201);
    let much = json!({ "item_id": "item2", "quantity": 100 });
    let (status, problem) = inventory.post("/reservations", much).await;
    assert_eq!(status, 409);
    assert_eq!(problem["detail"], "insufficient stock for item2: 100 asked, 5 available");
    assert_eq!(inventory.post("/reservations", json!("what?")).await.0, 400);

    assert_eq!(payment.books().await["payments"], json!({ "O": 500 }), "paid");
    assert_eq!(inventory.books().await["stock"]["item2"], line(5, 0), "and nothing delivered");
    let two = json!({ "item_id": "item2", "quantity": 2 });
    assert_eq!(inventory.post("/reservations", two).await.0, 201);
    assert_eq!(inventory.books().await["stock"]["item2"], line(3, 0));
}

#[tokio::test]
async fn the_stock_to_start_with_counts_only_for_a_new_database() {
    let directory = tempfile::tempdir().unwrap();
    let large = Stock::from([("item1".to_owned(), 1_000_000)]);
    let inventory = Service::start(ServiceKind::Inventory, directory.path(), large).await;
    assert_eq!(inventory.books().await["stock"], json!({ "item1": line(1_000_000, 0) }));
    inventory.serving.abort();
    let inventory = Service::start(ServiceKind::Inventory, directory.path(), opening_stock()).await;
    assert_eq!(inventory.books().await["stock"], json!({ "item1": line(1_000_000, 0) }));
}

#[test]
fn a_services_name_is_read_back() {
    for kind in ServiceKind::ALL {
        assert_eq!(kind.to_string().parse::<ServiceKind>(), Ok(kind));
    }
    let error = "Order".parse::<ServiceKind>().unwrap_err();
    assert!(error.to_string().contains("order, payment and inventory"), "{error}");
}
