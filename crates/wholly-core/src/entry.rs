//! An entry's text: the records that one transaction wrote in one batch, as JSON with a version.
//!
//! `{"v":1,"r":[[1763842724123,{"vote":[0,"yes"]},{"vote":[1,"yes"]}],[1763842724125,"committed"]]}`:
//! a time in milliseconds since the Unix epoch, and the records of that time. They are in `r` for a
//! transaction in two phases and in `s` for a saga. Members that a reader does not know are
//! ignored; a version or a record that it does not know makes the entry unreadable, and the
//! transaction is quarantined.
//!
//! `{"v":1,"ended":[1763842724123,"a disk was replaced"]}` is an entry of another kind, and its
//! transaction's last: an operator's word that ended what could not be read. It has no records.
//! See [`EndedByHand`].
//!
//! `"removed":true` says that the payloads of the entry's records were removed: `null` is in their
//! place. See [`Record::without_payloads`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Pattern, Record, Timestamp, saga, two_phase};

/// The newest version of an entry's text that this code reads, and the one that it writes.
pub const VERSION: u32 = 1;

/// A record and its time.
pub type Timed = (Timestamp, Record);

/// The text of an entry with these records.
///
/// # Errors
/// Never for records that were decided here; the serialiser's signature has the error.
pub fn encode(records: &[Timed]) -> Result<String, serde_json::Error> {
    encode_as(records, false)
}

/// The text of an entry with these records, whose payloads were removed.
///
/// # Errors
/// Never for records that were decided here; the serialiser's signature has the error.
pub fn encode_removed(records: &[Timed]) -> Result<String, serde_json::Error> {
    encode_as(records, true)
}

fn encode_as(records: &[Timed], removed: bool) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Text<'a> {
        v: u32,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        removed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        r: Option<ByTime<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        s: Option<ByTime<'a>>,
    }
    let (r, s) = match records.first().map(|(_, record)| record.pattern()) {
        Some(Pattern::TwoPhase) | None => (Some(ByTime(records)), None),
        Some(Pattern::Saga) => (None, Some(ByTime(records))),
    };
    serde_json::to_string(&Text { v: VERSION, removed, r, s })
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
        r: Option<Groups<two_phase::Record>>,
        s: Option<Groups<saga::Record>>,
    }
    let Version { v } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(DecodeError::Version { found: v });
    }
    match serde_json::from_str(text)? {
        Text { r: Some(groups), s: None } => Ok(of_pattern(groups, Record::TwoPhase)),
        Text { r: None, s: Some(groups) } => Ok(of_pattern(groups, Record::Saga)),
        _ => Err(DecodeError::Pattern),
    }
}

/// An operator's word that ended a transaction whose other entries cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndedByHand {
    /// The time of the word.
    pub at: Timestamp,
    /// The reason.
    pub reason: String,
}

/// The text of the entry with which an operator ends a transaction.
///
/// # Errors
/// Never; the serialiser's signature has the error.
pub fn encode_ended(ended: &EndedByHand) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Text<'a> {
        v: u32,
        ended: (Timestamp, &'a str),
    }
    serde_json::to_string(&Text { v: VERSION, ended: (ended.at, &ended.reason) })
}

/// The operator's word in the entry with this text; `None` of every other entry.
pub fn decode_ended(text: &str) -> Option<EndedByHand> {
    #[derive(Deserialize)]
    struct Text {
        v: u32,
        ended: (Timestamp, String),
    }
    let Text { v, ended: (at, reason) } = serde_json::from_str(text).ok()?;
    (v == VERSION).then_some(EndedByHand { at, reason })
}

/// True if the payloads of the entry with this text were removed.
pub fn is_removed(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Removed {
        #[serde(default)]
        removed: bool,
    }
    serde_json::from_str(text).is_ok_and(|Removed { removed }| removed)
}

fn of_pattern<R>(groups: Groups<R>, pattern: impl Fn(R) -> Record) -> Vec<Timed> {
    let records = groups.into_iter().flat_map(|group| group.0);
    records.map(|(time, record)| (time, pattern(record))).collect()
}

/// Records, to be written: grouped by their times.
struct ByTime<'a>(&'a [Timed]);

impl Serialize for ByTime<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.chunk_by(|one, next| one.0 == next.0).map(SameTime))
    }
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

/// Records of one pattern, as they are read.
type Groups<R> = Vec<Group<R>>;

/// Records of one time.
struct Group<R>(Vec<(Timestamp, R)>);

impl<'de, R: DeserializeOwned> Deserialize<'de> for Group<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(GroupVisitor(PhantomData))
    }
}

struct GroupVisitor<R>(PhantomData<R>);

impl<'de, R: DeserializeOwned> Visitor<'de> for GroupVisitor<R> {
    type Value = Group<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time and its records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut group: A) -> Result<Group<R>, A::Error> {
        let time: Timestamp =
            group.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let mut records = Vec::new();
        while let Some(record) = group.next_element()? {
            records.push((time, record));
        }
        Ok(Group(records))
    }
}

/// The reason that an entry cannot be read.
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
    /// The text has the records of no pattern, or of two.
    #[error("the entry has the records of no pattern that this version of Wholly knows")]
    Pattern,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_time_share_it() {
        let at = Timestamp::from_millis;
        let acknowledged =
            |time, branch| (at(time), Record::TwoPhase(two_phase::Record::Acknowledged(branch)));
        let records = vec![
            acknowledged(5, 0),
            acknowledged(5, 1),
            acknowledged(7, 2),
            (at(7), Record::TwoPhase(two_phase::Record::Settled)),
        ];
        let text = encode(&records).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"r":[[5,{"acknowledged":0},{"acknowledged":1}],[7,{"acknowledged":2},"settled"]]}"#
        );
        assert_eq!(decode(&text).unwrap(), records);
        assert!(decode(r#"{"v":1,"r":[[]]}"#).is_err());
        assert!(matches!(decode(r#"{"v":1}"#), Err(DecodeError::Pattern)));
    }

    #[test]
    fn an_entry_says_that_its_payloads_were_removed() {
        let records = vec![(Timestamp::from_millis(5), Record::Saga(saga::Record::Settled))];
        let text = encode_removed(&records).unwrap();
        assert_eq!(text, r#"{"v":1,"removed":true,"s":[[5,"settled"]]}"#);
        assert_eq!(decode(&text).unwrap(), records);
        assert!(is_removed(&text) && !is_removed(&encode(&records).unwrap()));
    }

    #[test]
    fn an_operator_s_word_is_an_entry_without_records() {
        let ended = EndedByHand { at: Timestamp::from_millis(5), reason: "a \"disk\"".to_owned() };
        let text = encode_ended(&ended).unwrap();
        assert_eq!(text, r#"{"v":1,"ended":[5,"a \"disk\""]}"#);
        assert_eq!(decode_ended(&text), Some(ended));
        assert!(matches!(decode(&text), Err(DecodeError::Pattern)));
        for other in [r#"{"v":2,"ended":[5,"why"]}"#, r#"{"v":1,"s":[[5,"settled"]]}"#, "", "{}"] {
            assert_eq!(decode_ended(other), None, "{other}");
        }
    }

    #[test]
    fn a_saga_s_records_stand_apart() {
        let records = vec![(Timestamp::from_millis(5), Record::Saga(saga::Record::Compensated(3)))];
        let text = encode(&records).unwrap();
        assert_eq!(text, r#"{"v":1,"s":[[5,{"compensated":3}]]}"#);
        assert_eq!(decode(&text).unwrap(), records);
    }
}
