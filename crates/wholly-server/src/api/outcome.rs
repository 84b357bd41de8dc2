//! What a prepared participant that is in doubt is told.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use wholly::{Coordinator, Decision, TransactionId};

use super::request::TransactionInPath;
use crate::problem::Problem;

#[derive(Serialize)]
pub struct OutcomeDocument {
    transaction: TransactionId,
    outcome: &'static str,
}

pub async fn outcome(
    State(coordinator): State<Coordinator>,
    TransactionInPath(id): TransactionInPath,
) -> Result<Json<OutcomeDocument>, Problem> {
    let outcome = match coordinator.decision(id).await? {
        Some(Decision::Committed) => "committed",
        Some(Decision::Aborted) => "aborted",
        None => "undecided",
    };
    Ok(Json(OutcomeDocument { transaction: id, outcome }))
}
