//! Choreographed transactions, as the server observes them in the services' feeds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wholly_core::Timestamp;
use wholly_dns::https::percent_encoded;

use crate::client::Client;
use crate::error::RequestError;
use crate::http::ApiRequest;
use crate::words::{Pattern, State};

/// The time for which the server waits for a change before it answers.
const WAIT: Duration = Duration::from_secs(25);

/// A choreographed transaction with its timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choreography {
    /// The correlation that its events have in common.
    pub correlation: String,
    /// Always [`Pattern::Choreography`].
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// True if it is over and needs no operator.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The time of its first event.
    pub started: Timestamp,
    /// The reasons for which it needs an operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The time by which it should be over, if a service declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Its revision, which differs after every change.
    #[serde(default)]
    pub revision: u64,
    /// The number of events beyond those that the server keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// Its events in the order of time, each behind its cause.
    #[serde(default)]
    pub events: Vec<PublishedEvent>,
}

/// An event that a service published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishedEvent {
    /// The time by its publisher's clock.
    pub at: Timestamp,
    /// The service that published it.
    pub source: String,
    /// Its id, unique within its source.
    pub id: String,
    /// Its type.
    pub r#type: String,
    /// Its position in its feed.
    #[serde(default)]
    pub position: u64,
    /// The event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// True if the choreography is over with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// True if something was refused with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refusal: bool,
    /// Its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The reactions of the services to it.
    #[serde(default)]
    pub reactions: Vec<Reaction>,
}

/// A service's reaction to an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reaction {
    /// The service.
    pub service: String,
    /// The name of the reaction; absent if the service declares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<String>,
    /// `done`, `refused`, `suppressed`, `dropped`, `waiting`, `failing`, `calling`, `unreadable`, or
    /// `not seen`.
    pub outcome: String,
    /// The time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The id of the event that it published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<String>,
    /// True if the service says that an operator should look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    /// The number of its tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u64>,
    /// The error of the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The reason of the operator who dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A row of a list of choreographies.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChoreographySummary {
    /// The correlation that its events have in common.
    pub correlation: String,
    /// Always [`Pattern::Choreography`].
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// True if it is over and needs no operator.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The time of its first event.
    pub started: Timestamp,
}

/// The successive states of a choreography.
#[must_use = "nothing is requested before the first state"]
pub struct ChoreographyWatch {
    client: Client,
    correlation: String,
    revision: Option<u64>,
    ended: bool,
}

impl Client {
    /// A choreographed transaction with its timeline.
    ///
    /// # Errors
    /// When no event with this correlation was observed, or there is no answer.
    pub async fn choreography(&self, correlation: &str) -> Result<Choreography, RequestError> {
        self.read(ApiRequest::get(path(correlation))).await
    }

    /// Follows a choreographed transaction until it has settled.
    ///
    /// ```no_run
    /// # use wholly_client::{RequestError, Client};
    /// # async fn follow(client: Client) -> Result<(), RequestError> {
    /// let mut watched = client.watch_choreography("ORD001");
    /// while let Some(now) = watched.next().await? {
    ///     println!("{} after {} events", now.state, now.events.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_choreography(&self, correlation: &str) -> ChoreographyWatch {
        let (client, correlation) = (self.clone(), correlation.to_owned());
        ChoreographyWatch { client, correlation, revision: None, ended: false }
    }
}

impl ChoreographyWatch {
    /// The choreography now, or after its next change; none once it has settled.
    ///
    /// # Errors
    /// When no event with this correlation was observed, or there is no answer. The call can be
    /// repeated.
    pub async fn next(&mut self) -> Result<Option<Choreography>, RequestError> {
        while !self.ended {
            let mut request = ApiRequest::get(path(&self.correlation));
            if let Some(revision) = self.revision {
                request.path += &format!("?revision={revision}&wait_ms={}", WAIT.as_millis());
                request.wait = WAIT;
            }
            let now: Choreography = self.client.read(request).await?;
            if self.revision.replace(now.revision) != Some(now.revision) {
                self.ended = now.settled;
                return Ok(Some(now));
            }
        }
        Ok(None)
    }
}

fn path(correlation: &str) -> String {
    format!("/v1/choreographies/{}", percent_encoded(correlation))
}
