//! The desk, which takes orders from clients and tells those who wait how they ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use wholly_events::choreography::EndedReaction;
use wholly_events::{Failure, Service};
use wholly_participant::http::problem;

use super::Ordered;
use super::process::ServiceReport;
use super::store::{Begun, ShopStore};
use crate::process::lock;
use crate::shop::json;

/// The desk of the order service.
#[derive(Clone)]
pub(super) struct Desk<S: ShopStore> {
    pub(super) store: S,
    pub(super) service: Service<S>,
    pub(super) waiting: WaitingClients,
    pub(super) tell: bool,
    /// True if it says in a second transaction that there is an order: what no service may do.
    pub(super) publishes_apart: bool,
}

/// `POST /orders`: takes an order, once; with `wait_ms` it is answered when the order has ended.
pub(super) fn routes<S: ShopStore>(desk: Desk<S>) -> Router {
    Router::new().route("/orders", post(place::<S>)).with_state(desk)
}

/// Clients that wait for the end of their orders.
#[derive(Clone, Default)]
pub(super) struct WaitingClients(Arc<Mutex<HashMap<String, Vec<Answer>>>>);

/// The clients that wait for the state in which an order ends.
type Answer = oneshot::Sender<&'static str>;

impl WaitingClients {
    fn wait_for(&self, order: &str) -> oneshot::Receiver<&'static str> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.0).entry(order.to_owned()).or_default().push(sender);
        receiver
    }

    /// Tells them where an order has ended.
    pub(super) fn observe(&self, ended: &EndedReaction<'_>) {
        let status = match ended.emitted.map(|event| event.kind().as_str()) {
            Some("OrderConfirmed") => "confirmed",
            Some("OrderCancelled") => "cancelled",
            _ => return,
        };
        let waiting = lock(&self.0).remove(ended.event.correlation.as_str());
        // Who has hung up need not know.
        waiting.into_iter().flatten().for_each(|client| _ = client.send(status));
    }
}

#[derive(Deserialize)]
struct Asked {
    wait_ms: Option<u64>,
}

async fn place<S: ShopStore>(
    State(desk): State<Desk<S>>,
    Query(asked): Query<Asked>,
    Json(order): Json<Ordered>,
) -> Response {
    let id = order.order_id.clone();
    // Before the order is there, so that its end cannot be missed.
    let ended = asked.wait_ms.map(|wait| (desk.waiting.wait_for(&id), Duration::from_millis(wait)));
    let begun = match desk.begin(order).await {
        Ok(begun) => begun,
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    if begun == Begun::New {
        desk.service.wake();
        if desk.tell {
            ServiceReport::published("OrderCreated", &id).say();
        }
    }
    let status = match (ended, begun) {
        (_, Begun::There(status)) if status != "created" => {
            // It ended before: nobody will be told of that any more.
            lock(&desk.waiting.0).remove(&id);
            status
        }
        (Some((ended, wait)), _) => match tokio::time::timeout(wait, ended).await {
            Ok(Ok(status)) => status.to_owned(),
            Ok(Err(_)) | Err(_) => "created".to_owned(),
        },
        _ => "created".to_owned(),
    };
    let code = if status == "created" { StatusCode::ACCEPTED } else { StatusCode::OK };
    json(code, &json!({ "status": status }))
}

/// The time for which what is wrong on purpose stays half-done, so that a crash finds it so.
const HALF_DONE: Duration = Duration::from_millis(20);

impl<S: ShopStore> Desk<S> {
    async fn begin(&self, order: Ordered) -> Result<Begun, Failure> {
        let begun = self.store.begin(order.clone(), !self.publishes_apart).await?;
        if self.publishes_apart && begun == Begun::New {
            tokio::time::sleep(HALF_DONE).await;
            self.store.say_apart(order).await?;
        }
        Ok(begun)
    }
}
