//! What a prepared participant that is in doubt is told.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use wholly::{Coordinator, Decision, TransactionId};

use super::request::Id;
use crate::problem::Problem;

#[derive(Serialize)]
pub struct Told {
    transaction: TransactionId,
    outcome: &'static str,
}

pub async fn outcome(
    State(coordinator): State<Coordinator>,
    Id(id): Id,
) -> Result<Json<Told>, Problem> {
    let outcome = match coordinator.decision(id).await? {
        Some(Decision::Committed) => "committed",
        Some(Decision::Aborted) => "aborted",
        None => "undecided",
    };
    Ok(Json(Told { transaction: id, outcome }))
}
