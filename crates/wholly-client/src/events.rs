//! Streams of events (server-sent events), resumed where a connection was lost.

mod sse;

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use wholly_core::{Name, Timestamp, TransactionId};

use crate::answer::Record;
use crate::client::Client;
use crate::error::RequestError;
use crate::http::{ApiRequest, TransportError};
use crate::retry::Retries;
use crate::words::{Pattern, State};
use sse::{Message, Parser};

/// The longest silence of a connection: the server keeps it alive every 15 seconds.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(45);

/// An item of a stream of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum FeedItem {
    /// An event of a transaction.
    Event(Box<FeedEvent>),
    /// The loss of events that were not read. Only among the events of all transactions.
    Trimmed(Trimmed),
}

impl FeedItem {
    /// The event of a transaction, if it is one.
    #[must_use]
    pub fn event(self) -> Option<FeedEvent> {
        match self {
            Self::Event(event) => Some(*event),
            Self::Trimmed(_) => None,
        }
    }
}

/// A trimmed past: of the events after the last one that was read, up to `up_to`, only those of
/// transactions that the server still has follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "trimmed")]
#[non_exhaustive]
pub struct Trimmed {
    /// The last position that was trimmed, to be compared with the [id](FeedEvent::id) of an event.
    pub up_to: String,
}

/// An event of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeedEvent {
    /// Its position among all events; later ones have greater numbers.
    #[serde(default)]
    pub id: String,
    /// The name of the record.
    #[serde(default)]
    pub event: String,
    /// The transaction.
    pub transaction: TransactionId,
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// The name of the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The pattern of the transaction.
    pub pattern: Pattern,
    /// The state of the transaction after the event.
    pub state: State,
    /// True if the transaction has settled.
    pub settled: bool,
    /// True if the transaction needs an operator.
    pub stuck: bool,
    /// The name of the branch or step, which the record names by its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The record, without payloads.
    pub record: Record,
}

/// A stream of events: of one transaction from its start until it has settled, or of all from now on.
/// After a lost connection it continues behind the last event; no event comes twice.
#[must_use = "nothing is requested before its first event"]
pub struct Events {
    client: Client,
    /// The one transaction that is followed, or none for all.
    id: Option<TransactionId>,
    /// The connection, while there is one.
    connection: Option<Incoming>,
    parser: Parser,
    last_id: Option<String>,
    ended: bool,
    retries: Retries,
}

impl Events {
    pub(crate) fn new(client: Client, id: Option<TransactionId>) -> Self {
        let (parser, retries) = (Parser::default(), client.retries());
        Self { client, id, connection: None, parser, last_id: None, ended: false, retries }
    }

    /// Begins after the event with this [id](FeedEvent::id), which was read before.
    pub fn after(self, id: impl Into<String>) -> Self {
        Self { last_id: Some(id.into()), ..self }
    }

    /// The next event, or none once the transaction has settled.
    ///
    /// The future may be dropped while it waits.
    ///
    /// # Errors
    /// When no transaction has this id, or the connection does not come back. The call can be
    /// repeated.
    pub async fn next(&mut self) -> Result<Option<FeedItem>, RequestError> {
        while !self.ended {
            if let Some(message) = self.parser.next() {
                return self.event(message).map(Some);
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            let why = match timeout(KEEP_ALIVE_TIMEOUT, connection.frame()).await {
                Ok(Some(Ok(frame))) => {
                    // The connection is alive: an earlier failure is over.
                    self.retries = self.client.retries();
                    match frame.data_ref().map_or(Ok(()), |bytes| self.parser.feed(bytes)) {
                        Ok(()) => continue,
                        Err(why) => why.to_string(),
                    }
                }
                Ok(Some(Err(why))) => why.to_string(),
                Ok(None) if self.id.is_none() => "the events ended".to_owned(),
                Ok(None) => "the events ended before the transaction had settled".to_owned(),
                Err(_) => format!("nothing came for {KEEP_ALIVE_TIMEOUT:?}"),
            };
            self.connection = None;
            // Every whole event was returned above. A keep-alive has an id, too.
            self.last_id = self.parser.last_id().or(self.last_id.take());
            let url = self.client.http().url(&self.request());
            let error = TransportError { why, may_have_arrived: true };
            let failed = self.retries.failed(&url, error);
            self.retries.pause(failed).await.map_err(|gave_up| gave_up.why)?;
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), RequestError> {
        let response = self.client.open(&self.request()).await?;
        // The transaction has settled, and its last event was read before.
        self.ended = response.status() == StatusCode::NO_CONTENT;
        self.connection = Some(response.into_body());
        self.parser = Parser::default();
        Ok(())
    }

    fn request(&self) -> ApiRequest {
        let mut request = ApiRequest::get(match self.id {
            Some(id) => format!("/v1/transactions/{id}/events"),
            None => "/v1/events".to_owned(),
        });
        request.headers.push((header::ACCEPT, HeaderValue::from_static("text/event-stream")));
        let last = self.last_id.as_ref().and_then(|id| HeaderValue::try_from(id).ok());
        request.headers.extend(last.map(|id| (HeaderName::from_static("last-event-id"), id)));
        request
    }

    fn event(&mut self, message: Message) -> Result<FeedItem, RequestError> {
        let Message { id, event, data } = message;
        let not_understood = |why: serde_json::Error| {
            let url = self.client.http().url(&self.request());
            RequestError::NotUnderstood { url, status: 200, why: why.to_string() }
        };
        if event == "trimmed" {
            return serde_json::from_str(&data).map(FeedItem::Trimmed).map_err(not_understood);
        }
        let read: FeedEvent = serde_json::from_str(&data).map_err(not_understood)?;
        self.ended = read.settled && self.id.is_some();
        Ok(FeedItem::Event(Box::new(FeedEvent { id: id.unwrap_or_default(), event, ..read })))
    }
}
