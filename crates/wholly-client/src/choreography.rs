//! Choreographed transactions, as the server's observer has them from the services' feeds.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wholly_core::Timestamp;
use wholly_dns::https::percent_encoded;

use crate::client::Client;
use crate::error::AskError;
use crate::http::Ask;
use crate::words::{Pattern, State};

/// The time for which the server is asked to wait for a change.
const WAIT: Duration = Duration::from_secs(25);

/// A choreographed transaction with its timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choreography {
    /// The correlation that its events have in common.
    pub correlation: String,
    /// Always the choreography.
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// It is over, and nobody is needed.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// The time of its first event.
    pub started: Timestamp,
    /// Why a person is needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// When it should be over, where a service declares that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Another one after every change.
    #[serde(default)]
    pub revision: u64,
    /// The number of events that the server does not keep, because there are so many.
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
    /// Its place in its feed.
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
    /// The reaction's name; absent where the service declares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<String>,
    /// `done`, `refused`, `suppressed`, `dropped`, `waiting`, `failing`, `calling`, `unreadable`, or
    /// `not seen`.
    pub outcome: String,
    /// The time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The id of the event that came of it.
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

/// A choreographed transaction in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListedChoreography {
    /// The correlation that its events have in common.
    pub correlation: String,
    /// Always the choreography.
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// It is over, and nobody is needed.
    pub settled: bool,
    /// A person is needed.
    pub stuck: bool,
    /// The time of its first event.
    pub started: Timestamp,
}

/// Which choreographies: those that pass all that is set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChoreographyFilter {
    /// Their state.
    pub state: Option<State>,
    /// True if they are over and nobody is needed.
    pub settled: Option<bool>,
    /// True if a person is needed.
    pub stuck: Option<bool>,
    /// The correlation of the one.
    pub correlation: Option<String>,
    /// Begun then or later.
    pub since: Option<Timestamp>,
    /// Begun before then.
    pub until: Option<Timestamp>,
}

/// A list of choreographies, newest first. It stays right while others come in.
#[must_use = "nothing is asked before its first row is"]
pub struct Choreographies {
    client: Client,
    filter: ChoreographyFilter,
    page_size: Option<usize>,
    cursor: Option<String>,
    ended: bool,
    page: VecDeque<ListedChoreography>,
}

/// A choreography, each time that it has changed.
#[must_use = "nothing is asked before it is asked for the next"]
pub struct Watched {
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
    pub async fn choreography(&self, correlation: &str) -> Result<Choreography, AskError> {
        self.read(Ask::get(path(correlation))).await
    }

    /// The choreographed transactions that pass the filter, newest first.
    pub fn choreographies(&self, filter: ChoreographyFilter) -> Choreographies {
        let (client, page) = (self.clone(), VecDeque::new());
        Choreographies { client, filter, page_size: None, cursor: None, ended: false, page }
    }

    /// Follows a choreographed transaction until it has settled.
    ///
    /// ```no_run
    /// # use wholly_client::{AskError, Client};
    /// # async fn follow(client: Client) -> Result<(), AskError> {
    /// let mut watched = client.watch_choreography("ORD001");
    /// while let Some(now) = watched.next().await? {
    ///     println!("{} after {} events", now.state, now.events.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_choreography(&self, correlation: &str) -> Watched {
        let (client, correlation) = (self.clone(), correlation.to_owned());
        Watched { client, correlation, revision: None, ended: false }
    }
}

impl Choreographies {
    /// At most how many a page has; the server's own measure unless it is set.
    pub fn page_size(self, page_size: usize) -> Self {
        Self { page_size: Some(page_size), ..self }
    }

    /// The next one, or none at the end.
    ///
    /// # Errors
    /// When a page is not answered. It can be asked for again.
    pub async fn next(&mut self) -> Result<Option<ListedChoreography>, AskError> {
        #[derive(Deserialize)]
        struct Page {
            choreographies: VecDeque<ListedChoreography>,
            next: Option<String>,
        }
        while self.page.is_empty() && !self.ended {
            let path = format!("/v1/choreographies{}", self.query());
            let Page { choreographies, next } = self.client.read(Ask::get(path)).await?;
            (self.page, self.ended, self.cursor) = (choreographies, next.is_none(), next);
        }
        Ok(self.page.pop_front())
    }

    fn query(&self) -> String {
        let ChoreographyFilter { state, settled, stuck, correlation, since, until } = &self.filter;
        let time = |time: &Option<Timestamp>| time.map(|time| time.as_millis().to_string());
        let parts = [
            ("state", state.as_ref().map(|state| state.as_str().to_owned())),
            ("settled", settled.map(|settled| settled.to_string())),
            ("stuck", stuck.map(|stuck| stuck.to_string())),
            ("correlation", correlation.clone()),
            ("since", time(since)),
            ("until", time(until)),
            ("limit", self.page_size.map(|limit| limit.to_string())),
            ("cursor", self.cursor.clone()),
        ];
        let said = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query: Vec<_> =
            said.map(|(name, value)| format!("{name}={}", percent_encoded(&value))).collect();
        if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
    }
}

impl Watched {
    /// How it stands now, or after the next change; none once it has settled.
    ///
    /// # Errors
    /// When no event with this correlation was observed, or there is no answer. It can be asked for
    /// again.
    pub async fn next(&mut self) -> Result<Option<Choreography>, AskError> {
        while !self.ended {
            let mut ask = Ask::get(path(&self.correlation));
            if let Some(revision) = self.revision {
                ask.path += &format!("?revision={revision}&wait_ms={}", WAIT.as_millis());
                ask.wait = WAIT;
            }
            let now: Choreography = self.client.read(ask).await?;
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
