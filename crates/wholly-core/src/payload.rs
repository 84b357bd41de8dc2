//! The JSON that a client gives for a participant: kept as text, never interpreted.

mod document;

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use self::document::{Document, RepeatedMember};

/// One JSON document, passed on as the client wrote it.
///
/// ```
/// # use wholly_core::Payload;
/// let payload = Payload::of(&serde_json::json!({"order_id": "ORD001"})).unwrap();
/// assert_eq!(payload.as_str(), r#"{"order_id":"ORD001"}"#);
/// ```
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Payload(Arc<RawValue>);

/// A payload that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPayload {
    /// The value has no form in JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is longer than the limit.
    #[error("the payload is {bytes} bytes long; the limit is {}", Payload::LIMIT)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// One of its objects has a member twice, and readers disagree on which of them counts.
    #[error(
        "the member {name:?} is there twice in one object of the payload; take one of them out"
    )]
    RepeatedMember {
        /// The member's name.
        name: String,
    },
}

impl Payload {
    /// The most bytes that a payload may have.
    pub const LIMIT: usize = 64 * 1024;

    /// The payload that holds `value` as JSON.
    ///
    /// # Errors
    /// When the value has no form in JSON or is longer than [`Payload::LIMIT`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, InvalidPayload> {
        Self::from_raw(serde_json::value::to_raw_value(value)?)
    }

    /// The payload with this text.
    ///
    /// # Errors
    /// When the text is no JSON document or is longer than [`Payload::LIMIT`].
    pub fn parse(text: &str) -> Result<Self, InvalidPayload> {
        Self::from_raw(serde_json::from_str(text)?)
    }

    /// A payload put together from payloads: it may be longer than [`Payload::LIMIT`], for its
    /// parts are not.
    pub(crate) fn composed(text: String) -> Result<Self, serde_json::Error> {
        Ok(Self(RawValue::from_string(text)?.into()))
    }

    /// A value as JSON, however long.
    pub(crate) fn composed_of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::value::to_raw_value(value)?.into()))
    }

    /// `null`.
    pub fn null() -> Self {
        static NULL: LazyLock<Payload> =
            LazyLock::new(|| Payload(RawValue::NULL.to_owned().into()));
        NULL.clone()
    }

    fn from_raw(raw: Box<RawValue>) -> Result<Self, InvalidPayload> {
        match raw.get().len() {
            bytes if bytes > Self::LIMIT => Err(InvalidPayload::TooLong { bytes }),
            _ => Ok(Self(raw.into())),
        }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The payload as a value of the program's own type.
    ///
    /// # Errors
    /// When the JSON does not have the type's form.
    pub fn to<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// Checks that no object in it has a member twice. A client's payload is checked before a
    /// transaction begins with it; that of a log or a participant is taken as it is.
    ///
    /// # Errors
    /// When one has.
    pub fn check_members(&self) -> Result<(), InvalidPayload> {
        match Document::of(self.as_str()) {
            Ok(_) => Ok(()),
            Err(RepeatedMember { name }) => Err(InvalidPayload::RepeatedMember { name }),
        }
    }

    /// True if both say the same: numbers count by their exact decimal value, white space and the
    /// order of members not at all. A payload that repeats a member is the same as its own text
    /// only.
    ///
    /// ```
    /// # use wholly_core::Payload;
    /// let payload = |text| Payload::parse(text).unwrap();
    /// assert!(payload(r#"{"a": 1.0, "b": 2}"#).same_as(&payload(r#"{"b":2,"a":1}"#)));
    /// // One number to floating point.
    /// assert!(!payload("9007199254740993").same_as(&payload("9007199254740992")));
    /// ```
    pub fn same_as(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
            || match (Document::of(self.as_str()), Document::of(other.as_str())) {
                (Ok(one), Ok(another)) => one == another,
                (Err(RepeatedMember { .. }), _) | (_, Err(RepeatedMember { .. })) => false,
            }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl std::hash::Hash for Payload {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(raw).map_err(serde::de::Error::custom)
    }
}
