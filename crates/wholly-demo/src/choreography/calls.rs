//! The same shop as plain services make it: each makes its change in a committed transaction of its
//! own and then calls the next one. There is no outbox, no inbox and no way back: it is what events
//! are measured beside.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use rusqlite::Connection;
use serde_json::json;
use wholly_participant::Failure;
use wholly_participant::http::problem;
use wholly_participant::sqlite::{Database, TransactionError};

use super::{Ordered, Ports};
use crate::client::{Http, PATIENCE, Reply};
use crate::shop::{ServiceKind, failed, inventory, json, order, payment};

/// The routes by which a service is called.
pub(super) fn routes(kind: ServiceKind, database: Database, ports: Ports) -> Router {
    let http = Http::new();
    let hop = |path: &str, change: Change, next: Option<String>| {
        let (database, http) = (database.clone(), http.clone());
        Router::new().route(path, post(take)).with_state(Hop { database, http, change, next })
    };
    match kind {
        ServiceKind::Order => {
            let next = ports.url(ServiceKind::Inventory, "/reserve");
            hop("/orders", create, Some(next)).merge(hop("/confirm", confirm, None))
        }
        ServiceKind::Inventory => {
            hop("/reserve", reserve, Some(ports.url(ServiceKind::Payment, "/charge")))
        }
        ServiceKind::Payment => {
            hop("/charge", charge, Some(ports.url(ServiceKind::Order, "/confirm")))
        }
    }
}

/// A change in a service's books.
type Change = fn(&Connection, &Ordered) -> Result<(), Failure>;

#[derive(Clone)]
struct Hop {
    database: Database,
    http: Http,
    change: Change,
    /// Who is called afterwards.
    next: Option<String>,
}

async fn take(State(hop): State<Hop>, body: Bytes) -> Response {
    let ordered: Ordered = match serde_json::from_slice(&body) {
        Ok(ordered) => ordered,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let change = hop.change;
    match hop.database.transaction(move |db| change(db, &ordered)).await {
        Ok(()) => {}
        Err(TransactionError::Work(why)) => return problem(StatusCode::CONFLICT, &why.to_string()),
        Err(error) => return failed(&error),
    }
    let Some(next) = &hop.next else { return json(StatusCode::OK, &json!({})) };
    // It was read as JSON, so it is text.
    let body = String::from_utf8_lossy(&body).into_owned();
    match hop.http.send(Method::POST, next, &[], body, PATIENCE).await {
        Ok(Reply { status: 200, .. }) => json(StatusCode::OK, &json!({ "status": "confirmed" })),
        Ok(reply) => problem(StatusCode::BAD_GATEWAY, &format!("{next}: {reply:?}")),
        Err(error) => problem(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn create(db: &Connection, asked: &Ordered) -> Result<(), Failure> {
    let created = order::create(db, &asked.order_id, &asked.item_id)?;
    created.then_some(()).ok_or_else(|| "there is such an order already".into())
}

fn reserve(db: &Connection, asked: &Ordered) -> Result<(), Failure> {
    Ok(inventory::take(db, &asked.goods())??)
}

fn charge(db: &Connection, asked: &Ordered) -> Result<(), Failure> {
    Ok(payment::charge(db, &asked.charge())??)
}

fn confirm(db: &Connection, asked: &Ordered) -> Result<(), Failure> {
    let ended = order::end(db, &asked.order_id, "confirmed")?;
    ended.then_some(()).ok_or_else(|| "there is no such order to confirm".into())
}
