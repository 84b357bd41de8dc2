//! The routes that read one transaction.

use axum::Json;
use axum::extract::State;
use wholly::{Coordinator, Snapshot};

use super::request::TransactionInPath;
use crate::problem::{Kind, Problem};

pub async fn transaction(
    State(coordinator): State<Coordinator>,
    TransactionInPath(id): TransactionInPath,
) -> Result<Json<Snapshot>, Problem> {
    match coordinator.get(id).await? {
        Some(snapshot) => Ok(Json(snapshot)),
        None => {
            Err(Problem::new(Kind::NO_SUCH_TRANSACTION, format!("there is no transaction {id}")))
        }
    }
}
