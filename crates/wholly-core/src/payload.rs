//! The JSON that a client gives for a participant: kept as text, never interpreted.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

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

    /// Whether both say the same: white space and the order of members do not count.
    pub fn same_as(&self, other: &Self) -> bool {
        let value = |p: &Self| p.to::<serde_json::Value>().ok();
        self.as_str() == other.as_str() || (value(self).is_some() && value(self) == value(other))
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
