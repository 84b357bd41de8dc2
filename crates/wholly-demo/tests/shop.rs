//! The shop keeps the lesson's rules, over real connections.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking; this is for its helpers")]

use std::net::SocketAddr;
use std::path::Path;

use hyper::Method;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wholly_core::Payload;
use wholly_core::saga::{Compensation, Definition, Graph, StepDefinition};
use wholly_core::wire::{Answer, HttpAnswer, Operation, header};
use wholly_demo::client::{Http, PATIENCE, Reply};
use wholly_demo::shop::{self, CREATE_ORDER, ServiceKind, Stock, opening_stock};

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
            let routes = shop::router(kind, &database, stock).await.unwrap();
            axum::serve(listener, routes).await.unwrap();
        });
        Self { kind, address, serving }
    }

    async fn ask(&self, transaction: u32, operation: Operation, payload: Value) -> Answer {
        let call = self.call(transaction, self.kind.as_str(), operation.as_str(), &payload);
        meaning(&call.await, operation)
    }

    /// Asks for a saga's step.
    async fn ask_step(&self, saga: u32, step: &str, name: &str, body: Value) -> Answer {
        meaning(&self.call(saga, step, name, &body).await, Operation::Action)
    }

    async fn call(&self, transaction: u32, branch: &str, operation: &str, body: &Value) -> Reply {
        let transaction = format!("{transaction:032x}-0000000000000001");
        let headers = [
            (header::TRANSACTION, &*transaction),
            (header::BRANCH, branch),
            (header::OPERATION, operation),
        ];
        let (url, body) = (self.url(&format!("/{operation}")), body.to_string());
        Http::default().send(Method::POST, &url, &headers, body, PATIENCE).await.unwrap()
    }

    async fn post(&self, path: &str, payload: Value) -> (u16, Value) {
        let reply = Http::default().post(&self.url(path), &payload).await.unwrap();
        (reply.status, reply.body)
    }

    async fn books(&self) -> Value {
        let reply = Http::default().get(&self.url("/books")).await.unwrap();
        assert_eq!((reply.status, &reply.headers["content-type"]), (200, &JSON));
        reply.body
    }

    /// The standing of an order, as a reader is told.
    async fn standing(&self, order: &str) -> String {
        let reply = Http::default().get(&self.url(&format!("/orders/{order}"))).await.unwrap();
        reply.body["state"].as_str().unwrap().to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer of a participant, as a coordinator understands it.
fn meaning(reply: &Reply, operation: Operation) -> Answer {
    let body = match &reply.body {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    HttpAnswer {
        status: reply.status,
        answer: reply.headers.get(header::ANSWER).map(|value| value.to_str().unwrap()),
        retry_after: None,
        body: body.as_bytes(),
        cut_off: false,
        json: reply.headers.get("content-type") == Some(&JSON),
    }
    .meaning(operation, &[])
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

    let confirmed = json!({ "item": "item1", "status": "confirmed" });
    let orders = json!({ "orders": { "ORD001": confirmed }, "in_doubt": 0 });
    assert_eq!(order.books().await, orders);
    let payments = json!({ "payments": { "ORD001": 1000 }, "in_doubt": 0 });
    assert_eq!(payment.books().await, payments);
    let stock = json!({ "item1": line(8, 0), "item2": line(5, 0) });
    assert_eq!(inventory.books().await, json!({ "stock": stock, "in_doubt": 0 }));
}

/// The three services, and the saga's steps as the definition names them.
struct Shop {
    services: [Service; 3],
    steps: Vec<StepDefinition>,
    _directory: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = |kind| Service::start(kind, directory.path(), opening_stock());
        let [order, payment, inventory] = ServiceKind::ALL.map(start);
        let services = [order.await, payment.await, inventory.await];
        let definition: Definition = toml::from_str(CREATE_ORDER).unwrap();
        let graph = Graph::new(definition).unwrap();
        let steps = graph.definition().steps.clone();
        Self { services, steps, _directory: directory }
    }

    fn service(&self, step: &StepDefinition) -> &Service {
        let participant = step.participant.as_ref().unwrap().as_str();
        self.services.iter().find(|service| service.kind.as_str() == participant).unwrap()
    }

    /// An action is called like its step.
    async fn act(&self, saga: u32, step: &StepDefinition, input: &Value) -> Answer {
        let name = step.name.as_str();
        self.service(step).ask_step(saga, name, name, input.clone()).await
    }

    /// `None` where the step needs none.
    async fn compensate(&self, saga: u32, step: &StepDefinition, input: &Value) -> Option<Answer> {
        let Some(Compensation::By(name)) = &step.compensation else { return None };
        let body = json!({ "input": input });
        let (step, service) = (step.name.as_str(), self.service(step));
        Some(service.ask_step(saga, step, name.as_str(), body).await)
    }

    /// Runs a saga as a coordinator does. If it turns back: the step that refused, and why.
    async fn run(&self, saga: u32, input: &Value) -> Result<(), (String, String)> {
        for (at, step) in self.steps.iter().enumerate() {
            match self.act(saga, step, input).await {
                Answer::Done | Answer::DoneWith { .. } => {}
                Answer::Refused { reason } => {
                    for done in self.steps[..at].iter().rev() {
                        assert_eq!(self.compensate(saga, done, input).await, Some(Answer::Done));
                    }
                    return Err((step.name.to_string(), reason));
                }
                other => panic!("{}: {other:?}", step.name),
            }
        }
        Ok(())
    }

    /// Orders with their status, payments, and the stock of item1.
    async fn books(&self) -> (Value, Value, Value) {
        let [order, payment, inventory] = &self.services;
        let mut orders = order.books().await["orders"].take();
        for order in orders.as_object_mut().unwrap().values_mut() {
            assert_eq!(order["item"], "item1");
            *order = order["status"].take();
        }
        let stock = inventory.books().await["stock"]["item1"].take();
        (orders, payment.books().await["payments"].take(), stock)
    }
}

fn order(id: &str, quantity: u32, amount: i64) -> Value {
    json!({ "order_id": id, "item_id": "item1", "quantity": quantity, "amount": amount })
}

#[tokio::test]
async fn a_reader_is_told_how_an_order_stands_in_each_service() {
    let directory = tempfile::tempdir().unwrap();
    let start = |kind| Service::start(kind, directory.path(), opening_stock());
    let services = [
        (start(ServiceKind::Order).await, json!({ "order_id": "ORD001", "item": "item1" })),
        (start(ServiceKind::Payment).await, json!({ "order_id": "ORD001", "amount": 1000 })),
        (
            start(ServiceKind::Inventory).await,
            json!({ "order_id": "ORD001", "item_id": "item1", "quantity": 2 }),
        ),
    ];
    for (service, payload) in &services {
        assert_eq!(service.standing("ORD001").await, "none");
        service.ask(1, Prepare, payload.clone()).await;
        assert_eq!(service.standing("ORD001").await, "held");
        service.ask(1, Abort, Value::Null).await;
        let undone = if service.kind == ServiceKind::Inventory { "undone" } else { "none" };
        assert_eq!(service.standing("ORD001").await, undone);
        service.ask(2, Prepare, payload.clone()).await;
        service.ask(2, Commit, Value::Null).await;
        assert_eq!(service.standing("ORD001").await, "done");
        assert_eq!(service.standing("ORD002").await, "none");
    }
    let (orders, _) = &services[0];
    let input = order("ORD002", 1, 1000);
    orders.ask_step(3, "create-order", "create-order", input.clone()).await;
    assert_eq!(orders.standing("ORD002").await, "pending");
    orders.ask_step(3, "confirm-order", "confirm-order", input).await;
    assert_eq!(orders.standing("ORD002").await, "done");
}

#[tokio::test]
async fn the_lessons_two_sagas() {
    let shop = Shop::open().await;
    assert_eq!(shop.run(1, &order("ORD001", 2, 1000)).await, Ok(()));
    let after_the_first = (json!({ "ORD001": "confirmed" }), json!({ "ORD001": 1000 }), line(8, 0));
    assert_eq!(shop.books().await, after_the_first);

    let mut declined = order("ORD002", 1, 500);
    declined["simulate_payment_failure"] = true.into();
    let refused = Err(("process-payment".to_owned(), "Payment declined".to_owned()));
    assert_eq!(shop.run(2, &declined).await, refused);
    let (_, payments, stock) = after_the_first;
    let orders = json!({ "ORD001": "confirmed", "ORD002": "cancelled" });
    assert_eq!(shop.books().await, (orders, payments, stock));
}

#[tokio::test]
async fn an_action_takes_effect_once_and_its_compensation_too() {
    let shop = Shop::open().await;
    let input = order("ORD001", 2, 1000);
    let mut outputs = Vec::new();
    for step in &shop.steps {
        let first = shop.act(1, step, &input).await;
        assert_eq!(shop.act(1, step, &input).await, first, "{}", step.name);
        outputs.push(first);
    }
    let output = |value: Value| Answer::DoneWith { output: Payload::of(&value).unwrap() };
    let goods = output(json!({"order_id": "ORD001", "item_id": "item1", "quantity": 2}));
    let money = output(json!({"order_id": "ORD001", "amount": 1000}));
    assert_eq!(outputs, [Answer::Done, goods, money, Answer::Done]);
    let done = (json!({ "ORD001": "confirmed" }), json!({ "ORD001": 1000 }), line(8, 0));
    assert_eq!(shop.books().await, done);

    let input = order("ORD002", 3, 500);
    let before_the_pivot = &shop.steps[..3];
    for step in before_the_pivot {
        assert!(!matches!(shop.act(2, step, &input).await, Answer::Refused { .. }));
    }
    let orders = json!({ "ORD001": "confirmed", "ORD002": "created" });
    let payments = json!({ "ORD001": 1000, "ORD002": 500 });
    assert_eq!(shop.books().await, (orders, payments, line(5, 0)));
    for _ in 0..2 {
        for step in before_the_pivot {
            assert_eq!(shop.compensate(2, step, &input).await, Some(Answer::Done));
            let late = shop.act(2, step, &input).await;
            assert!(matches!(late, Answer::Refused { .. }), "{}: {late:?}", step.name);
        }
    }
    let orders = json!({ "ORD001": "confirmed", "ORD002": "cancelled" });
    assert_eq!(shop.books().await, (orders, json!({ "ORD001": 1000 }), line(8, 0)));
}

#[tokio::test]
async fn a_compensation_that_comes_first_changes_nothing_and_suspends_the_action() {
    let shop = Shop::open().await;
    // Another's, which a compensation must not touch.
    assert_eq!(shop.run(1, &order("ORD001", 2, 1000)).await, Ok(()));
    let before = shop.books().await;
    let input = order("ORD001", 2, 1000);
    for step in shop.steps.iter().filter(|step| step.compensation.is_some()) {
        for _ in 0..2 {
            assert_eq!(shop.compensate(2, step, &input).await, Some(Answer::Done));
            let late = shop.act(2, step, &input).await;
            assert!(matches!(late, Answer::Refused { .. }), "{}: {late:?}", step.name);
        }
    }
    assert_eq!(shop.books().await, before);
}

#[tokio::test]
async fn each_action_says_no_to_what_breaks_its_rule() {
    let shop = Shop::open().await;
    assert_eq!(shop.run(1, &order("ORD001", 2, 1000)).await, Ok(()));
    let before = shop.books().await;
    let wrong = |member: &str, value: Value| {
        let mut input = order("NEW", 1, 1);
        input[member] = value;
        input
    };
    let [create, reserve, pay, confirm] = &shop.steps[..] else { panic!("four steps") };
    let bad = [
        (create, wrong("order_id", json!("")), "order_id is required"),
        (create, wrong("order_id", json!(null)), "payload"),
        (create, order("ORD001", 1, 1), "there is an order ORD001 already"),
        (reserve, wrong("quantity", json!(-1)), "negative"),
        (
            reserve,
            wrong("quantity", json!(9)),
            "insufficient stock for item1: 9 asked, 8 available",
        ),
        (reserve, wrong("item_id", json!("item9")), "0 available"),
        (pay, wrong("amount", json!(-1)), "negative"),
        (pay, wrong("amount", json!("1")), "payload"),
        (pay, order("ORD001", 1, 1), "order ORD001 is paid already"),
        (confirm, order("ORD001", 1, 1), "there is no order ORD001 to confirm"),
        (confirm, order("NEW", 1, 1), "there is no order NEW to confirm"),
    ];
    for (saga, (step, input, why)) in (10..).zip(bad) {
        let first = shop.act(saga, step, &input).await;
        assert!(
            matches!(&first, Answer::Refused { reason } if reason.contains(why)),
            "{} {input}: {first:?}",
            step.name
        );
        assert_eq!(shop.act(saga, step, &input).await, first);
        if step.compensation.is_some() {
            assert_eq!(shop.compensate(saga, step, &input).await, Some(Answer::Done));
        }
    }
    assert_eq!(shop.books().await, before);
}

#[tokio::test]
async fn a_cancelled_order_can_be_placed_again_and_one_by_two_phase_is_not_cancelled() {
    let shop = Shop::open().await;
    let create = &shop.steps[0];
    let input = order("ORD001", 2, 1000);
    for saga in [1, 2] {
        assert_eq!(shop.act(saga, create, &input).await, Answer::Done);
        assert_eq!(shop.books().await.0, json!({ "ORD001": "created" }));
        assert_eq!(shop.compensate(saga, create, &input).await, Some(Answer::Done));
        assert_eq!(shop.books().await.0, json!({ "ORD001": "cancelled" }));
    }
    assert_eq!(shop.act(3, create, &input).await, Answer::Done);
    let by_two_phase = json!({ "order_id": "ORD001", "item": "item1" });
    let [orders, ..] = &shop.services;
    assert_eq!(orders.ask(4, CommitOnePhase, by_two_phase).await, Answer::Done);
    assert_eq!(shop.compensate(3, create, &input).await, Some(Answer::Done));
    assert_eq!(shop.books().await.0, json!({ "ORD001": "confirmed" }));
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
