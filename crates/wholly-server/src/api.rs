//! The HTTP API: routes, and nothing but translation behind them.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v1/transactions` | submits a transaction, and waits until it has settled |
//! | `GET /v1/transactions` | the transactions that match, newest first, in pages |
//! | `GET /v1/transactions/{id}` | one transaction with its branches and its history |
//! | `GET /v1/transactions/{id}/events` | what is recorded of it, live, until it has settled |
//! | `GET /v1/choreographies` | the choreographies that match, newest first, in pages |
//! | `GET /v1/choreographies/{correlation}` | one choreography with its timeline |
//! | `GET /v1/events` | what is recorded of all transactions, live |
//! | `POST /v1/transactions/{id}/abort` | aborts it, if it is not decided |
//! | `POST /v1/transactions/{id}/retry` | asks what is outstanding again, now; releases what is quarantined |
//! | `POST /v1/transactions/{id}/end` | ends what was quarantined because its records cannot be used |
//! | `POST /v1/transactions/{id}/branches/{branch}/resolve` | ends a branch by hand |
//! | `GET /v1/outcome/{id}` | what was decided, for a prepared participant that asks |
//! | `GET /v1/sagas` | the sagas that can be submitted by name and version |
//! | `GET /v1/sagas/{name}/{version}` | one saga's definition |
//! | `PUT /v1/sagas/{name}/{version}` | stores a definition, which never changes then |
//! | `GET /v1/audit` | what was done by hand, or refused, newest first |
//! | `POST /v1/reload` | reads the configuration again |
//! | `GET /v1/participants` | who can be called, and how they answered |
//! | `GET /healthz` | 200 as long as the process serves |
//! | `GET /readyz` | 200 while the coordinator takes transactions, and nobody told the server to stop |
//! | `GET /metrics` | what is counted, for Prometheus |
//! | `GET /openapi.json` | this API as a document |
//!
//! Every error is a [`problem`](crate::problem) document. An action by hand needs a reason. The
//! requirement of each route is in [`roles`], where a new route has to be named, too.

mod by_hand;
mod choreographies;
mod events;
mod guard;
mod list;
mod observe;
mod openapi;
mod operate;
mod outcome;
mod page;
mod read;
mod request;
mod roles;
mod sagas;
mod submit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use tokio::sync::mpsc;
use wholly::{Coordinator, KeyScope};

use crate::config::BODY_LIMIT;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::reload::ReloadRequest;
use crate::sagas::Sagas;
use crate::stopping::Stopping;
use crate::traces::Traces;
pub use events::Broadcaster;
pub use guard::CallerName;

/// The state of the routes.
#[derive(Clone, FromRef)]
pub struct Served {
    pub coordinator: Coordinator,
    pub sagas: Arc<Sagas>,
    /// `None` if no feed is followed.
    pub observer: choreographies::Observing,
    /// `None` if nothing is counted.
    pub metrics: Option<Arc<Metrics>>,
    pub gate: Arc<Gate>,
    pub broadcaster: Broadcaster,
    pub traces: Traces,
    pub reload: mpsc::Sender<ReloadRequest>,
    /// The scope of clients' keys.
    pub key_scope: KeyScope,
    pub stopping: Stopping,
}

/// The routes, and for the tests their list: each has to be in `openapi.json`.
macro_rules! routes {
    ($($path:literal => $($method:ident $handler:path),+;)*) => {
        fn routes() -> Router<Served> {
            Router::new()$(.route($path, MethodRouter::new()$(.$method($handler))+))*
        }

        /// The methods and paths.
        #[cfg(test)]
        pub const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),*];
    };
}

routes! {
    "/v1/transactions" => post submit::submit, get list::list;
    "/v1/transactions/{id}" => get read::transaction;
    "/v1/transactions/{id}/events" => get events::of_one;
    "/v1/transactions/{id}/abort" => post by_hand::abort;
    "/v1/transactions/{id}/retry" => post by_hand::retry;
    "/v1/transactions/{id}/end" => post by_hand::end;
    "/v1/transactions/{id}/branches/{branch}/resolve" => post by_hand::resolve;
    "/v1/events" => get events::of_all;
    "/v1/choreographies" => get choreographies::list;
    "/v1/choreographies/{correlation}" => get choreographies::choreography;
    "/v1/sagas" => get sagas::list;
    "/v1/sagas/{name}/{version}" => get sagas::definition, put sagas::define;
    "/v1/outcome/{id}" => get outcome::outcome;
    "/v1/participants" => get observe::participants;
    "/v1/audit" => get operate::audit;
    "/v1/reload" => post operate::reload;
    "/healthz" => get observe::health;
    "/readyz" => get observe::ready;
    "/metrics" => get observe::metrics;
    "/openapi.json" => get openapi::document;
}

/// The API, behind the gate.
pub fn router(served: Served) -> Router {
    let routes = routes()
        .fallback(no_such_route)
        .layer(from_fn_with_state(Arc::clone(&served.gate), guard::guard))
        // Outside the guard, which reads bodies, too.
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    let routes = match &served.metrics {
        Some(metrics) => routes.layer(from_fn_with_state(Arc::clone(metrics), observe::count)),
        None => routes,
    };
    routes.with_state(served)
}

async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(Kind::NO_SUCH_ROUTE, format!("there is nothing at {}", uri.path()))
}
