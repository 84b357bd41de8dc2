//! The routes for observation: liveness, readiness, metrics and participants.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wholly::log::Damage;
use wholly::{
    Coordinator, Health, LastAnswer, ParticipantName, Target, TargetHealth, TargetMeasures,
    Timestamp,
};

use crate::metrics::{Metrics, OPEN_METRICS, PROMETHEUS, Request as Label, prometheus};
use crate::problem::{Kind, Problem};
use crate::stopping::{Phase, Stopping};

/// The health of the coordinator.
#[derive(Serialize)]
struct StatusDocument {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The damage found in the log. It stops only the transactions that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<DamageDocument>,
}

/// The number of damages found, and the last of them.
#[derive(Serialize)]
struct DamageDocument {
    count: u64,
    last: String,
}

impl StatusDocument {
    fn of(coordinator: &Coordinator, stopping: &Stopping) -> Self {
        let (status, why) = match coordinator.health() {
            Health::Ready if stopping.phase() > Phase::Serving => ("stopping", None),
            Health::Ready => ("ready", None),
            Health::LogFailed { why } => ("log-failed", Some(why)),
            _ => ("stopped", None),
        };
        let Damage { count, last, .. } = coordinator.damage();
        Self { status, why, damage: last.map(|last| DamageDocument { count, last }) }
    }
}

/// The process lives: its end would not mend the damage in the body.
pub async fn health(
    State(coordinator): State<Coordinator>,
    State(stopping): State<Stopping>,
) -> Response {
    Json(StatusDocument::of(&coordinator, &stopping)).into_response()
}

/// 503 tells a load balancer to send nothing here.
pub async fn ready(
    State(coordinator): State<Coordinator>,
    State(stopping): State<Stopping>,
) -> Response {
    let status = StatusDocument::of(&coordinator, &stopping);
    let code = match status.status {
        "ready" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(status)).into_response()
}

/// OpenMetrics for a client that takes it, and for any other the older text of Prometheus.
pub async fn metrics(
    State(metrics): State<Option<Arc<Metrics>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let off = || Problem::new(Kind::NO_SUCH_ROUTE, "the configuration has [metrics] turned off");
    let text = metrics.ok_or_else(off)?.open_metrics();
    let text = text.map_err(|why| Problem::new(Kind::INTERNAL, why.to_string()))?;
    let (kind, text) = match wants_open_metrics(&headers) {
        true => (OPEN_METRICS, text),
        false => (PROMETHEUS, prometheus(&text)),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// True if `Accept` names OpenMetrics, and does not prefer the other format.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let weight = |kind: &str| {
        let accepted = headers.get_all(header::ACCEPT).iter().flat_map(|value| value.to_str());
        let ranges = accepted.flat_map(|accepted| accepted.split(','));
        ranges.filter_map(|range| weight_in(range, kind)).fold(0.0, f32::max)
    };
    let open_metrics = weight("application/openmetrics-text");
    open_metrics > 0.0 && open_metrics >= weight("text/plain")
}

/// The weight that a range of `Accept` gives a type, from 0 to 1 (RFC 9110, section 12.4.2); `None`
/// if it names another type.
fn weight_in(range: &str, kind: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(kind) {
        return None;
    }
    let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
    match parameters.find(|(name, _)| name.eq_ignore_ascii_case("q")) {
        Some((_, weight)) => weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)),
        None => Some(1.0),
    }
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
pub struct ParticipantsDocument {
    participants: Vec<ParticipantDocument>,
}

#[derive(Serialize)]
struct ParticipantDocument {
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
    in_flight: u64,
    in_flight_limit: usize,
    slots: SlotsDocument,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastErrorDocument>,
    /// Absent before the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_answer: Option<LastAnswer>,
    /// The calls in a row that ended nothing.
    unanswered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct SlotsDocument {
    total: usize,
    reserved_for_second_phase: usize,
}

#[derive(Serialize)]
struct LastErrorDocument {
    at: Timestamp,
    why: String,
}

/// The participants that can be called, and their answers since the server started.
pub async fn participants(
    State(coordinator): State<Coordinator>,
    State(metrics): State<Option<Arc<Metrics>>>,
) -> Json<ParticipantsDocument> {
    let (measures, counted) = (coordinator.measures(), metrics.is_some());
    let participants = measures.targets.into_iter();
    let participants = participants.filter_map(|target| participant(target, counted)).collect();
    Json(ParticipantsDocument { participants })
}

fn participant(measures: TargetMeasures, counted: bool) -> Option<ParticipantDocument> {
    let calls = counted.then(|| measures.calls());
    let errors = counted.then(|| measures.errors());
    let TargetMeasures { target, address, slots, reserved_slots, health, .. } = measures;
    let TargetMeasures { waiting, in_progress, .. } = measures;
    let (in_flight, in_flight_limit) = (measures.in_flight, measures.in_flight_limit);
    let Target::Participant(name) = target else { return None };
    Some(ParticipantDocument {
        name,
        url: address,
        health: match health {
            TargetHealth::Up => "up",
            TargetHealth::Failing => "failing",
            _ => "unknown",
        },
        calls,
        errors,
        in_progress,
        waiting,
        in_flight,
        in_flight_limit,
        slots: SlotsDocument { total: slots, reserved_for_second_phase: reserved_slots },
        last_error: measures
            .last_error
            .map(|error| LastErrorDocument { at: error.at, why: error.why }),
        last_answer: measures.last_answer,
        unanswered: measures.unanswered,
        next_at: measures.next_at,
    })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::damaged;
    use crate::traces::Traces;

    async fn body(response: Response) -> Value {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn damage_is_told_and_keeps_nobody_away() {
        let (coordinator, log, ids) = damaged::coordinator().await;
        let traces = Traces::start(None).unwrap();
        let (_phase, stopping) = Stopping::new();
        let counted = |coordinator: &Coordinator| {
            Metrics::of(coordinator.clone(), &traces, None).open_metrics().unwrap()
        };
        assert_eq!(
            body(health(State(coordinator.clone()), State(stopping.clone())).await).await,
            json!({"status": "ready"})
        );
        assert!(counted(&coordinator).contains("\nwholly_log_damaged_total 0\n"));
        for (count, id) in (1..).zip(ids) {
            log.damage(id, 0);
            coordinator.get(id).await.unwrap();
            let asked = || (State(coordinator.clone()), State(stopping.clone()));
            let ((of, by), (also, too)) = (asked(), asked());
            for answer in [ready(of, by).await, health(also, too).await] {
                assert_eq!(answer.status(), StatusCode::OK);
                let told = body(answer).await;
                let last = told["damage"]["last"].as_str().unwrap();
                assert!(last.contains(&format!("ordinal {} is damaged", id.ordinal())), "{last}");
                assert_eq!(
                    (&told["status"], &told["damage"]["count"]),
                    (&json!("ready"), &json!(count))
                );
            }
            let line = format!("\nwholly_log_damaged_total {count}\n");
            assert!(counted(&coordinator).contains(&line));
        }
    }

    #[test]
    fn open_metrics_is_for_who_wants_it() {
        // The header that Prometheus sends.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, wants) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("text/html, Application/OpenMetrics-Text ; Q=0.1", true),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.4", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;version=1.0.0; q=0.000", false),
            ("application/openmetrics-text;q=0.4, text/plain", false),
            ("application/openmetrics-text;q=x", false),
            ("application/openmetrics-text;q=nan", false),
            ("application/openmetrics-textual", false),
            ("text/plain;q=application/openmetrics-text", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_open_metrics(&headers), wants, "{accept}");
        }
        let mut two = HeaderMap::from_iter([(header::ACCEPT, "text/plain;q=0.1".parse().unwrap())]);
        two.append(header::ACCEPT, "application/openmetrics-text;q=0.2".parse().unwrap());
        assert!(wants_open_metrics(&two));
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }
}
