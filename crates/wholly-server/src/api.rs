//! The HTTP API: routes, and nothing but translation behind them.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v1/transactions` | submits a transaction, and waits until it has settled |
//! | `GET /v1/transactions` | the newest transactions' ids |
//! | `GET /v1/transactions/{id}` | one transaction with its branches and its history |
//! | `GET /v1/transactions/{id}/events` | what is recorded of it, live, until it has settled |
//! | `GET /v1/events` | what is recorded of all transactions, live |
//! | `POST /v1/transactions/{id}/abort` | aborts it, if it is not decided |
//! | `POST /v1/transactions/{id}/retry` | asks what is outstanding again, now |
//! | `POST /v1/transactions/{id}/branches/{branch}/resolve` | ends a branch by hand |
//! | `GET /v1/sagas` | the sagas that can be submitted by name and version |
//! | `GET /v1/sagas/{name}/{version}` | one saga's definition |
//! | `PUT /v1/sagas/{name}/{version}` | stores a definition, which never changes then |
//! | `GET /openapi.json` | this API as a document |
//! | `GET /healthz` | whether the coordinator takes transactions |
//!
//! Every error is a [`problem`] document. What is done by hand needs a reason.

mod by_hand;
mod events;
mod openapi;
mod problem;
mod read;
mod request;
mod sagas;
mod submit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{Method, Uri};
use axum::routing::MethodRouter;
use wholly::{Coordinator, Payload, Settings};

use crate::sagas::Sagas;
pub use events::Hub;
use problem::{Kind, Problem};

/// The most that a request's body may have, in bytes: every payload that a transaction may carry,
/// and a quarter more for what is around them.
const BODY_LIMIT: usize = Settings::BRANCH_LIMIT * Payload::LIMIT / 4 * 5;

/// What the routes work with.
#[derive(Clone)]
struct Served {
    coordinator: Coordinator,
    sagas: Arc<Sagas>,
    hub: Hub,
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

impl FromRef<Served> for Hub {
    fn from_ref(served: &Served) -> Self {
        served.hub.clone()
    }
}

/// The routes, and for the tests their list: what is here has to be in `openapi.json`.
macro_rules! routes {
    ($($path:literal => $($method:ident $handler:path),+;)*) => {
        fn routes() -> Router<Served> {
            Router::new()$(.route($path, MethodRouter::new()$(.$method($handler))+))*
        }

        /// The methods and paths.
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),*];
    };
}

routes! {
    "/v1/transactions" => post submit::submit, get read::list;
    "/v1/transactions/{id}" => get read::transaction;
    "/v1/transactions/{id}/events" => get events::of_one;
    "/v1/transactions/{id}/abort" => post by_hand::abort;
    "/v1/transactions/{id}/retry" => post by_hand::retry;
    "/v1/transactions/{id}/branches/{branch}/resolve" => post by_hand::resolve;
    "/v1/events" => get events::of_all;
    "/v1/sagas" => get sagas::list;
    "/v1/sagas/{name}/{version}" => get sagas::definition, put sagas::define;
    "/healthz" => get read::health;
    "/openapi.json" => get openapi::document;
}

/// The API of this coordinator and these sagas, for those who listen at this hub.
pub fn router(coordinator: Coordinator, sagas: Sagas, hub: Hub) -> Router {
    routes()
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Served { coordinator, sagas: Arc::new(sagas), hub })
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
