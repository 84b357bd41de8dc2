//! An event: a fact that a service states, in the form of CloudEvents 1.0.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub(crate) use wholly_clock::now;
use wholly_core::Timestamp;

use crate::names::{Correlation, EventId, EventType, ServiceName};

/// The longest data of an event, as JSON, in bytes.
pub const DATA_LIMIT: usize = 256 * 1024;

/// The longest `traceparent` that is passed on, in bytes.
const TRACEPARENT_LIMIT: usize = 128;

/// An event to publish.
///
/// ```
/// # use wholly_events::NewEvent;
/// let event = NewEvent::new("OrderCreated", "ORD001", &serde_json::json!({ "amount": 1000 }))?;
/// assert_eq!(event.kind().as_str(), "OrderCreated");
/// # Ok::<(), wholly_events::InvalidEvent>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub(crate) id: EventId,
    pub(crate) kind: EventType,
    pub(crate) time: Timestamp,
    pub(crate) correlation: Correlation,
    pub(crate) causation: Option<EventId>,
    pub(crate) traceparent: Option<String>,
    /// JSON.
    pub(crate) data: String,
}

/// A published event, as a follower receives it.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's id, unique within its source.
    pub id: EventId,
    /// The service that published it.
    pub source: ServiceName,
    /// The event's type.
    pub kind: EventType,
    /// The time at which the event was made, by the publisher's clock.
    pub time: Timestamp,
    /// The choreographed transaction that the event belongs to.
    pub correlation: Correlation,
    /// The event that caused this one, if any.
    pub causation: Option<EventId>,
    /// The publisher's W3C trace context, unparsed.
    pub traceparent: Option<String>,
    /// The event's data, as JSON.
    pub data: String,
}

/// The reason why an event cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] crate::names::InvalidName),
    /// The data cannot be written as JSON.
    #[error("the data of event type {kind} cannot be written as JSON: {why}")]
    Data {
        /// The event's type.
        kind: EventType,
        /// The reason.
        why: String,
    },
    /// The data is too long.
    #[error("the data of event type {kind} has {bytes} bytes; the limit is {DATA_LIMIT}")]
    TooLong {
        /// The event's type.
        kind: EventType,
        /// The length of the data.
        bytes: usize,
    },
}

impl NewEvent {
    /// Makes an event of this type and correlation, with the current time and a new id.
    ///
    /// # Errors
    /// If a name is not valid, or the data is longer than [`DATA_LIMIT`] as JSON.
    pub fn new(
        kind: impl AsRef<str>,
        correlation: impl AsRef<str>,
        data: &impl Serialize,
    ) -> Result<Self, InvalidEvent> {
        let kind = EventType::new(kind)?;
        let data = data_to_json(&kind, data)?;
        let now = now();
        Ok(Self {
            id: EventId::mint(now, random_bits()),
            kind,
            time: now,
            correlation: Correlation::new(correlation)?,
            causation: None,
            traceparent: None,
            data,
        })
    }

    /// Sets the event that caused this one.
    #[must_use]
    pub fn caused_by(mut self, event: &EventId) -> Self {
        self.causation = Some(event.clone());
        self
    }

    /// Sets the W3C trace context. An invalid one is ignored.
    #[must_use]
    pub fn in_trace(mut self, traceparent: &str) -> Self {
        self.traceparent = valid_traceparent(Some(traceparent));
        self
    }

    /// The event's id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The event's type.
    pub fn kind(&self) -> &EventType {
        &self.kind
    }

    /// The event's data, as JSON.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The event as followers of this source receive it.
    pub fn from_source(self, source: ServiceName) -> Event {
        let Self { id, kind, time, correlation, causation, traceparent, data } = self;
        Event { id, source, kind, time, correlation, causation, traceparent, data }
    }
}

impl Event {
    /// Reads the event's data as a value of this type.
    ///
    /// # Errors
    /// If the data does not fit the type.
    pub fn data<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data)
    }
}

impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.id, self.correlation)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{} of {}", self.kind, self.source, self.id, self.correlation)
    }
}

impl EventId {
    /// A UUIDv7 (RFC 9562) from a time and random bits.
    pub fn mint(now: Timestamp, random: u128) -> Self {
        let time = u128::from(now.as_millis()) << 80;
        let low = (random & 0x0fff_3fff_ffff_ffff_ffff) | 0x7000_8000_0000_0000_0000;
        let bits = time | low;
        let hex = format!("{bits:032x}");
        let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        // A UUID fits the length and the characters of an id.
        Self::from_checked(&text)
    }
}

pub(crate) fn data_to_json(
    kind: &EventType,
    data: &impl Serialize,
) -> Result<String, InvalidEvent> {
    let wrong =
        |why: serde_json::Error| InvalidEvent::Data { kind: kind.clone(), why: why.to_string() };
    let data = serde_json::to_string(data).map_err(wrong)?;
    if data.len() > DATA_LIMIT {
        return Err(InvalidEvent::TooLong { kind: kind.clone(), bytes: data.len() });
    }
    Ok(data)
}

/// A `traceparent` that is short and printable; its content is not checked.
pub(crate) fn valid_traceparent(traceparent: Option<&str>) -> Option<String> {
    let is_right = |text: &&str| {
        (1..=TRACEPARENT_LIMIT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    traceparent.filter(is_right).map(str::to_owned)
}

pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness ids would not be unique, and the inbox would take two events for one.
    #[expect(clippy::expect_used, reason = "there is no safe way on without randomness")]
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_with_time_and_are_uuids_of_version_7() {
        let earlier = EventId::mint(Timestamp::from_millis(1_700_000_000_000), u128::MAX);
        let later = EventId::mint(Timestamp::from_millis(1_700_000_000_001), 0);
        assert!(earlier < later);
        assert_eq!(earlier.as_str(), "018bcfe5-6800-7fff-bfff-ffffffffffff");
        assert_eq!(later.as_str(), "018bcfe5-6801-7000-8000-000000000000");
    }

    #[test]
    fn data_that_is_too_long_is_refused() {
        let error = NewEvent::new("E", "c", &"x".repeat(DATA_LIMIT)).unwrap_err();
        assert!(matches!(error, InvalidEvent::TooLong { bytes, .. } if bytes == DATA_LIMIT + 2));
        NewEvent::new("E", "c", &"x".repeat(DATA_LIMIT - 2)).unwrap();
    }

    #[test]
    fn a_trace_that_is_none_is_not_carried() {
        for wrong in ["", "a b", "ä", &"x".repeat(TRACEPARENT_LIMIT + 1)] {
            assert_eq!(valid_traceparent(Some(wrong)), None, "{wrong:?}");
        }
        let right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(valid_traceparent(Some(right)).as_deref(), Some(right));
    }
}
