//! The key that makes submitting idempotent, and its owner.
//!
//! A key of everybody is recorded as the client's text. A key of one caller is recorded as the
//! caller's name, U+001F and the text. Neither name nor text has control characters, so that no key
//! is ever taken for one of the other scope or of another caller.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{InvalidName, Name};

const WHAT: &str = "a transaction's key";
const SEPARATOR: char = '\u{1f}';

/// The client's own key: it makes submitting idempotent and is used for nothing else. It belongs to
/// everybody, or to one caller. Its text, as it is shown, is the client's.
///
/// ```
/// # use wholly_core::{Key, Name};
/// let key = Key::new("ORD001")?;
/// let shops = key.clone().of_caller(&Name::new("shop")?);
/// assert_ne!(shops, key);
/// assert_eq!((shops.to_string(), shops.without_caller()), ("ORD001".to_owned(), key));
/// # Ok::<(), wholly_core::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// The longest that the client's text may be, in bytes.
    pub const LIMIT: usize = 200;

    /// A key of everybody, from a client's text.
    ///
    /// # Errors
    /// When it is empty, longer than its limit, or has a character outside printable ASCII.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// The same text as a key of this caller.
    #[must_use]
    pub fn of_caller(self, caller: &Name) -> Self {
        Self(format!("{caller}{SEPARATOR}{}", self.text()).into())
    }

    /// The same text as a key of everybody.
    #[must_use]
    pub fn without_caller(&self) -> Self {
        Self(self.text().into())
    }

    /// The caller to whom it belongs; `None` if it belongs to everybody.
    pub fn caller(&self) -> Option<Name> {
        self.0.split_once(SEPARATOR).and_then(|(caller, _)| Name::new(caller).ok())
    }

    /// The client's text.
    pub fn text(&self) -> &str {
        self.0.split_once(SEPARATOR).map_or(&*self.0, |(_, text)| text)
    }

    /// The key as it is recorded, with its caller.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), InvalidName> {
    let (what, limit) = (WHAT, Key::LIMIT);
    if text.is_empty() {
        return Err(InvalidName::Empty { what });
    }
    if text.len() > limit {
        return Err(InvalidName::TooLong { what, bytes: text.len(), limit });
    }
    match text.chars().find(|&c| !c.is_ascii_graphic() && c != ' ') {
        Some(character) => {
            Err(InvalidName::Character { what, character, allowed: "printable ASCII" })
        }
        None => Ok(()),
    }
}

/// Parses a key as it is recorded.
impl FromStr for Key {
    type Err = InvalidName;

    fn from_str(recorded: &str) -> Result<Self, InvalidName> {
        let text = match recorded.split_once(SEPARATOR) {
            Some((caller, text)) => {
                Name::new(caller)?;
                text
            }
            None => recorded,
        };
        check(text)?;
        Ok(Self(recorded.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_client_is_a_key_of_a_caller_and_callers_share_none() {
        let name = |text: &str| Name::new(text).unwrap();
        let key = Key::new("a b").unwrap();
        let one = key.clone().of_caller(&name("shop"));
        let other = key.clone().of_caller(&name("shop a"));
        assert_ne!(one, other);
        assert_ne!(other, Key::new("b").unwrap().of_caller(&name("shop a")));
        assert!(Key::new(one.as_str()).is_err(), "a client cannot write it");
        for key in [&key, &one, &other] {
            assert_eq!(&key.as_str().parse::<Key>().unwrap(), key);
            assert_eq!((key.text(), format!("{key:?}")), ("a b", "\"a b\"".to_owned()));
        }
        assert_eq!((key.caller(), other.caller()), (None, Some(name("shop a"))));
        for recorded in ["\u{1f}a", "shop\u{1f}", "shop\u{1f}a\u{1f}b"] {
            assert!(recorded.parse::<Key>().is_err(), "{recorded:?}");
        }
    }
}
