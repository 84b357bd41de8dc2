//! A transaction live: server-sent events, taken up again where they stopped.

mod sse;

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use wholly_core::{Name, Timestamp, TransactionId};

use crate::answer::Record;
use crate::client::Client;
use crate::error::AskError;
use crate::http::{Ask, NoAnswer};
use crate::retry::Tries;
use crate::words::{Pattern, State};
use sse::{Message, Parser};

/// How long a connection may be silent: the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Something that happened to a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Seen {
    /// Its place among all events; later ones have greater numbers.
    #[serde(default)]
    pub id: String,
    /// What happened: the record's name.
    #[serde(default)]
    pub event: String,
    /// To which transaction.
    pub transaction: TransactionId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What the transaction is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// How it goes about it.
    pub pattern: Pattern,
    /// Where it stands since.
    pub state: State,
    /// Nothing is left to do.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// What the branch or step is called that the record names by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What was recorded, without payloads.
    pub record: Record,
}

/// The events of a transaction: all that happened, then what happens, until it has settled.
#[must_use = "nothing is asked before its first event is"]
pub struct Watch {
    client: Client,
    path: String,
    /// The connection, while there is one.
    events: Option<Incoming>,
    parser: Parser,
    last_id: Option<String>,
    ended: bool,
    tries: Tries,
}

impl Watch {
    pub(crate) fn new(client: Client, id: TransactionId) -> Self {
        let path = format!("/v1/transactions/{id}/events");
        let (parser, tries) = (Parser::default(), client.tries());
        Self { client, path, events: None, parser, last_id: None, ended: false, tries }
    }

    /// The next event, or none once the transaction has settled. Where the connection is lost, the
    /// events go on after the last one; none is told twice.
    ///
    /// It may be dropped while it waits, and asked for again.
    ///
    /// # Errors
    /// When there is no such transaction, or the connection does not come back. It can be asked
    /// for again.
    pub async fn next(&mut self) -> Result<Option<Seen>, AskError> {
        while !self.ended {
            if let Some(message) = self.parser.next() {
                return self.seen(message).map(Some);
            }
            let Some(events) = &mut self.events else {
                let events = self.client.open(&self.ask()).await?;
                self.events = Some(events.into_body());
                self.parser = Parser::default();
                continue;
            };
            let why = match timeout(SILENCE, events.frame()).await {
                Ok(Some(Ok(frame))) => {
                    // It is alive: whatever went wrong is over.
                    self.tries = self.client.tries();
                    match frame.data_ref().map_or(Ok(()), |bytes| self.parser.feed(bytes)) {
                        Ok(()) => continue,
                        Err(why) => why.to_string(),
                    }
                }
                Ok(Some(Err(why))) => why.to_string(),
                Ok(None) => "the events ended before the transaction had settled".to_owned(),
                Err(_) => format!("nothing came for {SILENCE:?}"),
            };
            self.events = None;
            let url = self.client.http().url(&self.ask());
            let failed = self.tries.failed(&url, NoAnswer { why, lost: true });
            self.tries.again(failed).await.map_err(|unanswered| unanswered.why)?;
        }
        Ok(None)
    }

    fn ask(&self) -> Ask {
        let mut ask = Ask::get(self.path.clone());
        ask.headers.push((header::ACCEPT, HeaderValue::from_static("text/event-stream")));
        let last = self.last_id.as_ref().and_then(|id| HeaderValue::try_from(id).ok());
        ask.headers.extend(last.map(|id| (HeaderName::from_static("last-event-id"), id)));
        ask
    }

    fn seen(&mut self, message: Message) -> Result<Seen, AskError> {
        let Message { id, event, data } = message;
        let seen: Seen = serde_json::from_str(&data).map_err(|why| {
            let url = self.client.http().url(&self.ask());
            AskError::NotUnderstood { url, status: 200, why: why.to_string() }
        })?;
        self.ended = seen.settled;
        self.last_id.clone_from(&id);
        Ok(Seen { id: id.unwrap_or_default(), event, ..seen })
    }
}
