//! Inputs that are nearly right: a corpus, changed by its structure.
//!
//! A text of the corpus is lines, and the JSON with which it may end. A part of it gives way to one
//! that stands in the same place elsewhere, goes, comes twice, or is one that has no business there.
//! One in five is changed by its bytes, too. JSON is kept as text, so that there can be what no
//! writer makes: a member twice, a number that is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Values that break readers.
const ODD: [&str; 23] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e999",
    "1e-400",
    "-1e308",
    "255",
    "65536",
    "4294967296",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\u{202e}\u{1f600}e\u{301}\"",
    "{}",
    "[]",
    "[[],{},[{}]]",
];
const NAMES: [&str; 7] =
    ["\"x\"", "\"\"", "\"$from\"", "\"\u{e9}\"", "\"name\"", "\"v\"", "\"\0\""];
const FRAGMENTS: [&str; 10] =
    ["a", "7", " ", "/", "~1", "\\n", "\\u00e9", "\u{e9}", "\\ud83d\\ude00", "$from"];
/// Bytes that break readers, beside [`ODD`].
const NASTY: [&[u8]; 11] = [
    b"",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\0",
    b"\n",
    b"\r\n",
    b"~1",
    b"%00",
];

/// Mutations of these texts.
pub fn like(corpus: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let texts: Vec<_> =
        corpus.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let pool = Pool::of(&texts);
    let nearly: Vec<_> = texts.iter().map(|text| pool.like(text)).collect();
    let bytes = prop_oneof![4 => Just(Vec::new()), 1 => vec(splice(&texts), 1..6)];
    (select(nearly).prop_flat_map(|text| text), bytes).prop_map(|(text, splices)| {
        let mut input = text.into_bytes();
        splices.into_iter().for_each(|splice| apply(&mut input, splice));
        input
    })
}

/// The place of a part: the name of its member, and its first byte, which is its type; of a
/// line, its first word, and a line's end.
type Place = (String, u8);

/// The parts of many texts, by where they stand.
struct Pool(BTreeMap<Place, Arc<Vec<String>>>);

impl Pool {
    fn of(texts: &[String]) -> Self {
        let mut parts = BTreeMap::new();
        for (head, json) in texts.iter().map(|text| split(text)) {
            json.iter().for_each(|json| collect(json, "", &mut parts));
            for line in head {
                parts.entry(place_of_line(line)).or_default().insert(line.to_owned());
            }
        }
        let shared = |texts: BTreeSet<String>| Arc::new(texts.into_iter().collect());
        Self(parts.into_iter().map(|(place, texts)| (place, shared(texts))).collect())
    }

    fn at(&self, place: &Place) -> impl Strategy<Value = String> + use<> {
        let texts = self.0[place].clone();
        (0..texts.len()).prop_map(move |nth| texts[nth].clone())
    }

    /// Texts like this one, mostly with one change.
    fn like(&self, text: &str) -> BoxedStrategy<String> {
        let (head, json) = split(text);
        let parts = 1 + head.len() as u32 + json.as_ref().map_or(0, size);
        let line = |line: &&str| {
            let alike = self.at(&place_of_line(line));
            prop_oneof![2 * parts => Just((*line).to_owned()), 1 => alike].boxed()
        };
        let lines = joined(head.iter().map(line).collect(), "", parts);
        let json = json.map_or(Just(String::new()).boxed(), |json| self.part(&json, "", parts));
        (lines, json).prop_map(|(lines, json)| lines + &json).boxed()
    }

    fn part(&self, value: &Value, name: &str, parts: u32) -> BoxedStrategy<String> {
        let text = value.to_string();
        let same = match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.part(item, name, parts));
                joined(items.collect(), ",", parts).prop_map(|items| format!("[{items}]")).boxed()
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, _)| {
                    let quoted = Value::from(name.as_str()).to_string();
                    let other = select(&NAMES).prop_map(str::to_owned);
                    let names = prop_oneof![20 * parts => Just(quoted), 1 => other];
                    let value = self.part(value, name, parts);
                    (names, value).prop_map(|(name, value)| format!("{name}:{value}")).boxed()
                };
                let members = joined(members.iter().map(member).collect(), ",", parts);
                members.prop_map(|members| format!("{{{members}}}")).boxed()
            }
            _ => Just(text.clone()).boxed(),
        };
        prop_oneof![
            20 * parts => same,
            10 => self.at(&place(value, name)),
            3 => nudged(text.clone()),
            2 => select(&ODD).prop_map(str::to_owned),
            1 => swollen(text),
        ]
        .boxed()
    }
}

/// The same string with a little more in it, another number, or a truth value.
fn nudged(text: String) -> BoxedStrategy<String> {
    match text.as_bytes()[0] {
        b'"' => {
            let more = move |fragment| format!("\"{fragment}{}", &text[1..]);
            select(&FRAGMENTS).prop_map(more).boxed()
        }
        b'-' | b'0'..=b'9' => (0..21_u32).prop_map(|bits| (1_u32 << bits).to_string()).boxed(),
        _ => select(&["true", "false"]).prop_map(str::to_owned).boxed(),
    }
}

/// Parts one after the other, of which one may be missing, or there twice, or all in another order.
fn joined(
    parts: Vec<BoxedStrategy<String>>,
    between: &'static str,
    all: u32,
) -> BoxedStrategy<String> {
    let times = || prop_oneof![20 * all => Just(1_usize), 1 => Just(0), 2 => Just(2)];
    let parts: Vec<_> = parts.into_iter().map(|part| (part, times())).collect();
    let ordered = prop_oneof![20 * all => parts.clone(), 1 => parts.prop_shuffle()];
    let repeated = |(part, times)| std::iter::repeat_n(part, times);
    let join = move |parts: Vec<_>| {
        parts.into_iter().flat_map(repeated).collect::<Vec<String>>().join(between)
    };
    ordered.prop_map(join).boxed()
}

/// Deep, or huge.
fn swollen(text: String) -> impl Strategy<Value = String> {
    let deep = (select(&[("[", "]"), ("{\"a\":", "}")]), 0..300_usize);
    let wrapped = move |((open, close), depth): ((&str, &str), usize)| {
        format!("{}{text}{}", open.repeat(depth), close.repeat(depth))
    };
    prop_oneof![
        20 => deep.prop_map(wrapped),
        1 => (0..18_u32).prop_map(|bits| format!("\"{}\"", "x".repeat(1 << bits))),
    ]
}

/// A change of bytes: a word, or a range of this length, gives way to another word, so many times.
type Splice = (Index, Option<usize>, Vec<u8>, usize);

fn splice(texts: &[String]) -> impl Strategy<Value = Splice> + use<> {
    let texts = texts.iter().map(|text| text.as_bytes());
    let words = texts.flat_map(|text| text.chunk_by(|a, b| is_word(*a) == is_word(*b)));
    let words = words.chain(ODD.map(str::as_bytes)).chain(NASTY).map(<[u8]>::to_vec);
    let words: Vec<_> = words.collect::<BTreeSet<_>>().into_iter().collect();
    let range = (0..17_usize).prop_map(Some);
    let length = prop_oneof![8 => Just(None), 5 => range, 1 => Just(Some(usize::MAX))];
    let times = prop_oneof![30 => Just(1), 1 => 0..200_usize];
    (any::<Index>(), length, select(words), times)
}

fn apply(input: &mut Vec<u8>, (at, length, word, times): Splice) {
    if input.is_empty() {
        return;
    }
    let at = at.index(input.len());
    let same = |byte: &&u8| is_word(**byte) == is_word(input[at]);
    let (before, after) = input.split_at(at);
    let (from, to) = match length {
        Some(length) => (at, at.saturating_add(length).min(input.len())),
        None => (
            at - before.iter().rev().take_while(same).count(),
            at + after.iter().take_while(same).count(),
        ),
    };
    input.splice(from..to, word.repeat(times));
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_$/\".~".contains(&byte)
}

/// The lines of a text, and the JSON with which it ends.
fn split(text: &str) -> (Vec<&str>, Option<Value>) {
    let (mut lines, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if rest.starts_with(['{', '['])
            && let Ok(json) = serde_json::from_str(rest)
        {
            return (lines, Some(json));
        }
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        lines.push(line);
        rest = &rest[line.len()..];
    }
    (lines, None)
}

fn place_of_line(line: &str) -> Place {
    let first_word = line.split([' ', '=', ':', '\n']).next().unwrap_or_default();
    (first_word.to_owned(), b'\n')
}

/// The number of a value's parts, itself one of them.
fn size(value: &Value) -> u32 {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

fn place(value: &Value, name: &str) -> Place {
    let kind = if value.is_number() { b'0' } else { value.to_string().as_bytes()[0] };
    (name.to_owned(), kind)
}

fn collect(value: &Value, name: &str, to: &mut BTreeMap<Place, BTreeSet<String>>) {
    to.entry(place(value, name)).or_default().insert(value.to_string());
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, to)),
        Value::Object(all) => all.iter().for_each(|(name, value)| collect(value, name, to)),
        _ => {}
    }
}
