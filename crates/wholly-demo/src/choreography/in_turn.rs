//! The same shop as a first draft: the order service creates the order, calls payment and then
//! inventory with a time-out, and confirms it.
//!
//! If one of them fails, the order service gives up: it cancels its own order and says so. The work
//! of the others is not taken back, and the effect of an unanswered call is not known.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use wholly_participant::http::problem;

use super::calls::hop;
use super::store::{Change, ShopStore};
use super::{Ordered, Ports};
use crate::client::{Http, Reply};
use crate::shop::{ServiceKind, json};

/// The longest wait for an answer: as long as a coordinator's of the shop.
const PATIENCE: Duration = Duration::from_secs(1);

/// The routes by which a service is called.
pub(super) fn routes<S: ShopStore>(kind: ServiceKind, store: S, ports: Ports) -> Router {
    match kind {
        ServiceKind::Order => {
            let desk = Desk { store, http: Http::default(), ports };
            Router::new().route("/orders", post(place::<S>)).with_state(desk)
        }
        ServiceKind::Payment => hop(CHARGE, store, Change::Charge, None),
        ServiceKind::Inventory => hop(RESERVE, store, Change::Reserve, None),
    }
}

const CHARGE: &str = "/charge";
const RESERVE: &str = "/reserve";

#[derive(Clone)]
struct Desk<S> {
    store: S,
    http: Http,
    ports: Ports,
}

/// The reason for which an order was given up.
enum GaveUp {
    /// Somebody said no.
    Refused(String),
    /// Somebody said nothing, or nothing that is understood.
    Failed(String),
}

async fn place<S: ShopStore>(State(desk): State<Desk<S>>, Json(order): Json<Ordered>) -> Response {
    match desk.carry_out(&order).await {
        Ok(()) => json(StatusCode::OK, &json!({ "status": "confirmed" })),
        Err(gave_up) => {
            // A best effort, like the rest of it.
            let _ = desk.store.change(Change::Cancel, order).await;
            match gave_up {
                GaveUp::Refused(why) => problem(StatusCode::CONFLICT, &why),
                GaveUp::Failed(why) => problem(StatusCode::BAD_GATEWAY, &why),
            }
        }
    }
}

impl<S: ShopStore> Desk<S> {
    async fn carry_out(&self, order: &Ordered) -> Result<(), GaveUp> {
        let failed = |why: wholly_events::Failure| GaveUp::Failed(why.to_string());
        self.store.change(Change::Create, order.clone()).await.map_err(failed)?;
        self.call(ServiceKind::Payment, CHARGE, order).await?;
        self.call(ServiceKind::Inventory, RESERVE, order).await?;
        self.store.change(Change::Confirm, order.clone()).await.map_err(failed)
    }

    async fn call(&self, kind: ServiceKind, path: &str, order: &Ordered) -> Result<(), GaveUp> {
        let failed = |why: &dyn std::fmt::Display| GaveUp::Failed(format!("{kind}: {why}"));
        let body = serde_json::to_string(order).map_err(|why| failed(&why))?;
        let url = self.ports.url(kind, path);
        match self.http.send(Method::POST, &url, &[], body, PATIENCE).await {
            Ok(Reply { status: 200, .. }) => Ok(()),
            Ok(Reply { status: 409, body, .. }) => {
                let why = body["detail"].as_str().unwrap_or_default();
                Err(GaveUp::Refused(format!("{kind} refused: {why}")))
            }
            Ok(reply) => Err(failed(&format!("it answered {}", reply.status))),
            Err(why) => Err(failed(&why)),
        }
    }
}
