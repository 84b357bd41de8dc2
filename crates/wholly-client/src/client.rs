//! The client: a handle, and what can be asked of the server in one answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wholly_core::TransactionId;
use wholly_core::saga::Definition;
use wholly_dns::https::percent_encoded;

use crate::answer::{Participant, SagaVersion, Transaction};
use crate::builder::Builder;
use crate::error::AskError;
use crate::events::Events;
use crate::http::{Ask, Http};
use crate::list::{Filter, Rows};
use crate::retry::Unanswered;

/// A client of one server. A handle: clones share its connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    retry_for: Duration,
}

impl Client {
    /// The client of the server at this URL, like `https://wholly.example:7400`.
    pub fn at(url: &str) -> Builder {
        Builder::at(url)
    }

    pub(crate) fn new(http: Http, retry_for: Duration) -> Self {
        Self { shared: Arc::new(Shared { http, retry_for }) }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.shared.http
    }

    pub(crate) fn retry_for(&self) -> Duration {
        self.shared.retry_for
    }

    /// A transaction with its branches or steps and all that was recorded of it.
    ///
    /// # Errors
    /// When there is none with this id, or no answer.
    pub async fn get(&self, id: TransactionId) -> Result<Transaction, AskError> {
        self.read(Ask::get(format!("/v1/transactions/{id}"))).await
    }

    /// The transactions that pass the filter, newest first.
    ///
    /// ```no_run
    /// # use wholly_client::{AskError, Client, Filter};
    /// # async fn stuck(client: Client) -> Result<(), AskError> {
    /// let mut filter = Filter::default();
    /// filter.stuck = Some(true);
    /// let mut rows = client.list(filter);
    /// while let Some(row) = rows.next().await? {
    ///     println!("{} is stuck", row.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, filter: Filter) -> Rows {
        Rows::new(self.clone(), filter)
    }

    /// Follows a transaction from its start until it has settled.
    ///
    /// ```no_run
    /// # use wholly_client::{AskError, Client, FeedItem, TransactionId};
    /// # async fn follow(client: Client, id: TransactionId) -> Result<(), AskError> {
    /// let mut events = client.events(id);
    /// while let Some(item) = events.next().await? {
    ///     if let FeedItem::Seen(seen) = item {
    ///         println!("{}: {}", seen.event, seen.state);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, id: TransactionId) -> Events {
        Events::of_one(self.clone(), id)
    }

    /// Follows all transactions from now on, or from the event on that is named with
    /// [`Events::after`]. It has no end. Where events after that one were trimmed,
    /// [`FeedItem::Trimmed`](crate::FeedItem::Trimmed) says so before any other.
    pub fn all_events(&self) -> Events {
        Events::of_all(self.clone())
    }

    /// The participants, as the coordinator sees them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn participants(&self) -> Result<Vec<Participant>, AskError> {
        #[derive(Deserialize)]
        struct All {
            participants: Vec<Participant>,
        }
        let All { participants } = self.read(Ask::get("/v1/participants")).await?;
        Ok(participants)
    }

    /// The sagas that can be submitted by name and version.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sagas(&self) -> Result<Vec<SagaVersion>, AskError> {
        #[derive(Deserialize)]
        struct All {
            sagas: Vec<SagaVersion>,
        }
        let All { sagas } = self.read(Ask::get("/v1/sagas")).await?;
        Ok(sagas)
    }

    /// A stored definition.
    ///
    /// # Errors
    /// When there is none of that name and version, or no answer.
    pub async fn definition(&self, name: &str, version: u32) -> Result<Definition, AskError> {
        self.read(Ask::get(saga_path(name, version))).await
    }

    /// Stores a definition. Where it is stored already, nothing happens.
    ///
    /// # Errors
    /// When it makes no sense, is another one than is stored already, or there is no answer.
    pub async fn define(&self, definition: &Definition) -> Result<SagaVersion, AskError> {
        let path = saga_path(definition.name.as_str(), definition.version);
        self.read(Ask { method: Method::PUT, path, body: Some(json(definition)), ..Ask::default() })
            .await
    }

    /// Asks what can be asked again without a thought.
    pub(crate) async fn read<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, AskError> {
        match self.ask(&ask).await {
            Ok(answered) => answered.reply.read(&self.http().url(&ask)),
            Err(Unanswered { why, .. }) => Err(why),
        }
    }
}

fn saga_path(name: &str, version: u32) -> String {
    format!("/v1/sagas/{}/{version}", percent_encoded(name))
}

/// A body. Only for what is made of texts, numbers and JSON: that always has a form.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
