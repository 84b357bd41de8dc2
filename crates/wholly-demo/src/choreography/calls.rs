//! The same shop as plain services make it: each makes its change in a committed transaction of its
//! own and then calls the next one. There is no outbox, no inbox and no way back: it is what events
//! are measured beside.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::json;
use wholly_participant::http::problem;

use super::store::{Change, ShopStore};
use super::{Ordered, Ports};
use crate::client::{Http, PATIENCE, Reply};
use crate::shop::{ServiceKind, json};

/// The routes by which a service is called.
pub(super) fn routes<S: ShopStore>(kind: ServiceKind, store: S, ports: Ports) -> Router {
    let http = Http::default();
    let hop = |path: &str, change: Change, next: Option<String>| {
        let (store, http) = (store.clone(), http.clone());
        Router::new().route(path, post(take::<S>)).with_state(Hop { store, http, change, next })
    };
    match kind {
        ServiceKind::Order => {
            let next = ports.url(ServiceKind::Inventory, "/reserve");
            hop("/orders", Change::Create, Some(next)).merge(hop("/confirm", Change::Confirm, None))
        }
        ServiceKind::Inventory => {
            hop("/reserve", Change::Reserve, Some(ports.url(ServiceKind::Payment, "/charge")))
        }
        ServiceKind::Payment => {
            hop("/charge", Change::Charge, Some(ports.url(ServiceKind::Order, "/confirm")))
        }
    }
}

#[derive(Clone)]
struct Hop<S> {
    store: S,
    http: Http,
    change: Change,
    /// Who is called afterwards.
    next: Option<String>,
}

async fn take<S: ShopStore>(State(hop): State<Hop<S>>, body: Bytes) -> Response {
    let ordered: Ordered = match serde_json::from_slice(&body) {
        Ok(ordered) => ordered,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if let Err(why) = hop.store.change(hop.change, ordered).await {
        return problem(StatusCode::CONFLICT, &why.to_string());
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
