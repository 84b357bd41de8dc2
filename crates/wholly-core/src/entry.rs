//! An entry's text: the records that one transaction wrote in one batch, as JSON with a version.
//!
//! `{"v":1,"r":[[1763842724123,{"vote":[0,"yes"]}],[1763842724125,"committed"]]}`: each record is
//! preceded by its time in milliseconds since the Unix epoch. Members that a reader does not know
//! are ignored; a version or a record that it does not know makes the entry unreadable, and the
//! transaction is set aside.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::two_phase::Record;

/// The newest version of an entry's text that this code reads, and the one that it writes.
pub const VERSION: u32 = 1;

/// A record and when it was written.
pub type Timed = (Timestamp, Record);

/// The text of an entry with these records.
///
/// # Errors
/// Never for records that were decided here; the serialiser's signature has the error.
pub fn encode(records: &[Timed]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Text<'a> {
        v: u32,
        r: &'a [Timed],
    }
    serde_json::to_string(&Text { v: VERSION, r: records })
}

/// The records of an entry with this text.
///
/// # Errors
/// When the text is no entry, or one of a newer version.
pub fn decode(text: &str) -> Result<Vec<Timed>, DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    #[derive(Deserialize)]
    struct Text {
        r: Vec<Timed>,
    }
    let Version { v } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(DecodeError::Version { found: v });
    }
    let Text { r } = serde_json::from_str(text)?;
    Ok(r)
}

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text has not the form of an entry.
    #[error("the entry is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// The text has the form of another version.
    #[error("the entry has version {found}, and this version of Wholly reads version {VERSION}")]
    Version {
        /// The entry's version.
        found: u32,
    },
}
