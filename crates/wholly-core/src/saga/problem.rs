//! The problems of a definition, and their places.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::nearest;

/// One problem of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The place in the definition. A missing member is named at the object that lacks it.
    #[serde(rename = "pointer", serialize_with = "as_pointer")]
    pub at: Vec<Segment>,
    /// The problem, and its remedy.
    #[serde(rename = "detail")]
    pub what: String,
}

/// One step of the way from a definition's root to a place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The step to the member with this name.
    Member(String),
    /// The step to the element with this place in its list, from 0.
    Index(usize),
}

impl Problem {
    /// The place, as a JSON Pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        pointer(&self.at)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.is_empty() {
            true => f.write_str(&self.what),
            false => write!(f, "{}: {}", self.pointer(), self.what),
        }
    }
}

fn pointer(at: &[Segment]) -> String {
    at.iter().map(|segment| format!("/{segment}")).collect()
}

fn as_pointer<S: Serializer>(at: &[Segment], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&pointer(at))
}

/// Writes it as in a JSON Pointer.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(&name.replace('~', "~0").replace('/', "~1")),
            Self::Index(index) => index.fmt(f),
        }
    }
}

impl From<&str> for Segment {
    fn from(name: &str) -> Self {
        Self::Member(name.to_owned())
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A definition that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saga's definition makes no sense: {}", list(.problems))]
pub struct InvalidDefinition {
    /// All its problems: at least one.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects the problems, so that an author sees all at once.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// More would not be read, and finding the words for one costs time.
    const LIMIT: usize = 100;

    pub fn add(&mut self, at: Vec<Segment>, what: impl FnOnce() -> String) {
        if self.0.len() < Self::LIMIT {
            self.0.push(Problem { at, what: what() });
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_result(self) -> Result<(), InvalidDefinition> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(InvalidDefinition { problems: self.0 }),
        }
    }
}

/// The way to a place.
macro_rules! at {
    ($($segment:expr),*) => { vec![$($crate::saga::problem::Segment::from($segment)),*] };
}
pub(super) use at;

/// `; did you mean "…"?`, where a name is near.
pub(super) fn meant<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or(String::new(), |(_, name)| format!("; did you mean {name:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_json_pointer() {
        let problem = Problem { at: at!("steps", 3, "payload", "a/b~c"), what: "no".into() };
        assert_eq!(problem.to_string(), "/steps/3/payload/a~1b~0c: no");
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"pointer":"/steps/3/payload/a~1b~0c","detail":"no"}"#
        );
    }
}
