//! The names in a choreography: services, types of events, reactions, events and correlations. Each
//! is parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The error for a text that is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: use 1 to {limit} bytes{rule}")]
#[non_exhaustive]
pub struct InvalidName {
    what: &'static str,
    text: String,
    limit: usize,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:literal, $is_right:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The longest name, in bytes.
            pub const LIMIT: usize = $limit;

            /// Parses a name.
            ///
            /// # Errors
            /// If the text is empty, too long, or has a forbidden character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                let is_right: fn(char) -> bool = $is_right;
                if (1..=$limit).contains(&text.len()) && text.chars().all(is_right) {
                    return Ok(Self(text.into()));
                }
                let shown = text.chars().take(64).collect();
                Err(InvalidName { what: $what, text: shown, limit: $limit, rule: $rule })
            }

            /// A name from a text that this crate made itself, and is valid.
            #[allow(dead_code, reason = "not every name is made here")]
            pub(crate) fn from_checked(text: &str) -> Self {
                debug_assert!(Self::new(text).is_ok(), "{text:?}");
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/')
}

fn is_printable(c: char) -> bool {
    !c.is_control()
}

name! {
    /// The name of a service, which is the source of its events.
    ServiceName, "service name", 100, is_word, " of a-z, A-Z, 0-9 and - _ . : /"
}
name! {
    /// The type of an event, like `OrderCreated`.
    EventType, "type of an event", 100, is_word, " of a-z, A-Z, 0-9 and - _ . : /"
}
name! {
    /// The name of a reaction. The inbox stores it, so it must never change.
    ReactionName, "name of a reaction", 100, is_word, " of a-z, A-Z, 0-9 and - _ . : /"
}
name! {
    /// The id of an event, unique within its source.
    EventId, "id of an event", 200, |c| c.is_ascii_graphic(), " of printable ASCII, and no space"
}
name! {
    /// The name that all events of one choreographed transaction share, like an order's number.
    Correlation, "correlation", 200, is_printable, " and no control character"
}
