//! CloudEvents 1.0 as JSON: the format of events over HTTP and of parked events.
//!
//! `correlationid`, `causationid` and `traceparent` are the extensions of the same names;
//! `position` is an extension of this crate: the event's position in its feed, as text, because a
//! CloudEvents number has 32 bits.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wholly_core::Timestamp;

use crate::event::{DATA_LIMIT, Event, valid_traceparent};
use crate::names::{Correlation, EventId, EventType, ServiceName};

/// The media type of a page.
pub(crate) const BATCH: &str = "application/cloudevents-batch+json";

/// The longest valid event as JSON, in bytes: its data, and room for its names.
pub(crate) const EVENT_LIMIT: usize = DATA_LIMIT + 8 * 1024;

/// An event and its position in its feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionedEvent {
    /// The event's position, from 1.
    pub position: u64,
    /// The event.
    pub event: Event,
}

/// The members that are read and written. Others are ignored.
#[derive(Serialize, Deserialize)]
struct CloudEvent<'a> {
    specversion: std::borrow::Cow<'a, str>,
    id: EventId,
    source: ServiceName,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlationid: Option<Correlation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// Writes an event as a CloudEvent, with its position if it has one.
///
/// # Errors
/// If its data is not JSON, which only another program can have written into the table.
pub fn to_json(event: &Event, position: Option<u64>) -> serde_json::Result<String> {
    let data = (!event.data.is_empty()).then(|| serde_json::from_str(&event.data)).transpose()?;
    serde_json::to_string(&CloudEvent {
        specversion: "1.0".into(),
        id: event.id.clone(),
        source: event.source.clone(),
        kind: event.kind.clone(),
        time: Some(rfc3339(event.time)),
        datacontenttype: Some("application/json".into()),
        correlationid: Some(event.correlation.clone()),
        causationid: event.causation.clone(),
        traceparent: event.traceparent.clone(),
        position: position.map(|position| position.to_string()),
        data,
    })
}

/// Reads a CloudEvent. An event without a correlation uses its id as its correlation.
///
/// # Errors
/// The reason, as text.
pub fn from_json(text: &str) -> Result<(Event, Option<u64>), String> {
    let read: CloudEvent<'_> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    if read.specversion != "1.0" {
        return Err(format!("its specversion is {:?}, not 1.0", read.specversion));
    }
    let data = read.data.map_or("null", RawValue::get);
    if data.len() > DATA_LIMIT {
        return Err(format!("its data has {} bytes; the limit is {DATA_LIMIT}", data.len()));
    }
    let position =
        read.position.map(|text| text.parse().map_err(|_| "its position is not a number"));
    let correlation = match read.correlationid {
        Some(correlation) => correlation,
        None => Correlation::new(read.id.as_str()).map_err(|why| why.to_string())?,
    };
    let event = Event {
        id: read.id,
        source: read.source,
        kind: read.kind,
        time: read.time.as_deref().and_then(parse_rfc3339).unwrap_or_default(),
        correlation,
        causation: read.causationid,
        traceparent: valid_traceparent(read.traceparent.as_deref()),
        data: data.to_owned(),
    };
    Ok((event, position.transpose()?))
}

/// A time in UTC, to the millisecond. Later times than the year 9999 are cut to its end.
fn rfc3339(time: Timestamp) -> String {
    const LAST: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(time.as_millis().min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}

/// A time from a CloudEvent. It is only shown, so an unreadable one is dropped.
fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(time.as_millis()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NewEvent;

    fn event() -> Event {
        let event = NewEvent::new("OrderCreated", "ORD 1 ü", &serde_json::json!({ "a": [1, "ü"] }));
        let mut event = event.unwrap().from_source(ServiceName::new("order").unwrap());
        event.causation = Some(EventId::new("cause").unwrap());
        event.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
        event
    }

    #[test]
    fn an_event_survives_its_text() {
        let event = event();
        let text = to_json(&event, Some(u64::MAX)).unwrap();
        assert_eq!(from_json(&text), Ok((event.clone(), Some(u64::MAX))));
        let bare = Event { causation: None, traceparent: None, ..event };
        let text = to_json(&bare, None).unwrap();
        assert_eq!(from_json(&text), Ok((bare, None)));
    }

    #[test]
    fn an_event_of_another_publisher_needs_only_what_cloudevents_asks_for() {
        let text = r#"{"specversion":"1.0","id":"a","source":"/s","type":"T","other":1}"#;
        let (event, position) = from_json(text).unwrap();
        assert_eq!((event.correlation.as_str(), &*event.data, position), ("a", "null", None));
        let nulls = r#","correlationid":null,"causationid":null,"traceparent":null,"time":null}"#;
        assert_eq!(from_json(&text.replace('}', nulls)), Ok((event, None)));
    }

    #[test]
    fn what_is_no_cloudevent_is_said() {
        for (text, why) in [
            ("{}", "missing field `specversion`"),
            (r#"{"specversion":"0.3","id":"a","source":"s","type":"T"}"#, "specversion"),
            (r#"{"specversion":"1.0","id":"","source":"s","type":"T"}"#, "id of an event"),
            (r#"{"specversion":"1.0","id":"a","source":"s"}"#, "missing field `type`"),
            (
                r#"{"specversion":"1.0","id":"a","source":"s","type":"T","position":"x"}"#,
                "position",
            ),
            ("[]", "invalid"),
        ] {
            let said = from_json(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        let long = "x".repeat(DATA_LIMIT);
        let text =
            format!(r#"{{"specversion":"1.0","id":"a","source":"s","type":"T","data":"{long}"}}"#);
        assert!(from_json(&text).unwrap_err().contains("the limit is"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = from_json(&text);
        }
    }
}
