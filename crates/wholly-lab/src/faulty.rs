//! The planted faults of a service: a torture must find each of them.
//!
//! Two of them are the faults of a service without a barrier. They are made with the barrier that
//! is there: a call that it must not recognise is given another branch's name.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use wholly_core::wire::header;
use wholly_demo::process::lock;
use wholly_demo::service::operation;
use wholly_demo::shop::ServiceKind;

/// The faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wrong {
    /// Only says that an order is cancelled.
    OnlySaysSo,
    /// Reserves again when it is told again.
    DoesItTwice,
    /// Does not remember an abort, so that a prepare that comes after it is a new one.
    ForgetsAborts,
}

impl Wrong {
    /// The service that has the fault.
    pub fn service(self) -> ServiceKind {
        match self {
            Self::OnlySaysSo => ServiceKind::Order,
            Self::DoesItTwice | Self::ForgetsAborts => ServiceKind::Inventory,
        }
    }
}

/// Passes every call on as the fault has it.
#[derive(Clone)]
pub struct Faulty {
    wrong: Wrong,
    /// The branches and steps for which the service has done what must not be forgotten.
    done: Arc<Mutex<BTreeSet<[HeaderValue; 2]>>>,
}

impl Faulty {
    pub fn new(wrong: Wrong) -> Self {
        Self { wrong, done: Arc::default() }
    }

    pub async fn run(State(faulty): State<Self>, mut call: Request, next: Next) -> Response {
        let Some(operation) = operation(call.headers()) else { return next.run(call).await };
        let (kept, forgotten) = match faulty.wrong {
            Wrong::OnlySaysSo if operation == "cancel-order" => return Response::new(Body::empty()),
            Wrong::OnlySaysSo => return next.run(call).await,
            Wrong::DoesItTwice => ("reserve-inventory", "reserve-inventory"),
            Wrong::ForgetsAborts => ("abort", "prepare"),
        };
        let branch = branch(call.headers());
        let known = branch.as_ref().is_some_and(|branch| lock(&faulty.done).contains(branch));
        if operation == forgotten && known {
            let other = HeaderValue::from_static("another");
            call.headers_mut().insert(HeaderName::from_static(header::BRANCH), other);
        }
        let response = next.run(call).await;
        if operation == kept && response.status().is_success() {
            lock(&faulty.done).extend(branch);
        }
        response
    }
}

fn branch(headers: &HeaderMap) -> Option<[HeaderValue; 2]> {
    Some([headers.get(header::TRANSACTION)?.clone(), headers.get(header::BRANCH)?.clone()])
}
