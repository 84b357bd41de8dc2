//! Durable records, as server-sent events.
//!
//! A stream is read with the browser's `EventSource` or any client of the kind: each event has an
//! `id`, and a client that reconnects with the last one in `Last-Event-ID` goes on after it, also
//! after a restart of the server. If events were trimmed meanwhile, the stream of all transactions
//! has the event `trimmed`, then goes on with the events that are left. A transaction is trimmed as
//! a whole: its own stream is then answered with 410.

mod broadcaster;
mod listener;
mod view;

#[cfg(test)]
mod tests;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use wholly::{Coordinator, DecisionError, EventId, Name, ParticipantName, Pattern, TransactionId};

use super::request::{Query, TransactionInPath};
use crate::problem::{Kind, Problem};
pub use broadcaster::Broadcaster;
use listener::{Filter, Listener};

/// The pause before a client reconnects.
const RETRY: &str = "retry: 1000";

/// The events of one transaction, from its history on, until it has settled. If the client has them
/// all: 204, after which an `EventSource` does not reconnect.
pub async fn of_one(
    State(broadcaster): State<Broadcaster>,
    TransactionInPath(id): TransactionInPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = last_event_id(&headers, broadcaster.coordinator())?;
    // Before the log is read, so that no event falls between the two.
    let subscription = broadcaster.subscribe(Some(id))?;
    let events = broadcaster.coordinator().events_of(id).await?;
    let Some(newest) = events.last() else {
        return Err(not_there(broadcaster.coordinator(), id).await);
    };
    if newest.settled && last.is_some_and(|last| last >= newest.id) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let listener = Listener::to_one(subscription, id, last, listener::history(events, last));
    Ok(stream(listener, format!("{RETRY}\n\n")))
}

/// The log does not hold the transaction: it was trimmed, or never was.
async fn not_there(coordinator: &Coordinator, id: TransactionId) -> Problem {
    match coordinator.decision(id).await {
        Err(DecisionError::Trimmed { .. }) => Problem::new(
            Kind::TRIMMED,
            format!(
                "the transaction {id} is not in the log, which has deleted settled transactions of \
                 that time"
            ),
        ),
        _ => Problem::new(Kind::NO_SUCH_TRANSACTION, format!("there is no transaction {id}")),
    }
}

/// The filter of the stream of all events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    pattern: Option<Pattern>,
    name: Option<Name>,
    participant: Option<ParticipantName>,
}

/// The events of all transactions from now on. The stream begins with an id of its own, so that a
/// client that reconnects misses nothing, even before the first event.
pub async fn of_all(
    State(broadcaster): State<Broadcaster>,
    Query(EventsQuery { pattern, name, participant }): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = last_event_id(&headers, broadcaster.coordinator())?;
    let subscription = broadcaster.subscribe(None)?;
    let last = last.unwrap_or_else(|| now(broadcaster.coordinator()));
    let name = name.map(|name| name.as_str().to_owned());
    let listener = Listener::to_all(subscription, Filter { pattern, name, participant }, last);
    Ok(stream(listener, format!("{RETRY}\nid: {last}\n\n")))
}

fn stream(listener: Listener, opening: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Proxies must not buffer the stream.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(listener.into_stream(Bytes::from(opening)))).into_response()
}

/// The last event that a client has, if it has one.
fn last_event_id(
    headers: &HeaderMap,
    coordinator: &Coordinator,
) -> Result<Option<EventId>, Problem> {
    let invalid = |detail: String| Problem::new(Kind::INVALID_EVENT_ID, detail);
    let Some(text) = headers.get("last-event-id").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_str().unwrap_or_default();
    let last: EventId = text.parse().map_err(|why| invalid(format!("{text:?}: {why}")))?;
    // With a future id, all events before it would be left out.
    if last > now(coordinator) {
        return Err(invalid(format!(
            "the event {last} is newer than this log: it belongs to another log, or this log was \
             restored from a backup; reconnect without Last-Event-ID"
        )));
    }
    Ok(Some(last))
}

fn now(coordinator: &Coordinator) -> EventId {
    coordinator.feed(None).position()
}
