//! The HTTP contract of [`wholly_core::wire`], from the participant's side: a request becomes a
//! [`Call`], an [`Answer`] becomes a response. No decision of the protocol lives here.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use wholly_core::wire::{
    Answer, Call, CompensationPayload, Operation, answer, compensation_payload, header,
};
use wholly_core::{
    BranchName, InvalidName, OperationName, Payload, Timestamp, TraceContext, TransactionId,
};

/// The branches and steps of a service, which answer the calls of a coordinator.
///
/// [`sqlite`](crate::sqlite) has them for SQLite; [`local`](crate::local) says how to write them for
/// another database.
pub trait Branches: Send + Sync + 'static {
    /// Answers one attempt. The change that the answer tells of is durable before this returns.
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// The routes of a participant in two-phase: `POST /prepare`, `/commit`, `/abort` and
/// `/commit-one-phase`.
///
/// A call that cannot be read is answered with 400, and one with a payload longer than
/// [`Payload::LIMIT`] with 413. To the coordinator both mean unknown.
pub fn router<B: Branches>(branches: B) -> Router {
    routes(
        branches,
        Operation::TWO_PHASE.map(|operation| Endpoint { operation, operation_name: None }),
    )
}

/// The routes of a participant in sagas: `POST /{name}` for each of these names, and for no other.
///
/// They can be merged with those of [`router`], for a service that offers both.
///
/// # Errors
/// See [`InvalidOperations`].
pub fn saga_router<B: Branches>(
    branches: B,
    actions: impl IntoIterator<Item = OperationName>,
    compensations: impl IntoIterator<Item = OperationName>,
) -> Result<Router, InvalidOperations> {
    let actions = actions.into_iter().map(|name| (Operation::Action, name));
    let compensations = compensations.into_iter().map(|name| (Operation::Compensation, name));
    let mut names = HashSet::new();
    let mut endpoints = Vec::new();
    for (operation, name) in actions.chain(compensations) {
        if name.as_str().parse::<Operation>().is_ok() {
            return Err(InvalidOperations::TwoPhase(name));
        }
        if !names.insert(name.clone()) {
            return Err(InvalidOperations::Twice(name));
        }
        endpoints.push(Endpoint { operation, operation_name: Some(name) });
    }
    Ok(routes(branches, endpoints))
}

/// Operations that a service cannot offer to sagas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOperations {
    /// The text is not a valid name.
    #[error("an operation cannot be called {text:?}: {why}")]
    Name {
        /// The text.
        text: String,
        /// The reason.
        why: InvalidName,
    },
    /// Two operations have the same name.
    #[error("the operation {0} is declared twice; give each action and compensation its own name")]
    Twice(OperationName),
    /// The name belongs to two-phase commit.
    #[error("{0} is an operation of two-phase commit; give the saga's another name")]
    TwoPhase(OperationName),
}

/// The longest body of a compensation: two payloads and their frame, with room for white space.
pub(crate) const COMPENSATION_LIMIT: usize = 2 * Payload::LIMIT + 1024;

/// The operation of a route.
#[derive(Clone)]
struct Endpoint {
    operation: Operation,
    operation_name: Option<OperationName>,
}

impl Endpoint {
    fn name(&self) -> &str {
        self.operation_name.as_ref().map_or(self.operation.as_str(), OperationName::as_str)
    }

    fn body_limit(&self) -> usize {
        match self.operation {
            Operation::Compensation => COMPENSATION_LIMIT,
            _ => Payload::LIMIT,
        }
    }
}

fn routes<B: Branches>(branches: B, endpoints: impl IntoIterator<Item = Endpoint>) -> Router {
    let routes = endpoints.into_iter().fold(Router::new(), |routes, endpoint| {
        let path = format!("/{}", endpoint.name());
        let limit = DefaultBodyLimit::max(endpoint.body_limit());
        let handler = async move |State(branches): State<Arc<B>>,
                                  headers: HeaderMap,
                                  body: Result<Bytes, BytesRejection>| {
            match read(endpoint, &headers, body) {
                Ok(call) => respond(branches.call(call).await),
                Err((status, detail)) => problem(status, &detail),
            }
        };
        routes.route(&path, post(handler).layer(limit))
    });
    routes.with_state(Arc::new(branches))
}

/// A problem document (RFC 9457) with this status and detail.
pub fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    (status, content_type, body.to_string()).into_response()
}

fn read(
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Call, (StatusCode, String)> {
    let body = body.map_err(|e| (e.status(), e.body_text()))?;
    parse(endpoint, headers, &body).map_err(|detail| (StatusCode::BAD_REQUEST, detail))
}

fn parse(endpoint: Endpoint, headers: &HeaderMap, body: &[u8]) -> Result<Call, String> {
    let transaction = text(headers, header::TRANSACTION)?
        .parse::<TransactionId>()
        .map_err(|e| format!("header {}: {e}", header::TRANSACTION))?;
    let branch = BranchName::new(text(headers, header::BRANCH)?)
        .map_err(|e| format!("header {}: {e}", header::BRANCH))?;
    let said = text(headers, header::OPERATION)?;
    if said != endpoint.name() {
        return Err(format!("header {} says {said:?} at /{}", header::OPERATION, endpoint.name()));
    }
    let expires = match headers.contains_key(header::EXPIRES) {
        false => None,
        true => Some(text(headers, header::EXPIRES)?.parse().map_err(|e| {
            format!("header {}: {e}; it needs milliseconds since 1970", header::EXPIRES)
        })?),
    };
    let body = std::str::from_utf8(body).map_err(|e| format!("the body is no UTF-8: {e}"))?;
    let payload = match endpoint.operation {
        Operation::Compensation => compensation(body)?,
        // An operator with curl ends a branch without repeating its payload.
        _ if body.is_empty() => Payload::null(),
        _ => Payload::parse(body).map_err(|e| e.to_string())?,
    };
    let Endpoint { operation, operation_name } = endpoint;
    let expires = expires.map(Timestamp::from_millis);
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let trace = TraceContext::of_headers(values(header::TRACEPARENT), values(header::TRACESTATE));
    let trace = trace.map(Arc::new);
    Ok(Call { transaction, branch, operation, operation_name, expires, payload, trace })
}

/// The payload of a compensation, of which each part has the limit of a payload.
fn compensation(body: &str) -> Result<Payload, String> {
    let parts: CompensationPayload<Payload, Payload> = serde_json::from_str(body).map_err(|e| {
        format!("a compensation's body is the step's \"input\" and, if known, \"output\": {e}")
    })?;
    Ok(compensation_payload(&parts.input, parts.output.as_ref()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    let value = headers.get(name).ok_or_else(|| format!("header {name} is missing"))?;
    value.to_str().map_err(|_| format!("header {name} is not printable ASCII"))
}

/// The reason of a pending answer without one.
const STILL_AT_IT: &str = "still at it; ask again";

fn respond(said: Answer) -> Response {
    match said {
        Answer::Done => StatusCode::OK.into_response(),
        Answer::DoneWith { output } => {
            let content_type = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (content_type, output.as_str().to_owned()).into_response()
        }
        Answer::ReadOnly => with(answer::READ_ONLY, StatusCode::OK.into_response()),
        Answer::Refused { reason } => with(answer::REFUSED, problem(StatusCode::CONFLICT, &reason)),
        Answer::Heuristic { reason } => with(answer::HEURISTIC, problem(StatusCode::GONE, &reason)),
        Answer::Pending { reason, retry_after, .. } => {
            let wait = retry_after.unwrap_or(Duration::from_secs(1));
            let reason = if reason.is_empty() { STILL_AT_IT } else { &reason };
            after(wait, problem(StatusCode::TOO_EARLY, reason))
        }
        Answer::Unknown { reason, retry_after: Some(wait), .. } => {
            after(wait, problem(StatusCode::SERVICE_UNAVAILABLE, &reason))
        }
        Answer::Unknown { reason, retry_after: None, .. } => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, &reason)
        }
        // INVARIANT: an answer that this version does not know becomes neither a yes nor a no.
        other => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("{other:?}")),
    }
}

/// The response with a `Retry-After` in whole seconds, at least 1: with 0 the coordinator would poll.
fn after(wait: Duration, mut response: Response) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
    response
}

fn with(word: &'static str, mut response: Response) -> Response {
    let name = HeaderName::from_static(header::ANSWER);
    response.headers_mut().insert(name, HeaderValue::from_static(word));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_coordinator_reads_what_the_participant_meant() {
        let second_phase = [
            Answer::Done,
            Answer::Pending {
                reason: STILL_AT_IT.to_owned(),
                retry_after: Some(Duration::from_secs(3)),
                http: None,
            },
            Answer::heuristic("aborted by hand"),
        ];
        let first_phase = [Answer::Done, Answer::ReadOnly, Answer::refused("no stock")];
        let output = Payload::parse(r#"{"receipt":7}"#).unwrap();
        for said in [Answer::Done, Answer::DoneWith { output }, Answer::refused("declined")] {
            assert_eq!(reread(Operation::Action, said.clone()).await, said);
        }
        for said in second_phase {
            assert_eq!(reread(Operation::Commit, said.clone()).await, said);
        }
        let busy = |reason| Answer::unavailable(reason, Duration::from_secs(2));
        let reread_busy = reread(Operation::Commit, busy("too busy")).await;
        assert_eq!(reread_busy, busy("status 503: too busy"));
        for said in first_phase {
            assert_eq!(reread(Operation::Prepare, said.clone()).await, said);
        }
        let unknown = reread(Operation::Commit, Answer::unknown("disk full")).await;
        assert_eq!(unknown, Answer::unknown("status 500: disk full"));
    }

    /// Reads `said` back from its HTTP response.
    async fn reread(operation: Operation, said: Answer) -> Answer {
        let has_output = matches!(said, Answer::DoneWith { .. });
        let response = respond(said);
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap());
        let answer = header(header::ANSWER).map(str::to_owned);
        let json = header("content-type") == Some("application/json");
        assert_eq!(json, has_output);
        let retry_after =
            header("retry-after").map(|v| Duration::from_secs(v.parse::<u64>().unwrap()));
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer = answer.as_deref();
        let cut_off = false;
        wholly_core::wire::HttpAnswer { status, answer, retry_after, body: &body, cut_off, json }
            .meaning(operation, &[])
    }
}
