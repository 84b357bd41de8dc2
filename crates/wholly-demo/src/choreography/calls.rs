//! The same shop as plain services make it: each makes its change in a committed transaction of its
//! own and then calls the next one. There is no outbox, no inbox and no way back: it is what events
//! are measured beside.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use wholly_participant::http::problem;

use super::store::{Change, ShopStore};
use super::{Ordered, Ports};
use crate::client::{Http, Reply};
use crate::shop::{ServiceKind, json};

/// The routes by which a service is called.
pub(super) fn routes<S: ShopStore>(kind: ServiceKind, store: S, ports: Ports) -> Router {
    let next = |kind, path| Some(ports.url(kind, path));
    match kind {
        ServiceKind::Order => {
            let next = next(ServiceKind::Inventory, "/reserve");
            let placed = hop("/orders", store.clone(), Change::Create, next);
            placed.merge(hop("/confirm", store, Change::Confirm, None))
        }
        ServiceKind::Inventory => {
            hop("/reserve", store, Change::Reserve, next(ServiceKind::Payment, "/charge"))
        }
        ServiceKind::Payment => {
            hop("/charge", store, Change::Charge, next(ServiceKind::Order, "/confirm"))
        }
    }
}

/// A route that makes a change, and then calls the next service.
pub(super) fn hop<S: ShopStore>(
    path: &str,
    store: S,
    change: Change,
    next: Option<String>,
) -> Router {
    let hop = Hop { store, http: Http::default(), change, next };
    Router::new().route(path, post(take::<S>)).with_state(hop)
}

#[derive(Clone)]
struct Hop<S> {
    store: S,
    http: Http,
    change: Change,
    /// The URL that is called afterwards.
    next: Option<String>,
}

async fn take<S: ShopStore>(State(hop): State<Hop<S>>, Json(ordered): Json<Ordered>) -> Response {
    let body = json!(ordered);
    if let Err(why) = hop.store.change(hop.change, ordered).await {
        return problem(StatusCode::CONFLICT, &why.to_string());
    }
    let Some(next) = &hop.next else { return json(StatusCode::OK, &json!({})) };
    match hop.http.post(next, &body).await {
        Ok(Reply { status: 200, .. }) => json(StatusCode::OK, &json!({ "status": "confirmed" })),
        Ok(reply) => problem(StatusCode::BAD_GATEWAY, &format!("{next}: {reply:?}")),
        Err(error) => problem(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}
