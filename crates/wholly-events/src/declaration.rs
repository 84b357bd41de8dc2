//! A service's declaration of its part in a choreography, as data: what it reacts to, what it
//! emits, and which of its reactions another takes back.
//!
//! A service prints it (as JSON) or offers it at its feed's address, so that the whole choreography
//! can be checked before it runs, although no one place has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{EventType, ReactionName, ServiceName};

/// A service's part in a choreography.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The service's name: the source of its events.
    pub service: ServiceName,
    /// Events that it emits on its own, with which a choreography begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<EventType>,
    /// Its reactions, in the order in which they were declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Its time-outs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeouts: Vec<Timeout>,
    /// Events of its own with which the choreography is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<EventType>,
    /// The time that the choreography may take, from its first event to its last, in milliseconds.
    #[serde(default, rename = "within_ms", skip_serializing_if = "Option::is_none")]
    #[serde(with = "millis::option")]
    pub within: Option<Duration>,
}

/// A reaction to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Its name, which the inbox keeps: unique in the service, and the same for ever.
    pub name: ReactionName,
    /// The event that it reacts to.
    pub on: EventType,
    /// The event that it emits where it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emits: Option<EventType>,
    /// The event that it emits where it refuses. Without one, it cannot refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<EventType>,
    /// The reactions of the same service that it takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<ReactionName>,
    /// True if it calls something that is no database, between two local transactions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// True if it changes nothing, so that there is nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// An event that a service emits where another has not come in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The event from which the time counts: one that the service reacts to, or emits.
    pub after: EventType,
    /// Events of which each one cancels it. The service reacts to each.
    pub awaits: Vec<EventType>,
    /// The time for which they are awaited, in milliseconds.
    #[serde(rename = "within_ms", with = "millis")]
    pub within: Duration,
    /// The event that the service then emits.
    pub emits: EventType,
}

impl Declaration {
    /// Every type of event that the service may emit, each once, in the order of the declaration.
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
