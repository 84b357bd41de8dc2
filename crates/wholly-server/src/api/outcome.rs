//! The outcome of a transaction, for a prepared participant in doubt.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use wholly::{Coordinator, TransactionId};

use super::request::TransactionInPath;
use crate::problem::Problem;

#[derive(Serialize)]
pub struct OutcomeDocument {
    transaction: TransactionId,
    outcome: String,
}

pub async fn outcome(
    State(coordinator): State<Coordinator>,
    TransactionInPath(id): TransactionInPath,
) -> Result<Json<OutcomeDocument>, Problem> {
    let decision = coordinator.decision(id).await?;
    let outcome = decision.map_or_else(|| "undecided".to_owned(), |decision| decision.to_string());
    Ok(Json(OutcomeDocument { transaction: id, outcome }))
}
