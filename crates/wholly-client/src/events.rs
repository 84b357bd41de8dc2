//! Transactions live: server-sent events, taken up again where they stopped.

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
use crate::error::AskError;
use crate::http::{Ask, NoAnswer};
use crate::retry::Tries;
use crate::words::{Pattern, State};
use sse::{Message, Parser};

/// How long a connection may be silent: the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// One item of a stream: an event, or the news that events are gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum FeedItem {
    /// Something happened to a transaction.
    Seen(Box<Seen>),
    /// Events were trimmed that were not seen. Only among the events of all transactions.
    Trimmed(Trimmed),
}

impl FeedItem {
    /// The event of a transaction, where this tells of one.
    #[must_use]
    pub fn seen(self) -> Option<Seen> {
        match self {
            Self::Seen(seen) => Some(*seen),
            Self::Trimmed(_) => None,
        }
    }
}

/// The past of a stream was trimmed: of the events that come after the last one that was seen, up to
/// one place, only those of transactions that the server still keeps are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "trimmed")]
#[non_exhaustive]
pub struct Trimmed {
    /// The place, which compares with the [id](Seen::id) of an event.
    pub up_to: String,
}

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

/// What happens, live: to one transaction from its start until it has settled, or to all from now on.
/// Where the connection is lost, the events go on after the last one; none is told twice.
#[must_use = "nothing is asked before its first event is"]
pub struct Events {
    client: Client,
    of: Of,
    /// The connection, while there is one.
    connection: Option<Incoming>,
    parser: Parser,
    last_id: Option<String>,
    ended: bool,
    tries: Tries,
}

enum Of {
    One(TransactionId),
    All,
}

impl Events {
    pub(crate) fn of_one(client: Client, id: TransactionId) -> Self {
        Self::new(client, Of::One(id))
    }

    pub(crate) fn of_all(client: Client) -> Self {
        Self::new(client, Of::All)
    }

    fn new(client: Client, of: Of) -> Self {
        let (parser, tries) = (Parser::default(), client.tries());
        Self { client, of, connection: None, parser, last_id: None, ended: false, tries }
    }

    /// Begins after the event with this [id](Seen::id), which was seen before.
    pub fn after(self, id: impl Into<String>) -> Self {
        Self { last_id: Some(id.into()), ..self }
    }

    /// The next event, or none once the transaction has settled.
    ///
    /// It may be dropped while it waits, and asked for again.
    ///
    /// # Errors
    /// When there is no such transaction, or the connection does not come back. It can be asked
    /// for again.
    pub async fn next(&mut self) -> Result<Option<FeedItem>, AskError> {
        while !self.ended {
            if let Some(message) = self.parser.next() {
                return self.event(message).map(Some);
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            let why = match timeout(SILENCE, connection.frame()).await {
                Ok(Some(Ok(frame))) => {
                    // It is alive: whatever went wrong is over.
                    self.tries = self.client.tries();
                    match frame.data_ref().map_or(Ok(()), |bytes| self.parser.feed(bytes)) {
                        Ok(()) => continue,
                        Err(why) => why.to_string(),
                    }
                }
                Ok(Some(Err(why))) => why.to_string(),
                Ok(None) => self.of.ended_early().to_owned(),
                Err(_) => format!("nothing came for {SILENCE:?}"),
            };
            self.connection = None;
            // Every event that has come was told above; that nothing came has an id, too.
            self.last_id = self.parser.last_id().or(self.last_id.take());
            let url = self.client.http().url(&self.ask());
            let failed = self.tries.failed(&url, NoAnswer { why, lost: true });
            self.tries.again(failed).await.map_err(|unanswered| unanswered.why)?;
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), AskError> {
        let response = self.client.open(&self.ask()).await?;
        // It has settled, and the last event was told before.
        self.ended = response.status() == StatusCode::NO_CONTENT;
        self.connection = Some(response.into_body());
        self.parser = Parser::default();
        Ok(())
    }

    fn ask(&self) -> Ask {
        let mut ask = Ask::get(match self.of {
            Of::One(id) => format!("/v1/transactions/{id}/events"),
            Of::All => "/v1/events".to_owned(),
        });
        ask.headers.push((header::ACCEPT, HeaderValue::from_static("text/event-stream")));
        let last = self.last_id.as_ref().and_then(|id| HeaderValue::try_from(id).ok());
        ask.headers.extend(last.map(|id| (HeaderName::from_static("last-event-id"), id)));
        ask
    }

    fn event(&mut self, message: Message) -> Result<FeedItem, AskError> {
        let Message { id, event, data } = message;
        let not_understood = |why: serde_json::Error| {
            let url = self.client.http().url(&self.ask());
            AskError::NotUnderstood { url, status: 200, why: why.to_string() }
        };
        if event == "trimmed" {
            return serde_json::from_str(&data).map(FeedItem::Trimmed).map_err(not_understood);
        }
        let seen: Seen = serde_json::from_str(&data).map_err(not_understood)?;
        self.ended = seen.settled && matches!(self.of, Of::One(_));
        Ok(FeedItem::Seen(Box::new(Seen { id: id.unwrap_or_default(), event, ..seen })))
    }
}

impl Of {
    fn ended_early(&self) -> &'static str {
        match self {
            Self::One(_) => "the events ended before the transaction had settled",
            Self::All => "the events ended",
        }
    }
}
