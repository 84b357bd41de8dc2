//! A trace that a transaction belongs to: the [W3C Trace Context](https://www.w3.org/TR/trace-context/)
//! that its client gave, which every call to a participant carries on.
//!
//! A trace shows what happened and decides nothing: no protocol looks at it, and a header that is
//! not as it should be is ignored, as the specification says. It is no part of what a transaction
//! is: who submits again with the same key joins the first transaction, and its trace.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which trace goes on, and behind which of its spans: the headers `traceparent` and `tracestate`.
///
/// ```
/// # use wholly_core::TraceContext;
/// let given: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let state: &[u8] = b"rojo=00f067aa0ba902b7";
/// let trace = TraceContext::of_headers([given], [state]).unwrap();
/// assert!(trace.is_sampled());
/// assert_eq!(trace.traceparent().as_bytes(), given);
/// assert_eq!(trace.tracestate(), Some("rojo=00f067aa0ba902b7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: NonZeroU128,
    parent: NonZeroU64,
    flags: u8,
    /// Members with commas between them, and no more than [`STATE_LIMIT`] bytes.
    state: Option<Box<str>>,
}

const SAMPLED: u8 = 1;
/// Sampled, and that the trace's id is random: the flags that the specification knows. The others
/// are to be set to zero.
const KNOWN_FLAGS: u8 = 3;
/// The most of a `tracestate` that is carried on, in bytes: as much as everybody has to.
const STATE_LIMIT: usize = 512;
/// Members that are longer go first where a `tracestate` is too long.
const LONG_MEMBER: usize = 128;
/// The most members that a `tracestate` may have.
const MEMBERS: usize = 32;

impl TraceContext {
    /// This trace, behind this span of it.
    pub const fn new(trace: NonZeroU128, parent: NonZeroU64, sampled: bool) -> Self {
        Self { trace, parent, flags: if sampled { SAMPLED } else { 0 }, state: None }
    }

    /// What the values of a request's headers `traceparent` and `tracestate` say, in their order;
    /// `None` where there is no trace, or the header is not as it should be.
    pub fn of_headers<'a>(
        traceparent: impl IntoIterator<Item = &'a [u8]>,
        tracestate: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut parents = traceparent.into_iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let parent = std::str::from_utf8(parent).ok()?.trim_matches([' ', '\t']);
        let mut context = parse_parent(parent)?;
        let states: Vec<_> = tracestate.into_iter().collect();
        let state = String::from_utf8(states.join(&b','));
        context.state = state.ok().and_then(|state| parse_state(&state));
        Some(context)
    }

    /// The same trace behind another span of it.
    #[must_use]
    pub fn behind(&self, parent: NonZeroU64) -> Self {
        Self { parent, ..self.clone() }
    }

    /// The trace's id.
    pub const fn trace_id(&self) -> NonZeroU128 {
        self.trace
    }

    /// The id of the span behind which the trace goes on.
    pub const fn parent_id(&self) -> NonZeroU64 {
        self.parent
    }

    /// Whether who was there before records the trace.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags of the header.
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The form of a later version begins like that of this one.
fn parse_parent(text: &str) -> Option<TraceContext> {
    let (known, more) = text.split_at_checked(55)?;
    let mut parts = known.split('-');
    let mut part = || parts.next();
    let (version, trace, parent, flags) = (part()?, part()?, part()?, part()?);
    let version = hex(version, 2)?;
    let is_whole = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more.starts_with('-'),
    };
    let flags = u8::try_from(hex(flags, 2)?).ok()?;
    let parent = u64::try_from(hex(parent, 16)?).ok()?;
    let context = TraceContext {
        trace: NonZeroU128::new(hex(trace, 32)?)?,
        parent: NonZeroU64::new(parent)?,
        flags: flags & if version == 0 { KNOWN_FLAGS } else { SAMPLED },
        state: None,
    };
    (is_whole && part().is_none()).then_some(context)
}

/// Exactly so many lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_hex = text.len() == digits && text.bytes().all(lower);
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The members of a list, if all of them are well formed; the first ones, if it is long.
fn parse_state(text: &str) -> Option<Box<str>> {
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let mut members: Vec<_> = members.filter(|member| !member.is_empty()).collect();
    let mut keys = Vec::with_capacity(members.len().min(MEMBERS));
    for member in &members {
        let (key, value) = member.split_once('=')?;
        if keys.len() == MEMBERS || keys.contains(&key) || !is_key(key) || !is_value(value) {
            return None;
        }
        keys.push(key);
    }
    if length(&members) > STATE_LIMIT {
        members.retain(|member| member.len() <= LONG_MEMBER);
    }
    while length(&members) > STATE_LIMIT {
        members.pop();
    }
    (!members.is_empty()).then(|| members.join(",").into())
}

/// With the commas.
fn length(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

fn is_key(key: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let rest = |c: char| lower(c) || matches!(c, '_' | '-' | '*' | '/' | '@');
    key.len() <= 256 && key.starts_with(lower) && key.chars().all(rest)
}

fn is_value(value: &str) -> bool {
    let printable = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, ',' | '=');
    (1..=256).contains(&value.len()) && value.chars().all(printable)
}

/// The two headers with a space between them: the form that a record has.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())?;
        self.state.as_ref().map_or(Ok(()), |state| write!(f, " {state}"))
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
        let (parent, state) = text.split_once(' ').unzip();
        let parent = parent.unwrap_or(text);
        let context = parse_parent(parent).ok_or(InvalidTraceContext)?;
        Ok(Self { state: state.and_then(parse_state), ..context })
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
        let bytes =
            |texts: &[&str]| texts.iter().map(|t| t.as_bytes().to_vec()).collect::<Vec<_>>();
        let (parents, states) = (bytes(parents), bytes(states));
        TraceContext::of_headers(
            parents.iter().map(Vec::as_slice),
            states.iter().map(Vec::as_slice),
        )
    }

    fn state(states: &[&str]) -> Option<String> {
        of(&[PARENT], states).unwrap().tracestate().map(str::to_owned)
    }

    #[test]
    fn only_what_the_specification_takes_is_a_trace() {
        let trace = of(&[PARENT], &[]).unwrap();
        assert_eq!(trace.trace_id().get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((trace.parent_id().get(), trace.is_sampled()), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!((trace.traceparent(), trace.to_string()), (PARENT.into(), PARENT.into()));
        let changed = |from: &str, to: &str| of(&[&PARENT.replace(from, to)], &[]);
        assert!(!changed("-01", "-00").unwrap().is_sampled());
        // Flags that nobody knows are not passed on; that the id is random is.
        assert_eq!(changed("-01", "-ff").unwrap().flags(), 3);
        // A later version may say more, behind a hyphen.
        assert_eq!(changed("00-4", "cc-4").unwrap().traceparent(), PARENT);
        assert_eq!(of(&[&(PARENT.replace("00-4", "cc-4") + "-what")], &[]).unwrap(), trace);
        for none in [
            PARENT.replace("00-4", "ff-4"),
            PARENT.replace("00-4", "cc-4") + ".what",
            PARENT.to_owned() + "-what",
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
    fn a_state_is_whole_or_none_and_never_ends_the_trace() {
        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=1, b@c=x y ,,", "\td/e=!"]).unwrap(), "a=1,b@c=x y,d/e=!");
        for none in ["a", "=1", "a=", "A=1", "a=1,a=2", "a=b=c", "-a=1", "é=1", "a=é", " , "] {
            assert_eq!(state(&[none]), None, "{none}");
        }
        let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>();
        assert!(state(&[&members(32).join(",")]).is_some());
        assert_eq!(state(&[&members(33).join(",")]), None);
    }

    #[test]
    fn a_long_state_loses_its_long_members_and_then_its_last() {
        let long = format!("long={}", "x".repeat(200));
        let short: Vec<_> = (0..8).map(|n| format!("k{n}={}", "y".repeat(77))).collect();
        let all = format!("{long},{}", short.join(","));
        assert_eq!(state(&[&all]).unwrap(), short[..6].join(","));
        assert_eq!(state(&[&long]).unwrap(), long, "it fits");
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
