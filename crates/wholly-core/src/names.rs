//! The texts that clients choose, parsed at the edge into types that cannot be wrong.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// A text of the wrong form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// It is empty.
    #[error("{what} must not be empty")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// It is longer than its limit.
    #[error("{what} is {bytes} bytes long; the limit is {limit}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// It has a character outside its alphabet.
    #[error("{what} must not contain {character:?}; it may contain {allowed}")]
    Character {
        /// The kind of name.
        what: &'static str,
        /// The first character outside its alphabet.
        character: char,
        /// The characters of its alphabet, in words.
        allowed: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $allowed:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest that it may be, in bytes.
            pub const LIMIT: usize = $limit;

            /// Parses it, or reports its fault.
            ///
            /// # Errors
            /// When it is empty, longer than its limit, or has a character outside its alphabet.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
                let text = text.into();
                let (what, allowed, limit) = ($what, $allowed, $limit);
                if text.is_empty() {
                    return Err(InvalidName::Empty { what });
                }
                if text.len() > limit {
                    return Err(InvalidName::TooLong { what, bytes: text.len(), limit });
                }
                let test: fn(char) -> bool = $test;
                match text.chars().find(|&c| !test(c)) {
                    Some(character) => Err(InvalidName::Character { what, character, allowed }),
                    None => Ok(Self(text)),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a transaction: for people, in lists and metrics; need not be unique.
    ///
    /// ```
    /// # use wholly_core::Name;
    /// assert!(Name::new("place order").is_ok());
    /// assert!(Name::new("").is_err());
    /// ```
    Name,
    "a transaction's name",
    128,
    "everything but control characters",
    |c| !c.is_control()
);

name!(
    /// The name by which the configuration knows a participant; it names its branch, too.
    ParticipantName,
    "a participant's name",
    64,
    "a to z, 0 to 9, '-' and '_'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
);

name!(
    /// The id of a secret that calls are signed with, so that it can be replaced by another one.
    KeyId,
    "a key's id",
    64,
    "printable ASCII without quotes and backslashes",
    |c| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\'
);

name!(
    /// A saga's step, unique in its saga.
    StepName,
    "a step's name",
    64,
    "a to z, 0 to 9, '-' and '_'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
);

name!(
    /// An operation that a participant offers to sagas: the last part of its address.
    OperationName,
    "an operation's name",
    64,
    "a to z, 0 to 9, '-' and '_'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
);

name!(
    /// A branch or step as participants see it: the name of the branch's participant, or the
    /// step's own.
    BranchName,
    "a branch's name",
    64,
    "a to z, 0 to 9, '-' and '_'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
);

impl From<ParticipantName> for BranchName {
    fn from(name: ParticipantName) -> Self {
        Self(name.0)
    }
}

impl From<StepName> for BranchName {
    fn from(name: StepName) -> Self {
        Self(name.0)
    }
}

impl From<&ParticipantName> for BranchName {
    fn from(name: &ParticipantName) -> Self {
        name.clone().into()
    }
}

/// A step's action is called like the step, unless it has a name of its own.
impl From<StepName> for OperationName {
    fn from(name: StepName) -> Self {
        Self(name.0)
    }
}
