//! An entry's text: the records that one transaction wrote in one batch, as JSON with a version.
//!
//! `{"v":1,"r":[[1763842724123,{"vote":[0,"yes"]},{"vote":[1,"yes"]}],[1763842724125,"committed"]]}`:
//! a time in milliseconds since the Unix epoch, and the records of that time. Members that a reader
//! does not know are ignored; a version or a record that it does not know makes the entry
//! unreadable, and the transaction is set aside.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
        r: Vec<SameTime<'a>>,
    }
    let r = records.chunk_by(|one, next| one.0 == next.0).map(SameTime).collect();
    serde_json::to_string(&Text { v: VERSION, r })
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
        r: Vec<Group>,
    }
    let Version { v } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(DecodeError::Version { found: v });
    }
    let Text { r } = serde_json::from_str(text)?;
    Ok(r.into_iter().flat_map(|group| group.0).collect())
}

/// Records of one time, to be written: the time, then the records. There is at least one.
struct SameTime<'a>(&'a [Timed]);

impl Serialize for SameTime<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut group = serializer.serialize_seq(Some(1 + self.0.len()))?;
        for (nth, (time, record)) in self.0.iter().enumerate() {
            if nth == 0 {
                group.serialize_element(time)?;
            }
            group.serialize_element(record)?;
        }
        group.end()
    }
}

/// Records of one time, as they are read.
struct Group(Vec<Timed>);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(GroupVisitor)
    }
}

struct GroupVisitor;

impl<'de> Visitor<'de> for GroupVisitor {
    type Value = Group;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time and its records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut group: A) -> Result<Group, A::Error> {
        let time: Timestamp =
            group.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let mut records = Vec::new();
        while let Some(record) = group.next_element()? {
            records.push((time, record));
        }
        Ok(Group(records))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_time_share_it() {
        let at = Timestamp::from_millis;
        let acknowledged = |time, branch| (at(time), Record::Acknowledged(branch));
        let records = vec![
            acknowledged(5, 0),
            acknowledged(5, 1),
            acknowledged(7, 2),
            (at(7), Record::Settled),
        ];
        let text = encode(&records).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"r":[[5,{"acknowledged":0},{"acknowledged":1}],[7,{"acknowledged":2},"settled"]]}"#
        );
        assert_eq!(decode(&text).unwrap(), records);
        assert!(decode(r#"{"v":1,"r":[[]]}"#).is_err());
    }
}
