//! A trace that a transaction belongs to: the [W3C Trace Context](https://www.w3.org/TR/trace-context/)
//! that its client gave, which every call to a participant carries on.
//!
//! A trace shows what happened and decides nothing, so it is carried as text, and parsed only where
//! spans are made. A header of another form is ignored, as the specification says. A trace is no
//! part of a transaction's identity: a second submission with the same key joins the first
//! transaction, and its trace.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The headers `traceparent` and `tracestate`, with a space between them: the form of a record.
///
/// ```
/// # use wholly_core::TraceContext;
/// let given: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::of_headers([given], [b"rojo=00f067aa0ba902b7".as_slice()]).unwrap();
/// assert_eq!(trace.traceparent().as_bytes(), given);
/// assert_eq!(trace.tracestate(), Some("rojo=00f067aa0ba902b7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext(Box<str>);

/// The length of a `traceparent`: `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
const PARENT_LENGTH: usize = 55;
/// The most of a `tracestate` that is carried on, in bytes: as much as everybody has to.
const STATE_LIMIT: usize = 512;

impl TraceContext {
    /// The trace of a request with these values of its headers `traceparent` and `tracestate`, in
    /// their order; `None` without a trace, or where `traceparent` has another form. A `tracestate`
    /// of another form is left out, and a long one cut behind a member.
    pub fn of_headers<'a>(
        traceparent: impl IntoIterator<Item = &'a [u8]>,
        tracestate: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut parents = traceparent.into_iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let states: Vec<_> = tracestate.into_iter().collect();
        let state = String::from_utf8(states.join(&b',')).unwrap_or_default();
        Self::new(std::str::from_utf8(parent).ok()?.trim_matches([' ', '\t']), &state)
    }

    fn new(parent: &str, state: &str) -> Option<Self> {
        // The form of a later version begins like that of this one.
        let (parent, more) = parent.split_at_checked(PARENT_LENGTH)?;
        let is_whole = more.is_empty() || more.starts_with('-') && !parent.starts_with("00");
        let state = cut(state.trim_matches([' ', '\t', ',']));
        let is_state = !state.is_empty() && state.split(',').all(is_member);
        (is_whole && is_parent(parent)).then(|| match is_state {
            true => Self(format!("{parent} {state}").into()),
            false => Self(parent.into()),
        })
    }

    /// The header `traceparent`: 55 characters of ASCII.
    pub fn traceparent(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(parent, _)| parent)
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(_, state)| state)
    }
}

fn is_parent(text: &str) -> bool {
    let is_form = text.bytes().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let is_id = |id: &str| id.bytes().any(|digit| digit != b'0');
    is_form && !text.starts_with("ff") && is_id(&text[3..35]) && is_id(&text[36..52])
}

/// A member of a `tracestate`, as far as it is checked: empty, or printable ASCII with a key.
fn is_member(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let is_key =
        |key: &str| key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let has_key = text.is_empty() || text.split_once('=').is_some_and(|(key, _)| is_key(key));
    has_key && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn cut(state: &str) -> &str {
    let within = state.get(..=STATE_LIMIT);
    within.map_or(state, |within| within.rsplit_once(',').map_or("", |(state, _)| state))
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no trace context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no trace context: it needs the form of the W3C header traceparent")]
#[non_exhaustive]
pub struct InvalidTraceContext;

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Reads a `traceparent`, behind which there may be a space and a `tracestate`.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let (parent, state) = text.split_once(' ').unwrap_or((text, ""));
        Self::new(parent, state).ok_or(InvalidTraceContext)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(parents: &[&str], states: &[&str]) -> Option<TraceContext> {
        TraceContext::of_headers(
            parents.iter().map(|text| text.as_bytes()),
            states.iter().map(|text| text.as_bytes()),
        )
    }

    #[test]
    fn a_trace_has_the_form_of_the_specification() {
        let trace = of(&[PARENT], &[]).unwrap();
        assert_eq!((trace.traceparent(), trace.to_string()), (PARENT, PARENT.into()));
        // A later version may say more, behind a hyphen.
        let later = PARENT.replace("00-4", "cc-4");
        assert_eq!(of(&[&(later.clone() + "-more")], &[]).unwrap().traceparent(), later);
        for none in [
            PARENT.replace("00-4", "ff-4"),
            later + ".more",
            PARENT.to_owned() + "-more",
            PARENT.to_uppercase(),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            PARENT.replace('-', "_"),
            PARENT.replace("00-4bf9", "0-04bf9"),
            PARENT.replace("4bf9", "+bf9"),
            PARENT.replace("4bf9", "é9f"),
            String::new(),
        ] {
            assert_eq!(of(&[&none], &["a=1"]), None, "{none}");
            assert_eq!(none.parse::<TraceContext>(), Err(InvalidTraceContext), "{none}");
        }
        assert_eq!(of(&[PARENT, PARENT], &[]), None, "two are none");
        assert_eq!(of(&[], &["a=1"]), None);
    }

    #[test]
    fn a_state_is_carried_as_it_is_and_never_ends_the_trace() {
        let state = |text: &str| of(&[PARENT], &[text]).unwrap().tracestate().map(str::to_owned);
        assert_eq!(of(&[PARENT], &["a=1", "b@c=x y "]).unwrap().tracestate(), Some("a=1,b@c=x y"));
        assert_eq!(state("a=1, b=2 ,,\tc=3").unwrap(), "a=1, b=2 ,,\tc=3");
        for none in ["", " , ", "a", "=1", "A=1", "-a=1", "é=1", "a=é", "a=1,b"] {
            assert_eq!(state(none), None, "{none}");
        }
        let members = |count: usize| vec![format!("k={}", "y".repeat(100)); count].join(",");
        assert_eq!(state(&members(20)), Some(members(4)), "as much as is carried");
        assert_eq!(state(&format!("k={}", "y".repeat(510))).map(|state| state.len()), Some(512));
        assert_eq!(state(&format!("k={}", "y".repeat(511))), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_survives_its_text(
            parent in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", state in ".{0,80}",
        ) {
            if let Some(trace) = of(&[&parent], &[&state]) {
                prop_assert_eq!(trace.to_string().parse::<TraceContext>(), Ok(trace.clone()));
                let json = serde_json::to_string(&trace).unwrap();
                prop_assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), trace);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = (of(&[&text], &[&text]), text.parse::<TraceContext>());
        }
    }
}
