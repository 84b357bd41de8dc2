//! The client, and its reads of one answer.

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
use crate::error::RequestError;
use crate::events::Events;
use crate::http::{ApiRequest, Http};
use crate::retry::GaveUp;

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: Arc<Http>,
    retry_for: Duration,
}

impl Client {
    /// The client of the server at this URL, like `https://wholly.example:7400`.
    pub fn at(url: &str) -> Builder {
        Builder::at(url)
    }

    pub(crate) fn new(http: Http, retry_for: Duration) -> Self {
        Self { http: Arc::new(http), retry_for }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) fn retry_for(&self) -> Duration {
        self.retry_for
    }

    /// A transaction with its branches or steps and its history.
    ///
    /// # Errors
    /// When no transaction has this id, or there is no answer.
    pub async fn get(&self, id: TransactionId) -> Result<Transaction, RequestError> {
        self.read(ApiRequest::get(format!("/v1/transactions/{id}"))).await
    }

    /// Follows a transaction from its start until it has settled.
    ///
    /// ```no_run
    /// # use wholly_client::{RequestError, Client, FeedItem, TransactionId};
    /// # async fn follow(client: Client, id: TransactionId) -> Result<(), RequestError> {
    /// let mut events = client.events(id);
    /// while let Some(item) = events.next().await? {
    ///     if let FeedItem::Event(event) = item {
    ///         println!("{}: {}", event.event, event.state);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, id: TransactionId) -> Events {
        Events::new(self.clone(), Some(id))
    }

    /// Follows all transactions from now on, or from the event that [`Events::after`] names. The
    /// stream has no end. [`FeedItem::Trimmed`](crate::FeedItem::Trimmed) comes first if events after
    /// that one were trimmed.
    pub fn all_events(&self) -> Events {
        Events::new(self.clone(), None)
    }

    /// The participants, as the coordinator sees them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn participants(&self) -> Result<Vec<Participant>, RequestError> {
        #[derive(Deserialize)]
        struct All {
            participants: Vec<Participant>,
        }
        let All { participants } = self.read(ApiRequest::get("/v1/participants")).await?;
        Ok(participants)
    }

    /// The sagas that can be submitted by name and version.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sagas(&self) -> Result<Vec<SagaVersion>, RequestError> {
        #[derive(Deserialize)]
        struct All {
            sagas: Vec<SagaVersion>,
        }
        let All { sagas } = self.read(ApiRequest::get("/v1/sagas")).await?;
        Ok(sagas)
    }

    /// A stored definition.
    ///
    /// # Errors
    /// When no definition has this name and version, or there is no answer.
    pub async fn definition(&self, name: &str, version: u32) -> Result<Definition, RequestError> {
        self.read(ApiRequest::get(saga_path(name, version))).await
    }

    /// Stores a definition. The same one, stored before, is left as it is.
    ///
    /// # Errors
    /// When the definition is invalid, another one is stored under its name and version, or there is
    /// no answer.
    pub async fn define(&self, definition: &Definition) -> Result<SagaVersion, RequestError> {
        let path = saga_path(definition.name.as_str(), definition.version);
        self.read(ApiRequest {
            method: Method::PUT,
            path,
            body: Some(json(definition)),
            ..ApiRequest::default()
        })
        .await
    }

    /// The answer to a request that may be repeated.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        request: ApiRequest,
    ) -> Result<T, RequestError> {
        match self.send(&request).await {
            Ok(last) => last.response.read(&self.http().url(&request)),
            Err(GaveUp { why, .. }) => Err(why),
        }
    }
}

fn saga_path(name: &str, version: u32) -> String {
    format!("/v1/sagas/{}/{version}", percent_encoded(name))
}

/// A JSON body, of texts, numbers and JSON: they always have a form.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
