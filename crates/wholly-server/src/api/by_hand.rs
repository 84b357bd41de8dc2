//! What a person does by hand. Every one of these needs a reason: somebody will ask for it.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use wholly::{Coordinator, Decision, ParticipantName};

use super::problem::{Kind, Problem};
use super::request::{Body, Branch, Id};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    #[serde(deserialize_with = "some_reason")]
    reason: String,
}

pub async fn abort(
    State(coordinator): State<Coordinator>,
    Id(id): Id,
    Body(Why { reason }): Body<Why>,
) -> Result<StatusCode, Problem> {
    tracing::info!(transaction = %id, reason, "abort by hand");
    coordinator.abort(id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn retry(
    State(coordinator): State<Coordinator>,
    Id(id): Id,
    Body(Why { reason }): Body<Why>,
) -> Result<StatusCode, Problem> {
    tracing::info!(transaction = %id, reason, "retry by hand");
    coordinator.retry(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    r#as: Decision,
    #[serde(deserialize_with = "some_reason")]
    reason: String,
}

pub async fn resolve(
    State(coordinator): State<Coordinator>,
    Id(id): Id,
    Branch(branch): Branch,
    Body(Resolution { r#as: ended, reason }): Body<Resolution>,
) -> Result<StatusCode, Problem> {
    let branch = ParticipantName::new(branch)
        .map_err(|why| Problem::new(Kind::NO_SUCH_BRANCH, why.to_string()))?;
    tracing::info!(transaction = %id, %branch, %ended, reason, "resolve by hand");
    coordinator.resolve(id, &branch, ended, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The most bytes that a reason may have: it is kept as it is, never cut.
const REASON_LIMIT: usize = 500;

fn some_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let reason = String::deserialize(deserializer)?;
    match reason.len() {
        _ if reason.trim().is_empty() => Err(serde::de::Error::custom("reason must not be empty")),
        0..=REASON_LIMIT => Ok(reason),
        bytes => Err(serde::de::Error::custom(format!(
            "reason is {bytes} bytes long; the limit is {REASON_LIMIT}"
        ))),
    }
}
