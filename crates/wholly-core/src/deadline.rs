//! A deadline that has passed, as both patterns record it: `"deadline"`, or, where answers were
//! outstanding, `{"deadline":{"last_answers":"…"}}`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Alone(Alone),
    With { deadline: LastAnswers<T> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Alone {
    Deadline,
}

#[derive(Serialize, Deserialize)]
struct LastAnswers<T> {
    last_answers: T,
}

pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        "" => Written::Alone(Alone::Deadline),
        last_answers => Written::With { deadline: LastAnswers { last_answers } },
    }
    .serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Alone(Alone::Deadline) => String::new(),
        Written::With { deadline: LastAnswers { last_answers } } => last_answers,
    })
}

/// The deadline that passed `before` something, in words, with the last answers if there are any.
pub(crate) fn in_words(
    f: &mut fmt::Formatter<'_>,
    before: &str,
    last_answers: &str,
) -> fmt::Result {
    write!(f, "the deadline passed before {before}")?;
    match last_answers {
        "" => Ok(()),
        last => write!(f, "; {last}"),
    }
}
