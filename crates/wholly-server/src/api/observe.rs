//! What an operator and their tools ask: is it alive, is it ready, what did it do, and who is it
//! in touch with.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wholly::{
    Callee, CalleeHealth, CalleeMeasures, Coordinator, Health, ParticipantName, Timestamp,
};

use super::problem::{Kind, Problem};
use crate::metrics::{Metrics, OPEN_METRICS, PROMETHEUS, Request as Label, prometheus};

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

/// OpenMetrics for who takes it, and for everybody else the text that Prometheus had before.
pub async fn metrics(
    State(metrics): State<Option<Arc<Metrics>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let off = || Problem::new(Kind::NO_SUCH_ROUTE, "the configuration has [metrics] turned off");
    let text = metrics.ok_or_else(off)?.open_metrics();
    let text = text.map_err(|why| Problem::new(Kind::INTERNAL, why.to_string()))?;
    let mut accepted = headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes);
    let (kind, text) = match accepted.any(names_open_metrics) {
        true => (OPEN_METRICS, text),
        false => (PROMETHEUS, prometheus(&text)),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn names_open_metrics(accept: &[u8]) -> bool {
    const NAME: &[u8] = b"application/openmetrics-text";
    accept.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
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
    /// Absent where nothing is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<u64>,
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
pub async fn participants(
    State(coordinator): State<Coordinator>,
    State(metrics): State<Option<Arc<Metrics>>>,
) -> Json<Participants> {
    let (measures, counted) = (coordinator.measures(), metrics.is_some());
    let participants = measures.callees.into_iter();
    let participants = participants.filter_map(|callee| participant(callee, counted)).collect();
    Json(Participants { participants })
}

fn participant(measures: CalleeMeasures, counted: bool) -> Option<Participant> {
    let calls = counted.then(|| measures.calls());
    let errors = counted.then(|| measures.errors());
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
