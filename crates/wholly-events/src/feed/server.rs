//! A feed over HTTP, from the publisher's side: routes to merge into the service's own.
//!
//! `docs/events-contract.md` specifies the format.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::{FeedInfo, FeedPage, SetAside, StartFrom};
use crate::choreography::Service;
use crate::cursor::Cursor;
use crate::names::{EventId, ServiceName};
use crate::store::{Store, StoreError};
use crate::wire;

/// The largest number of events of a page.
const LIMIT: u64 = 1_000;
/// The size in bytes after which a page ends.
const PAGE_BYTES: usize = 1024 * 1024;
/// The longest wait for an event.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The headers of a page.
pub(crate) mod page_header {
    pub(crate) const SOURCE: &str = "wholly-feed-source";
    pub(crate) const HEAD: &str = "wholly-feed-head";
    pub(crate) const CURSOR: &str = "wholly-feed-cursor";
    pub(crate) const RETENTION: &str = "wholly-feed-retention";
}

/// The routes of a service's feed and of its status:
///
/// | route | answer |
/// |---|---|
/// | `GET /feed` | a page of the feed |
/// | `GET /choreography` | the service's declaration |
/// | `GET /choreography/status` | parked events, and the progress in each followed feed |
/// | `GET /choreography/reactions` | the ended reactions to an event |
///
/// Protect them with [`bearer`] if others than the followers can reach them.
pub fn router<S: Store>(service: Service<S>) -> Router {
    Router::new()
        .route("/feed", get(feed::<S>))
        .route("/choreography", get(declaration::<S>))
        .route("/choreography/status", get(status::<S>))
        .route("/choreography/reactions", get(reactions::<S>))
        .layer(axum::middleware::map_response(not_stored))
        .with_state(service)
}

/// Forbids caching: a cached page would hide later events.
async fn not_stored(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

#[derive(Deserialize)]
struct FeedQuery {
    after: Option<String>,
    limit: Option<u64>,
    wait_ms: Option<u64>,
}

async fn feed<S: Store>(
    State(service): State<Service<S>>,
    asked: Result<Query<FeedQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return problem(StatusCode::BAD_REQUEST, "query", "limit and wait_ms are whole numbers");
    };
    let start = match asked.after.as_deref() {
        None | Some("earliest") => StartFrom::Earliest,
        Some("now") => StartFrom::Now,
        Some(text) => match text.parse::<Cursor>() {
            Ok(cursor) => StartFrom::After(cursor),
            Err(why) => return problem(StatusCode::BAD_REQUEST, "query", &why.to_string()),
        },
    };
    let limit = asked.limit.unwrap_or(LIMIT).min(LIMIT);
    let wait = Duration::from_millis(asked.wait_ms.unwrap_or(0)).min(LONGEST_WAIT);
    match service.page(start, limit, wait).await {
        Ok(Ok((info, page))) => batch(&info, &page),
        Ok(Err(refusal)) => problem(StatusCode::GONE, refusal.kind(), &refusal.to_string()),
        Err(error) => unavailable(&error),
    }
}

/// Writes a page as a batch of CloudEvents, cut at [`PAGE_BYTES`]. An invalid entry of the outbox
/// is replaced by the reason, and followers set it aside.
fn batch(info: &FeedInfo, page: &FeedPage) -> Response {
    let mut body = String::from("[");
    let mut cursor = &page.cursor;
    let cut;
    let mut set_aside = page.set_aside.iter().peekable();
    let mut events = page.events.iter().peekable();
    while let Some(placed) = events.next() {
        while let Some(what) = set_aside.next_if(|what| what.position < placed.position) {
            push(&mut body, &no_event(what));
        }
        let Ok(event) = wire::to_json(&placed.event, Some(placed.position)) else {
            let what = "an event of the outbox has data that is not JSON";
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "outbox", what);
        };
        push(&mut body, &event);
        if body.len() > PAGE_BYTES && events.peek().is_some() {
            cut = Cursor::at(placed.position, placed.event.id.clone());
            cursor = &cut;
            break;
        }
    }
    for what in set_aside.filter(|what| what.position <= cursor.position) {
        push(&mut body, &no_event(what));
    }
    body.push(']');
    let headers = [
        (header::CONTENT_TYPE.as_str(), wire::BATCH.to_owned()),
        (page_header::SOURCE, info.source.to_string()),
        (page_header::HEAD, page.head.to_string()),
        (page_header::CURSOR, cursor.to_string()),
        (page_header::RETENTION, whole_seconds(info.retention).to_string()),
    ];
    let mut response = body.into_response();
    for (name, value) in headers {
        // All values are names and numbers of printable ASCII.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Rounds up: the follower's inbox must keep events for longer than this.
fn whole_seconds(retention: Duration) -> u64 {
    retention.as_secs() + u64::from(retention.subsec_nanos() > 0)
}

fn push(body: &mut String, item: &str) {
    if body.len() > 1 {
        body.push(',');
    }
    body.push_str(item);
}

/// The item of a batch that stands for an invalid entry.
fn no_event(what: &SetAside) -> String {
    serde_json::json!({ "position": what.position.to_string(), "setaside": what.why }).to_string()
}

async fn declaration<S: Store>(State(service): State<Service<S>>) -> Response {
    axum::Json(service.declaration()).into_response()
}

async fn status<S: Store>(State(service): State<Service<S>>) -> Response {
    match service.status().await {
        Ok(status) => axum::Json(status).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct EventQuery {
    source: ServiceName,
    id: EventId,
}

async fn reactions<S: Store>(
    State(service): State<Service<S>>,
    which: Result<Query<EventQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(EventQuery { source, id })) = which else {
        return problem(StatusCode::BAD_REQUEST, "query", "source and id name an event");
    };
    match service.reactions(source, id).await {
        Ok(reactions) => axum::Json(reactions).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &StoreError) -> Response {
    tracing::warn!(%error, "a feed cannot be read");
    let what = "the service's database failed; ask again";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "database", what);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// An answer with problem details (RFC 9457).
pub(crate) fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("urn:wholly:feed:{kind}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, body.to_string()).into_response()
}

/// Protects routes with bearer tokens: a request needs one of them.
pub fn bearer(routes: Router, tokens: impl IntoIterator<Item = String>) -> Router {
    let tokens: Arc<[String]> = tokens.into_iter().filter(|token| !token.is_empty()).collect();
    routes.layer(axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let tokens = Arc::clone(&tokens);
            async move {
                if is_authorized(request.headers(), &tokens) {
                    return next.run(request).await;
                }
                let detail = "a token is needed: Authorization: Bearer …";
                problem(StatusCode::UNAUTHORIZED, "token", detail)
            }
        },
    ))
}

fn is_authorized(headers: &HeaderMap, tokens: &[String]) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
    // Every byte of every token is compared, so that the duration reveals nothing.
    let is_same = |token: &String| {
        let differs = token.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        token.len() == given.len() && differs == 0
    };
    tokens.iter().fold(false, |known, token| known | is_same(token))
}
