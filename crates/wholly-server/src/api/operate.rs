//! The actions of operators on the server itself: to read the audit, and to reload the configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::request::Query;
use crate::audit::AuditPage;
use crate::gate::Gate;
use crate::problem::{Kind, Problem};
use crate::reload::{ReloadRequest, Reloaded};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    #[serde(default = "a_hundred")]
    limit: usize,
    cursor: Option<u64>,
}

fn a_hundred() -> usize {
    100
}

/// The most lines of one page.
const LIMIT: usize = 1_000;

pub async fn audit(
    State(gate): State<Arc<Gate>>,
    Query(AuditQuery { limit, cursor }): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    if !(1..=LIMIT).contains(&limit) {
        let detail = format!("a limit of {limit} is out of range; it is from 1 to {LIMIT}");
        return Err(Problem::new(Kind::INVALID_REQUEST, detail));
    }
    let page = gate.audit.page(cursor, limit).await;
    page.map(Json)
        .map_err(|why| Problem::new(Kind::AUDIT_FAILED, format!("the audit cannot be read: {why}")))
}

pub async fn reload(
    State(reload): State<mpsc::Sender<ReloadRequest>>,
) -> Result<Json<Reloaded>, Problem> {
    let stopping = || Problem::new(Kind::SHUTTING_DOWN, "the server is shutting down");
    let (to, reloaded) = oneshot::channel();
    reload.send(to).await.map_err(|_| stopping())?;
    let reloaded = reloaded.await.map_err(|_| stopping())?;
    reloaded.map(Json).map_err(|why| Problem::new(Kind::INVALID_CONFIGURATION, why.to_string()))
}
