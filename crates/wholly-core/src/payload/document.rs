//! A payload's text taken apart, to compare two by what they say instead of how they are written.
//!
//! Numbers compare by their exact decimal value: `1`, `1.0` and `10e-1` are one number, and
//! 9007199254740993 is not 9007199254740992, which floating point takes it for. A number that no
//! `f64` holds (`1e400`) compares as it is written, and so does a string that is no Unicode text (half
//! of a surrogate pair). The order of members is free; a member that is repeated makes the text
//! ambiguous, since readers disagree on which of the two counts.
//!
//! INVARIANT: no recursion, and time in proportion to the text's length (but for sorting members),
//! however deep it nests.

use std::borrow::Cow;

use serde::Deserialize;

/// All values of a text. Each container follows its contents, so that the whole is the last one.
pub(super) struct Document<'a> {
    values: Vec<Value<'a>>,
}

/// An object has this member twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepeatedMember {
    pub name: String,
}

/// One value. Those within it are named by their index.
enum Value<'a> {
    /// `null`, `true` or `false`.
    Word(&'a str),
    Number(Number<'a>),
    Text(Text<'a>),
    List(Vec<usize>),
    /// Sorted by name.
    Object(Vec<(Text<'a>, usize)>),
}

#[derive(PartialEq, Eq)]
enum Number<'a> {
    /// `digits` × 10^`exponent`; the digits neither begin nor end with a zero, and zero has none.
    Exact {
        negative: bool,
        digits: String,
        exponent: i64,
    },
    AsWritten(&'a str),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Text<'a> {
    Decoded(Cow<'a, str>),
    AsWritten(&'a str),
}

impl<'a> Document<'a> {
    /// Takes a text apart that is known to be JSON.
    ///
    /// # Errors
    /// When an object has a member twice.
    pub fn of(json: &'a str) -> Result<Self, RepeatedMember> {
        let mut reader = DocumentReader { rest: json, values: Vec::new(), open: Vec::new() };
        while reader.step()? {}
        Ok(Self { values: reader.values })
    }
}

impl PartialEq for Document<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.values.len() != other.values.len() {
            return false;
        }
        let root = self.values.len().saturating_sub(1);
        let mut pairs = vec![(root, root)];
        while let Some((one, another)) = pairs.pop() {
            let same = match (self.values.get(one), other.values.get(another)) {
                (Some(Value::List(one)), Some(Value::List(another))) => {
                    pairs.extend(one.iter().copied().zip(another.iter().copied()));
                    one.len() == another.len()
                }
                (Some(Value::Object(one)), Some(Value::Object(another))) => {
                    let members = || one.iter().zip(another);
                    pairs.extend(members().map(|((_, one), (_, another))| (*one, *another)));
                    one.len() == another.len() && members().all(|(one, another)| one.0 == another.0)
                }
                (Some(Value::Word(one)), Some(Value::Word(another))) => one == another,
                (Some(Value::Number(one)), Some(Value::Number(another))) => one == another,
                (Some(Value::Text(one)), Some(Value::Text(another))) => one == another,
                _ => false,
            };
            if !same {
                return false;
            }
        }
        true
    }
}

/// A container whose end was not read yet.
enum Open<'a> {
    List(Vec<usize>),
    Object { members: Vec<(Text<'a>, usize)>, name: Option<Text<'a>> },
}

struct DocumentReader<'a> {
    rest: &'a str,
    values: Vec<Value<'a>>,
    open: Vec<Open<'a>>,
}

impl<'a> DocumentReader<'a> {
    /// Reads one token; false at the end. Commas and colons say nothing that is not known, because the
    /// text is JSON.
    fn step(&mut self) -> Result<bool, RepeatedMember> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        match self.rest.as_bytes() {
            [] => return Ok(false),
            [b'{', ..] => {
                self.take(1);
                self.open.push(Open::Object { members: Vec::new(), name: None });
            }
            [b'[', ..] => {
                self.take(1);
                self.open.push(Open::List(Vec::new()));
            }
            [b'}' | b']', ..] => {
                self.take(1);
                self.close()?;
            }
            [b'"', ..] => {
                let text = Text::of(self.take(string_length(self.rest)));
                match self.open.last_mut() {
                    Some(Open::Object { name: name @ None, .. }) => *name = Some(text),
                    _ => self.add(Value::Text(text)),
                }
            }
            [first, ..] => {
                let is_number = matches!(first, b'-' | b'0'..=b'9');
                let word = self.take(word_length(self.rest));
                self.add(match is_number {
                    true => Value::Number(Number::of(word)),
                    false => Value::Word(word),
                });
            }
        }
        Ok(true)
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn add(&mut self, value: Value<'a>) {
        let index = self.values.len();
        self.values.push(value);
        match self.open.last_mut() {
            Some(Open::List(list)) => list.push(index),
            Some(Open::Object { members, name }) => {
                members.extend(name.take().map(|name| (name, index)));
            }
            None => {}
        }
    }

    fn close(&mut self) -> Result<(), RepeatedMember> {
        match self.open.pop() {
            Some(Open::List(list)) => self.add(Value::List(list)),
            Some(Open::Object { mut members, .. }) => {
                members.sort();
                let twice = members.windows(2).find_map(|pair| match pair {
                    [(one, _), (another, _)] if one == another => Some(another.to_name()),
                    _ => None,
                });
                if let Some(name) = twice {
                    return Err(RepeatedMember { name });
                }
                self.add(Value::Object(members));
            }
            None => {}
        }
        Ok(())
    }
}

/// The length of the string at the beginning of a text, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = true; // The first quote opens it.
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The length of the number or word at the beginning of a text.
fn word_length(text: &str) -> usize {
    let ends = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
    text.find(ends).unwrap_or(text.len()).max(1)
}

impl<'a> Text<'a> {
    /// The string that is written so, quotes included.
    fn of(written: &'a str) -> Self {
        #[derive(Deserialize)]
        struct Decoded<'t>(#[serde(borrow)] Cow<'t, str>);
        match serde_json::from_str(written) {
            Ok(Decoded(text)) => Self::Decoded(text),
            Err(_) => Self::AsWritten(written),
        }
    }

    fn to_name(&self) -> String {
        match self {
            Self::Decoded(text) => text.to_string(),
            Self::AsWritten(text) => (*text).to_owned(),
        }
    }
}

impl<'a> Number<'a> {
    fn of(written: &'a str) -> Self {
        let is_finite = written.parse().is_ok_and(f64::is_finite);
        is_finite.then(|| Self::exact(written)).flatten().unwrap_or(Self::AsWritten(written))
    }

    /// `None` where the exponent itself is past all bounds.
    fn exact(written: &str) -> Option<Self> {
        let (negative, unsigned) = match written.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, written),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let from_first = all.trim_start_matches('0');
        let digits = from_first.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self::Exact { negative: false, digits: String::new(), exponent: 0 });
        }
        let zeros_at_end = i64::try_from(from_first.len() - digits.len()).ok()?;
        let places = i64::try_from(fraction.len()).ok()?;
        let exponent =
            exponent.parse::<i64>().ok()?.checked_add(zeros_at_end)?.checked_sub(places)?;
        Some(Self::Exact { negative, digits: digits.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests;
