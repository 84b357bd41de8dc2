//! A service's declaration of its part in a choreography, as data: the events it reacts to, the
//! events it emits, and the reactions that undo others.
//!
//! A service prints its declaration as JSON or serves it beside its feed. The declarations of all
//! services together let the whole choreography be checked before it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{EventType, ReactionName, ServiceName};

/// A service's part in a choreography.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The service's name: the source of its events.
    pub service: ServiceName,
    /// Events that begin a choreography; the service emits them on its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<EventType>,
    /// The service's reactions, in the order of their declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// The service's time-outs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeouts: Vec<Timeout>,
    /// Events of this service that end the choreography.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<EventType>,
    /// The longest duration of the choreography from its first event to its last, in milliseconds.
    #[serde(default, rename = "within_ms", skip_serializing_if = "Option::is_none")]
    #[serde(with = "millis::option")]
    pub within: Option<Duration>,
}

/// A reaction to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The reaction's name: unique in the service. The inbox stores it, so it must never change.
    pub name: ReactionName,
    /// The type of event that triggers the reaction.
    pub on: EventType,
    /// The event emitted on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emits: Option<EventType>,
    /// The event emitted on refusal. A reaction without one cannot refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<EventType>,
    /// The reactions of the same service that this one undoes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<ReactionName>,
    /// True if the reaction calls an external system between two local transactions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// True if the reaction changes nothing and needs no undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// An event that a service emits if another one does not arrive in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The event that starts the time-out: one that the service reacts to or emits.
    pub after: EventType,
    /// Events that cancel the time-out, each on its own. The service reacts to all of them.
    pub awaits: Vec<EventType>,
    /// The waiting time, in milliseconds.
    #[serde(rename = "within_ms", with = "millis")]
    pub within: Duration,
    /// The event emitted when the time-out fires.
    pub emits: EventType,
}

impl Declaration {
    /// All types of events that the service may emit, without duplicates, in declaration order.
    pub fn emitted(&self) -> Vec<&EventType> {
        let of_reactions =
            self.reactions.iter().flat_map(|one| one.emits.iter().chain(&one.refuses));
        let of_timeouts = self.timeouts.iter().map(|timeout| &timeout.emits);
        let mut all: Vec<&EventType> = Vec::new();
        for one in self.begins.iter().chain(of_reactions).chain(of_timeouts) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }

    pub(super) mod option {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
        }
    }
}
