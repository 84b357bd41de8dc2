//! What can be asked: one transaction, the newest ones, how the coordinator is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use wholly::{Coordinator, Health, Snapshot, TransactionId};

use super::problem::{Kind, Problem};
use super::request::{Asked, Id};

pub async fn transaction(
    State(coordinator): State<Coordinator>,
    Id(id): Id,
) -> Result<Json<Snapshot>, Problem> {
    match coordinator.get(id).await? {
        Some(snapshot) => Ok(Json(snapshot)),
        None => {
            Err(Problem::new(Kind::NO_SUCH_TRANSACTION, format!("there is no transaction {id}")))
        }
    }
}

/// Which of the transactions: the newest `limit`, older than `before`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    #[serde(default = "a_hundred")]
    limit: usize,
    before: Option<TransactionId>,
}

fn a_hundred() -> usize {
    100
}

/// The most ids that one answer has.
const LIMIT: usize = 1_000;

#[derive(Serialize)]
pub struct Listed {
    transactions: Vec<TransactionId>,
}

pub async fn list(
    State(coordinator): State<Coordinator>,
    Asked(Page { limit, before }): Asked<Page>,
) -> Result<Json<Listed>, Problem> {
    if !(1..=LIMIT).contains(&limit) {
        let detail = format!("a limit of {limit} is out of range; it is from 1 to {LIMIT}");
        return Err(Problem::new(Kind::INVALID_REQUEST, detail));
    }
    Ok(Json(Listed { transactions: coordinator.list(before, limit).await? }))
}

/// 503 tells a load balancer to send nothing here; the process is alive all the same.
pub async fn health(State(coordinator): State<Coordinator>) -> Response {
    #[derive(Serialize)]
    struct Body {
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    }
    let (code, status, why) = match coordinator.health() {
        Health::Ready => (StatusCode::OK, "ready", None),
        Health::LogFailed { why } => (StatusCode::SERVICE_UNAVAILABLE, "log-failed", Some(why)),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "stopped", None),
    };
    (code, Json(Body { status, why })).into_response()
}
