//! Orders by events: takes them from clients, and ends them by what the other services say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use wholly_events::choreography::Ended;
use wholly_events::{Choreography, Failure, Incoming, NewEvent, Reacted, Service};
use wholly_participant::http::problem;
use wholly_participant::sqlite::{Database, TransactionError};

use super::process::Told;
use super::{Flow, Ordered, Refusal, Step};
use crate::shop::order::{create, end};
use crate::shop::{ServiceKind, failed, json};

/// What it declares, and whom it follows.
pub(super) fn choreography(flow: Flow) -> (Choreography<Database>, &'static [ServiceKind]) {
    let declared = Choreography::new("order").begins("OrderCreated");
    let declared = match flow {
        Flow::Parallel => declared
            .on("InventoryReserved", join)
            .emits("OrderConfirmed")
            .on("PaymentTaken", join)
            .emits("OrderConfirmed")
            // Each is said once its side has ended; the other side has refused, and so ended before.
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled")
            .on("PaymentRefunded", cancel)
            .emits("OrderCancelled"),
        Flow::Sequential | Flow::Calls => declared
            .on("PaymentTaken", confirm)
            .emits("OrderConfirmed")
            .on("InventoryRefused", cancel)
            .emits("OrderCancelled")
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled"),
    };
    let declared = declared.ends("OrderConfirmed").ends("OrderCancelled");
    (declared, &[ServiceKind::Inventory, ServiceKind::Payment])
}

/// Makes the table of what has come of an order that awaits two events.
pub(super) async fn create_table(database: &Database) -> Result<(), TransactionError> {
    let table = "CREATE TABLE IF NOT EXISTS arrived (
        order_id TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (order_id, event)
    ) STRICT, WITHOUT ROWID";
    database.transaction(move |db| Ok(db.execute_batch(table)?)).await
}

/// Confirms the order once both events have come.
fn join(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    db.prepare_cached("INSERT INTO arrived VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((&order.order_id, order.event.kind.as_str()))?;
    let arrived: u32 = db
        .prepare_cached("SELECT count(*) FROM arrived WHERE order_id = ?1")?
        .query_row([&order.order_id], |row| row.get(0))?;
    match arrived {
        2 => confirm(db, order),
        _ => Ok(Reacted::Silent),
    }
}

fn confirm(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    match end(db, &order.order_id, "confirmed")? {
        true => Ok(Reacted::Done(order.data)),
        false => Ok(Reacted::Silent),
    }
}

/// Cancels the order, once: where both sides refuse, both say that they have ended.
fn cancel(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    match end(db, &refused.order_id, "cancelled")? {
        true => Ok(Reacted::Done(refused.data)),
        false => Ok(Reacted::Silent),
    }
}

/// Clients that wait for the end of their orders.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<String, Vec<Answer>>>>);

/// Who waits for the state in which an order ends.
type Answer = oneshot::Sender<&'static str>;

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<&'static str>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, order: &str) -> oneshot::Receiver<&'static str> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(order.to_owned()).or_default().push(sender);
        receiver
    }

    /// Tells them where an order has ended.
    pub(super) fn observe(&self, ended: &Ended<'_>) {
        let status = match ended.emitted.map(|event| event.kind().as_str()) {
            Some("OrderConfirmed") => "confirmed",
            Some("OrderCancelled") => "cancelled",
            _ => return,
        };
        let waiting = self.lock().remove(ended.event.correlation.as_str());
        // Who has hung up need not know.
        waiting.into_iter().flatten().for_each(|client| _ = client.send(status));
    }
}

/// What takes orders.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) database: Database,
    pub(super) service: Service<Database>,
    pub(super) waiting: Waiting,
    pub(super) tell: bool,
}

/// `POST /orders`: takes an order, once; with `wait_ms` it is answered when the order has ended.
pub(super) fn routes(desk: Desk) -> Router {
    Router::new().route("/orders", post(place)).with_state(desk)
}

#[derive(Deserialize)]
struct Asked {
    wait_ms: Option<u64>,
}

async fn place(State(desk): State<Desk>, Query(asked): Query<Asked>, body: Bytes) -> Response {
    let order: Ordered = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let id = order.order_id.clone();
    // Before the order is there, so that its end cannot be missed.
    let ended = asked.wait_ms.map(|wait| (desk.waiting.wait_for(&id), Duration::from_millis(wait)));
    let status = match desk.database.transaction(move |db| begin(db, &order)).await {
        Ok(status) => status,
        Err(error) => return failed(&error),
    };
    if status == NEW {
        desk.service.wake();
        if desk.tell {
            Told::published("OrderCreated", &id).say();
        }
    }
    let is_open = status == NEW || status == "created";
    let status = match (ended, is_open) {
        (Some((ended, wait)), true) => match tokio::time::timeout(wait, ended).await {
            Ok(Ok(status)) => status.to_owned(),
            Ok(Err(_)) | Err(_) => "created".to_owned(),
        },
        (_, true) => "created".to_owned(),
        (_, false) => status,
    };
    let code = if status == "created" { StatusCode::ACCEPTED } else { StatusCode::OK };
    json(code, &json!({ "status": status }))
}

const NEW: &str = "new";

/// Creates the order and says so, in one transaction; returns how it stands.
fn begin(db: &Connection, order: &Ordered) -> Result<String, Failure> {
    if create(db, &order.order_id, &order.item_id)? {
        let event = NewEvent::new("OrderCreated", &order.order_id, order)?;
        wholly_events::rusqlite::publish(db, &event)?;
        return Ok(NEW.to_owned());
    }
    let status = db
        .prepare_cached("SELECT status FROM orders WHERE order_id = ?1")?
        .query_row([&order.order_id], |row| row.get(0))?;
    Ok(status)
}
