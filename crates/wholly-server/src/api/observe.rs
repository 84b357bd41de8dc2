//! What an operator and their tools ask: is it alive, is it ready, what did it do, and who is it
//! in touch with.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wholly::{
    Callee, CalleeHealth, CalleeMeasures, Coordinator, Health, ParticipantName, Timestamp,
};

use super::problem::{Kind, Problem};
use crate::metrics::{CONTENT_TYPE, Metrics, Request as Label};

/// How the coordinator is.
#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Status {
    fn of(coordinator: &Coordinator) -> Self {
        match coordinator.health() {
            Health::Ready => Self { status: "ready", why: None },
            Health::LogFailed { why } => Self { status: "log-failed", why: Some(why) },
            _ => Self { status: "stopped", why: None },
        }
    }
}

/// The process lives: to end it would not mend what its body tells.
pub async fn health(State(coordinator): State<Coordinator>) -> Response {
    Json(Status::of(&coordinator)).into_response()
}

/// 503 tells a load balancer to send nothing here.
pub async fn ready(State(coordinator): State<Coordinator>) -> Response {
    let status = Status::of(&coordinator);
    let code = match status.status {
        "ready" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(status)).into_response()
}

pub async fn metrics(State(metrics): State<Arc<Metrics>>) -> Result<Response, Problem> {
    let text = metrics.text();
    let text = text.map_err(|why| Problem::new(Kind::INTERNAL, why.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Counts a request, by its route and not by its path, in which there are ids.
pub async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    metrics.answered(&Label { method, route, status }, began.elapsed());
    response
}

/// A client may make up methods.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[derive(Serialize)]
pub struct Participants {
    participants: Vec<Participant>,
}

#[derive(Serialize)]
struct Participant {
    name: ParticipantName,
    url: Option<String>,
    health: &'static str,
    calls: u64,
    errors: u64,
    in_progress: u64,
    waiting: u64,
    slots: Slots,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
}

#[derive(Serialize)]
struct Slots {
    total: usize,
    reserved_for_second_phase: usize,
}

#[derive(Serialize)]
struct LastError {
    at: Timestamp,
    why: String,
}

/// Those who can be called, and how they answered since the server started.
pub async fn participants(State(coordinator): State<Coordinator>) -> Json<Participants> {
    let measures = coordinator.measures();
    let participants = measures.callees.into_iter().filter_map(participant).collect();
    Json(Participants { participants })
}

fn participant(measures: CalleeMeasures) -> Option<Participant> {
    let (calls, errors) = (measures.calls(), measures.errors());
    let CalleeMeasures { callee, address, slots, health, waiting, in_progress, .. } = measures;
    let Callee::Participant(name) = callee else { return None };
    Some(Participant {
        name,
        url: address,
        health: match health {
            CalleeHealth::Up => "up",
            CalleeHealth::Failing => "failing",
            _ => "unknown",
        },
        calls,
        errors,
        in_progress,
        waiting,
        slots: Slots {
            total: slots.total(),
            reserved_for_second_phase: slots.reserved_for_second_phase(),
        },
        last_error: measures.last_error.map(|error| LastError { at: error.at, why: error.why }),
    })
}
