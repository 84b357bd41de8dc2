//! The HTTP API: routes, and nothing but translation behind them.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v1/transactions` | submits a transaction, and waits until it has settled |
//! | `GET /v1/transactions` | the transactions that match, newest first, in pages |
//! | `GET /v1/transactions/{id}` | one transaction with its branches and its history |
//! | `POST /v1/transactions/{id}/abort` | aborts it, if it is not decided |
//! | `POST /v1/transactions/{id}/retry` | asks what is outstanding again, now; releases what is held |
//! | `POST /v1/transactions/{id}/branches/{branch}/resolve` | ends a branch by hand |
//! | `GET /v1/outcome/{id}` | what was decided, for a prepared participant that asks |
//! | `GET /v1/sagas` | the sagas that can be submitted by name and version |
//! | `GET /v1/sagas/{name}/{version}` | one saga's definition |
//! | `PUT /v1/sagas/{name}/{version}` | stores a definition, which never changes then |
//! | `GET /v1/participants` | who can be called, and how they answered |
//! | `GET /healthz` | 200 as long as the process serves |
//! | `GET /readyz` | 200 while the coordinator takes transactions |
//! | `GET /metrics` | what is counted, for Prometheus |
//!
//! Every error is a [`problem`] document. What is done by hand needs a reason.

mod by_hand;
mod list;
mod observe;
mod outcome;
mod problem;
mod read;
mod request;
mod sagas;
mod submit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use wholly::{Coordinator, Payload, Settings};

use crate::metrics::Metrics;
use crate::sagas::Sagas;
use problem::{Kind, Problem};

/// The most that a request's body may have, in bytes: every payload that a transaction may carry,
/// and a quarter more for what is around them.
const BODY_LIMIT: usize = Settings::BRANCH_LIMIT * Payload::LIMIT / 4 * 5;

/// What the routes work with.
#[derive(Clone)]
struct Served {
    coordinator: Coordinator,
    sagas: Arc<Sagas>,
    metrics: Arc<Metrics>,
}

impl FromRef<Served> for Coordinator {
    fn from_ref(served: &Served) -> Self {
        served.coordinator.clone()
    }
}

impl FromRef<Served> for Arc<Sagas> {
    fn from_ref(served: &Served) -> Self {
        Arc::clone(&served.sagas)
    }
}

impl FromRef<Served> for Arc<Metrics> {
    fn from_ref(served: &Served) -> Self {
        Arc::clone(&served.metrics)
    }
}

/// The API of this coordinator and these sagas.
pub fn router(coordinator: Coordinator, sagas: Sagas) -> Router {
    let metrics = Arc::new(Metrics::of(coordinator.clone()));
    Router::new()
        .route("/v1/transactions", post(submit::submit).get(list::list))
        .route("/v1/transactions/{id}", get(read::transaction))
        .route("/v1/transactions/{id}/abort", post(by_hand::abort))
        .route("/v1/transactions/{id}/retry", post(by_hand::retry))
        .route("/v1/transactions/{id}/branches/{branch}/resolve", post(by_hand::resolve))
        .route("/v1/outcome/{id}", get(outcome::outcome))
        .route("/v1/sagas", get(sagas::list))
        .route("/v1/sagas/{name}/{version}", get(sagas::definition).put(sagas::define))
        .route("/v1/participants", get(observe::participants))
        .route("/healthz", get(observe::health))
        .route("/readyz", get(observe::ready))
        .route("/metrics", get(observe::metrics))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&metrics), observe::count))
        .with_state(Served { coordinator, sagas: Arc::new(sagas), metrics })
}

async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(Kind::NO_SUCH_ROUTE, format!("there is nothing at {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::NO_SUCH_METHOD,
        format!("{} does not take {method}; the header Allow names what it takes", uri.path()),
    )
}
