//! The status of a choreographed service: its parked events and its progress in each feed.

use serde::{Deserialize, Serialize};
use wholly_core::Timestamp;

use super::feed_reader::Checkpoint;
use super::parked::{ParkedEvent, ParkedState};
use crate::inbox::ReactionOutcome;
use crate::names::{Correlation, EventId, EventType, ReactionName, ServiceName};

/// The status of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: ServiceName,
    /// The followed feeds.
    pub feeds: Vec<FeedStatus>,
    /// The parked events, oldest first, at most 1,000.
    pub parked: Vec<ParkedStatus>,
}

/// A service's progress in a followed feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedStatus {
    /// The publisher.
    pub source: ServiceName,
    /// The position up to which every event is handled or parked.
    pub position: u64,
    /// The feed's last known position.
    pub head: u64,
    /// The start of the last read that reached the feed's end, in milliseconds since 1970.
    pub read_to_end_at: Option<Timestamp>,
    /// The time since which the feed is unreachable.
    pub unreachable_since: Option<Timestamp>,
    /// The reason why the feed is not read.
    pub error: Option<String>,
}

/// A parked event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkedStatus {
    /// The number by which an operator retries or drops it.
    pub number: u64,
    /// The reaction that it waits for.
    pub reaction: ReactionName,
    /// The service that published it.
    pub source: ServiceName,
    /// Its id.
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Its correlation.
    pub correlation: Correlation,
    /// The reason why it is parked.
    pub state: ParkedState,
    /// True if an operator should act: many attempts failed, or the data cannot be read.
    pub stuck: bool,
    /// The number of attempts so far.
    pub tries: u64,
    /// The error of the last attempt.
    pub error: Option<String>,
    /// The time of parking, in milliseconds since 1970.
    pub since: Timestamp,
}

/// A reaction to an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReactionStatus {
    /// The reaction.
    pub reaction: ReactionName,
    /// Its outcome.
    pub outcome: ReactionOutcome,
    /// The time at which it ended, in milliseconds since 1970.
    pub at: Timestamp,
    /// The reason of the operator who dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl FeedStatus {
    pub(crate) fn new(source: ServiceName) -> Self {
        Self {
            source,
            position: 0,
            head: 0,
            read_to_end_at: None,
            unreachable_since: None,
            error: None,
        }
    }

    /// Every event up to this checkpoint is handled or parked.
    pub(crate) fn passed(&mut self, checkpoint: &Checkpoint) {
        self.position = checkpoint.place.position;
    }

    /// The checkpoint is stored: a restart continues there.
    pub(crate) fn saved(&mut self, checkpoint: &Checkpoint) {
        if let Some(began) = checkpoint.read_to_end_at {
            self.read_to_end_at = Some(began);
        }
    }

    /// The number of published events that are not yet handled.
    pub fn lag(&self) -> u64 {
        self.head.saturating_sub(self.position)
    }
}

impl ParkedStatus {
    pub(crate) fn of(parked: ParkedEvent, stuck_after: u32) -> Self {
        let tried_often = parked.tries >= u64::from(stuck_after);
        let stuck = match parked.state {
            ParkedState::Waiting => false,
            ParkedState::Failing | ParkedState::Calling => tried_often,
            ParkedState::Unreadable => true,
        };
        Self {
            number: parked.sequence,
            reaction: parked.reaction,
            source: parked.event.source,
            id: parked.event.id,
            kind: parked.event.kind,
            correlation: parked.event.correlation,
            state: parked.state,
            stuck,
            tries: parked.tries,
            error: parked.error,
            since: parked.at,
        }
    }
}
