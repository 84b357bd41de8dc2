//! What can be asked: one transaction, and how the coordinator is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wholly::{Coordinator, Health, Snapshot};

use super::problem::{Kind, Problem};
use super::request::Id;

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
