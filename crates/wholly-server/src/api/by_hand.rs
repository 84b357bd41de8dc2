//! The actions of operators on transactions. Each needs a reason, which is recorded.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use wholly::{BranchName, Coordinator, Decision, Ended, Payload, Resolution};

use super::CallerName;
use super::request::{Body, BranchInPath, TransactionInPath};
use crate::problem::{Kind, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    #[serde(deserialize_with = "some_reason")]
    reason: String,
}

pub async fn abort(
    State(coordinator): State<Coordinator>,
    Extension(CallerName(who)): Extension<CallerName>,
    TransactionInPath(id): TransactionInPath,
    Body(ReasonBody { reason }): Body<ReasonBody>,
) -> Result<StatusCode, Problem> {
    tracing::info!(%who, transaction = %id, reason, "an operator aborts a transaction");
    coordinator.abort(id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn retry(
    State(coordinator): State<Coordinator>,
    Extension(CallerName(who)): Extension<CallerName>,
    TransactionInPath(id): TransactionInPath,
    Body(ReasonBody { reason }): Body<ReasonBody>,
) -> Result<StatusCode, Problem> {
    tracing::info!(%who, transaction = %id, reason, "an operator retries a transaction");
    coordinator.release(id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn end(
    State(coordinator): State<Coordinator>,
    Extension(CallerName(who)): Extension<CallerName>,
    TransactionInPath(id): TransactionInPath,
    Body(ReasonBody { reason }): Body<ReasonBody>,
) -> Result<StatusCode, Problem> {
    tracing::info!(%who, transaction = %id, reason, "an operator ends a transaction");
    coordinator.end(id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The outcome of a branch or a step. Only a completed step has an output.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    r#as: ResolveAs,
    output: Option<Payload>,
    #[serde(deserialize_with = "some_reason")]
    reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResolveAs {
    Committed,
    Aborted,
    Completed,
    Compensated,
}

impl ResolveBody {
    fn ended(&self) -> Result<Ended, Problem> {
        let output = self.output.clone();
        match (self.r#as, output) {
            (ResolveAs::Committed, None) => Ok(Decision::Committed.into()),
            (ResolveAs::Aborted, None) => Ok(Decision::Aborted.into()),
            (ResolveAs::Compensated, None) => Ok(Resolution::Compensated.into()),
            (ResolveAs::Completed, output) => {
                Ok(Resolution::Completed(output.unwrap_or_else(Payload::null)).into())
            }
            (_, Some(_)) => Err(Problem::new(
                Kind::INVALID_REQUEST,
                "only a step that is resolved as completed can have an output; leave it out",
            )),
        }
    }
}

pub async fn resolve(
    State(coordinator): State<Coordinator>,
    Extension(CallerName(who)): Extension<CallerName>,
    TransactionInPath(id): TransactionInPath,
    BranchInPath(branch): BranchInPath,
    Body(word): Body<ResolveBody>,
) -> Result<StatusCode, Problem> {
    let branch = BranchName::new(branch)
        .map_err(|why| Problem::new(Kind::NO_SUCH_BRANCH, why.to_string()))?;
    let ended = word.ended()?;
    let ResolveBody { r#as, reason, .. } = word;
    tracing::info!(%who, transaction = %id, %branch, ?r#as, reason, "an operator resolves a branch or step");
    coordinator.resolve(id, branch, ended, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The most bytes of a reason, which is kept whole.
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
