//! The HTTP contract of [`wholly_core::wire`], from the participant's side: a request becomes a
//! [`Call`], an [`Answer`] becomes a response. No decision of the protocol lives here.

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
use wholly_core::wire::{Answer, Call, Operation, answer, header};
use wholly_core::{ParticipantName, Payload, Timestamp, TransactionId};

/// Where a service's branches live: what answers the calls of a coordinator.
///
/// [`sqlite::router`](crate::sqlite::router) brings one along. For another database, write one that
/// keeps the rules of [`barrier`](crate::barrier).
pub trait Branches: Send + Sync + 'static {
    /// Answers one attempt. What the answer says is durable before this returns.
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// The routes of a participant: `POST /prepare`, `/commit`, `/abort` and `/commit-one-phase`.
///
/// A call that cannot be read is answered 400, and one whose payload is longer than
/// [`Payload::LIMIT`] 413: to the coordinator both mean unknown.
pub fn router<B: Branches>(branches: B) -> Router {
    let operations =
        [Operation::Prepare, Operation::Commit, Operation::Abort, Operation::CommitOnePhase];
    let routes = operations.into_iter().fold(Router::new(), |routes, operation| {
        let handler = async move |State(branches): State<Arc<B>>,
                                  headers: HeaderMap,
                                  body: Result<Bytes, BytesRejection>| {
            match read(operation, &headers, body) {
                Ok(call) => respond(branches.call(call).await),
                Err((status, detail)) => problem(status, &detail),
            }
        };
        routes.route(&format!("/{operation}"), post(handler))
    });
    routes.layer(DefaultBodyLimit::max(Payload::LIMIT)).with_state(Arc::new(branches))
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
    operation: Operation,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Call, (StatusCode, String)> {
    let body = body.map_err(|e| (e.status(), e.body_text()))?;
    parse(operation, headers, &body).map_err(|detail| (StatusCode::BAD_REQUEST, detail))
}

fn parse(operation: Operation, headers: &HeaderMap, body: &[u8]) -> Result<Call, String> {
    let transaction = text(headers, header::TRANSACTION)?
        .parse::<TransactionId>()
        .map_err(|e| format!("header {}: {e}", header::TRANSACTION))?;
    let branch = ParticipantName::new(text(headers, header::BRANCH)?)
        .map_err(|e| format!("header {}: {e}", header::BRANCH))?;
    let said = text(headers, header::OPERATION)?;
    if said != operation.as_str() {
        return Err(format!("header {} says {said:?} at /{operation}", header::OPERATION));
    }
    let expires = match headers.contains_key(header::EXPIRES) {
        false => None,
        true => Some(text(headers, header::EXPIRES)?.parse().map_err(|e| {
            format!("header {}: {e}; it needs milliseconds since 1970", header::EXPIRES)
        })?),
    };
    let body = std::str::from_utf8(body).map_err(|e| format!("the body is no UTF-8: {e}"))?;
    // A person with curl ends a branch without repeating its payload.
    let payload = if body.is_empty() { "null" } else { body };
    let payload = Payload::parse(payload).map_err(|e| e.to_string())?;
    Ok(Call {
        transaction,
        branch,
        operation,
        expires: expires.map(Timestamp::from_millis),
        payload,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    let value = headers.get(name).ok_or_else(|| format!("header {name} is missing"))?;
    value.to_str().map_err(|_| format!("header {name} is not printable ASCII"))
}

fn respond(said: Answer) -> Response {
    match said {
        Answer::Done => StatusCode::OK.into_response(),
        Answer::ReadOnly => with(answer::READ_ONLY, StatusCode::OK.into_response()),
        Answer::Refused { reason } => with(answer::REFUSED, problem(StatusCode::CONFLICT, &reason)),
        Answer::Heuristic { reason } => with(answer::HEURISTIC, problem(StatusCode::GONE, &reason)),
        Answer::Pending { retry_after } => {
            let wait = retry_after.unwrap_or(Duration::from_secs(1));
            // Whole seconds, and never 0, which would ask for a busy loop.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let mut response = problem(StatusCode::TOO_EARLY, "still at it; ask again");
            response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
            response
        }
        Answer::Unknown { reason } => problem(StatusCode::INTERNAL_SERVER_ERROR, &reason),
        // INVARIANT: an answer that this version does not know is never taken for a yes or a no.
        other => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("{other:?}")),
    }
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
            Answer::Pending { retry_after: Some(Duration::from_secs(3)) },
            Answer::heuristic("aborted by hand"),
        ];
        let first_phase = [Answer::Done, Answer::ReadOnly, Answer::refused("no stock")];
        for said in second_phase {
            assert_eq!(reread(Operation::Commit, said.clone()).await, said);
        }
        for said in first_phase {
            assert_eq!(reread(Operation::Prepare, said.clone()).await, said);
        }
        let unknown = reread(Operation::Commit, Answer::unknown("disk full")).await;
        assert_eq!(unknown, Answer::unknown("status 500: disk full"));
    }

    /// What `said` means once it has been an HTTP response.
    async fn reread(operation: Operation, said: Answer) -> Answer {
        let response = respond(said);
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap());
        let answer = header(header::ANSWER).map(str::to_owned);
        let retry_after =
            header("retry-after").map(|v| Duration::from_secs(v.parse::<u64>().unwrap()));
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer = answer.as_deref();
        wholly_core::wire::HttpAnswer { status, answer, retry_after, body: &body }
            .meaning(operation, &[])
    }
}
