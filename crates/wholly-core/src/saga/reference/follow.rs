//! The way along a pointer, through a document's text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Reference, Source, Token, Unresolved};
use crate::Payload;

impl Reference {
    /// The text of its target. Nothing beside the way is looked at more closely than needed to pass
    /// it, so that numbers keep every digit.
    pub(super) fn follow<'a>(&self, source: &'a Payload) -> Result<&'a str, Unresolved> {
        if self.path.is_empty() {
            return Ok(source.as_str());
        }
        let mut document = serde_json::Deserializer::from_str(source.as_str());
        match (Way { path: &self.path }).deserialize(&mut document) {
            Ok(Ok(value)) => Ok(value.get()),
            Ok(Err(left)) => Err(Unresolved::Missing {
                pointer: self.pointer.to_string(),
                missing: self.up_to(self.path.len() - left).to_owned(),
            }),
            Err(error) => Err(Unresolved::Unreadable {
                pointer: self.pointer.to_string(),
                why: error.to_string(),
            }),
        }
    }

    /// The pointer up to the token at `index` of the path, which is part of it.
    fn up_to(&self, index: usize) -> &str {
        let before = match self.source {
            Source::Input => 1,
            Source::Output(_) => 2,
        };
        let end = self.pointer.match_indices('/').nth(before + index + 1);
        &self.pointer[..end.map_or(self.pointer.len(), |(end, _)| end)]
    }
}

/// The rest of the way.
#[derive(Clone, Copy)]
struct Way<'p> {
    path: &'p [Token],
}

/// The value at its end, or the number of tokens left where it ended early.
type Found<'a> = Result<&'a RawValue, usize>;

impl<'a> DeserializeSeed<'a> for Way<'_> {
    type Value = Found<'a>;

    fn deserialize<D: Deserializer<'a>>(self, document: D) -> Result<Found<'a>, D::Error> {
        match self.path {
            [] => serde::Deserialize::deserialize(document).map(Ok),
            _ => document.deserialize_any(self),
        }
    }
}

impl<'a> Visitor<'a> for Way<'_> {
    type Value = Found<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Found<'a>, A::Error> {
        let mut found = Err(self.path.len());
        let Some((token, path)) = self.path.split_first() else { return Ok(found) };
        while let Some(Key(name)) = members.next_key()? {
            match *name == *token.name {
                // The last one of this name counts.
                true => found = members.next_value_seed(Way { path })?,
                false => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Found<'a>, A::Error> {
        let mut found = Err(self.path.len());
        let Some((token, path)) = self.path.split_first() else { return Ok(found) };
        for index in 0.. {
            let passed = match token.index == Some(index) {
                true => elements.next_element_seed(Way { path })?.map(|here| found = here),
                false => elements.next_element::<IgnoredAny>()?.map(drop),
            };
            if passed.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Found<'a>, E> {
        Ok(Err(self.path.len()))
    }
}

/// A member's name, copied only where it is written with escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
