//! What can be asked of transactions: one of them, and the newest.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use wholly::{Coordinator, Snapshot, TransactionId};

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
