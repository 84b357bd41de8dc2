//! A JSON text taken apart so that each part's place in it is known.
//!
//! Every part is a slice of the whole, so the distance of their addresses is the place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use wholly_core::saga::Segment;

/// A member of an object.
pub struct Member<'a> {
    pub name: String,
    /// The name as it is written.
    pub key: &'a RawValue,
    pub value: &'a RawValue,
}

/// An object's members, in their order; `None` for what is no object.
pub fn members(object: &RawValue) -> Option<Vec<Member<'_>>> {
    let text = object.get().starts_with('{').then_some(object.get())?;
    serde_json::from_str(text).ok().map(|Members(members)| members)
}

/// A list's elements; `None` for what is no list.
pub fn elements(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get().starts_with('[').then_some(list.get())?).ok()
}

/// The byte of `text` at which a part of it begins.
pub fn offset(text: &str, part: &RawValue) -> usize {
    (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// The value at this place, or the object that lacks it.
pub fn find<'a>(mut value: &'a RawValue, at: &[Segment]) -> &'a RawValue {
    for segment in at {
        let next = match segment {
            // Of two with one name the last one counts.
            Segment::Member(name) => members(value).and_then(|members| {
                members.into_iter().rfind(|member| member.name == *name).map(|found| found.value)
            }),
            Segment::Index(index) => elements(value).and_then(|list| list.get(*index).copied()),
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    value
}

/// The syntax error of a text, with its byte.
pub fn malformed(text: &str, error: &serde_json::Error) -> (usize, String) {
    (byte(text, error.line(), error.column()), without_place(error))
}

/// The byte at a line and a column as the JSON reader counts them: in bytes, the last one that it
/// looked at.
pub fn byte(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = before + column.saturating_sub(1);
    text.floor_char_boundary(at.min(text.len()))
}

/// A JSON error without its position, which counts from the part that was read.
pub fn without_place(error: &serde_json::Error) -> String {
    let said = error.to_string();
    placed(&said).map_or(&*said, |(said, ..)| said).to_owned()
}

/// A JSON error with its line and column.
pub fn placed(said: &str) -> Option<(&str, usize, usize)> {
    let (what, place) = said.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some((what, line.parse().ok()?, column.parse().ok()?))
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, _>()? {
                    let name = serde_json::from_str(key.get()).map_err(serde::de::Error::custom)?;
                    members.push(Member { name, key, value });
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
