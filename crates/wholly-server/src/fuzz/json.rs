//! JSON by its structure: a part gives way to one that stands in the same place elsewhere, so that
//! the form stays right, or to one that has no business there.
//!
//! It is kept as it is written, so that there can be what no writer makes: a member twice, a
//! number that is none.

use std::collections::BTreeMap;

use serde_json::Value;

use super::random::Random;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Leaf(String),
    List(Vec<Json>),
    /// The names are written, too, with their quotes.
    Object(Vec<(String, Json)>),
}

/// Where a part stands: in the member of this name, so many lists deep; and its first byte, which
/// is its type.
type Place = (String, u8, u8);

/// The parts of many texts, by where they stand.
#[derive(Default)]
pub struct Pool(BTreeMap<Place, Vec<Json>>);

const LEAVES: [&str; 23] = [
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
const NAMES: [&str; 7] = ["x", "", "$from", "\u{e9}", "name", "v", "\u{0}"];
const FRAGMENTS: [&str; 10] =
    ["a", "7", " ", "/", "~1", "\\n", "\\u00e9", "\u{e9}", "\\ud83d\\ude00", "$from"];

impl Json {
    /// An object or a list.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        (value.is_object() || value.is_array()).then(|| Self::of(&value))
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (quoted(name), Self::of(value)));
                Self::Object(members.collect())
            }
            leaf => Self::Leaf(leaf.to_string()),
        }
    }

    pub fn write(&self, to: &mut String) {
        match self {
            Self::Leaf(text) => to.push_str(text),
            Self::List(items) => {
                to.push('[');
                for (nth, item) in items.iter().enumerate() {
                    to.push_str(if nth == 0 { "" } else { "," });
                    item.write(to);
                }
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (nth, (name, value)) in members.iter().enumerate() {
                    to.push_str(if nth == 0 { "" } else { "," });
                    to.push_str(name);
                    to.push(':');
                    value.write(to);
                }
                to.push('}');
            }
        }
    }

    /// Changes one part.
    pub fn mutate(&mut self, pool: &Pool, random: &mut Random) {
        let mut nth = random.below(self.len());
        self.part("", 0, &mut nth, &mut |part, name, depth| match random.below(20) {
            0..10 => part.graft(pool, (name.to_owned(), depth, part.kind()), random),
            10..13 => part.nudge(random),
            13 => *part = Self::Leaf((*random.of(&LEAVES)).to_owned()),
            14 => part.remove(random),
            15 | 16 => part.repeat(random),
            17 => part.rename(random),
            18 => part.swap(random),
            _ => part.swell(random),
        });
    }

    /// How many parts there are.
    fn len(&self) -> usize {
        1 + match self {
            Self::Leaf(_) => 0,
            Self::List(items) => items.iter().map(Self::len).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.len()).sum(),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Leaf(text) => match text.as_bytes().first() {
                Some(b'-' | b'0'..=b'9') => b'0',
                first => first.copied().unwrap_or(b'0'),
            },
            Self::List(_) => b'[',
            Self::Object(_) => b'{',
        }
    }

    /// Acts on the part that is the `nth` one, counted from the outside in.
    fn part(
        &mut self,
        name: &str,
        depth: u8,
        nth: &mut usize,
        act: &mut dyn FnMut(&mut Self, &str, u8),
    ) -> bool {
        if *nth == 0 {
            act(self, name, depth);
            return true;
        }
        *nth -= 1;
        match self {
            Self::Leaf(_) => false,
            Self::List(items) => items.iter_mut().any(|item| item.part(name, depth + 1, nth, act)),
            Self::Object(members) => {
                members.iter_mut().any(|(name, value)| value.part(name, 0, nth, act))
            }
        }
    }

    /// Takes what stands in the same place elsewhere.
    fn graft(&mut self, pool: &Pool, place: Place, random: &mut Random) {
        if let Some(parts) = pool.0.get(&place) {
            self.clone_from(random.of(parts));
        }
    }

    /// Alters a little of it.
    fn nudge(&mut self, random: &mut Random) {
        match (self.kind(), self) {
            (b'"', Self::Leaf(text)) => {
                let fragment: &&str = random.of(&FRAGMENTS);
                text.insert_str(1, fragment);
            }
            (b'0', Self::Leaf(text)) => *text = random.small(20).to_string(),
            (b't', Self::Leaf(text)) => *text = "false".to_owned(),
            (_, Self::Leaf(text)) => *text = "true".to_owned(),
            (_, part) => part.repeat(random),
        }
    }

    fn remove(&mut self, random: &mut Random) {
        match self {
            Self::List(items) if !items.is_empty() => drop(items.remove(random.below(items.len()))),
            Self::Object(members) if !members.is_empty() => {
                drop(members.remove(random.below(members.len())));
            }
            _ => {}
        }
    }

    fn repeat(&mut self, random: &mut Random) {
        match self {
            Self::List(items) if !items.is_empty() => {
                let item = random.of(items).clone();
                items.insert(random.below(items.len() + 1), item);
            }
            Self::Object(members) if !members.is_empty() => {
                let member = random.of(members).clone();
                members.insert(random.below(members.len() + 1), member);
            }
            _ => self.nudge_leaf(random),
        }
    }

    fn nudge_leaf(&mut self, random: &mut Random) {
        if let Self::Leaf(_) = self {
            self.nudge(random);
        }
    }

    /// Another name for a member, or a member more.
    fn rename(&mut self, random: &mut Random) {
        let Self::Object(members) = self else { return };
        let name: &&str = random.of(&NAMES);
        let name = quoted(name);
        match random.below(members.len() + 1) {
            nth if nth < members.len() => members[nth].0 = name,
            _ => members.push((name, Self::Leaf((*random.of(&LEAVES)).to_owned()))),
        }
    }

    fn swap(&mut self, random: &mut Random) {
        match self {
            Self::List(items) if !items.is_empty() => {
                let (one, other) = (random.below(items.len()), random.below(items.len()));
                items.swap(one, other);
            }
            Self::Object(members) if !members.is_empty() => {
                let (one, other) = (random.below(members.len()), random.below(members.len()));
                members.swap(one, other);
            }
            _ => {}
        }
    }

    /// Deep, or huge.
    fn swell(&mut self, random: &mut Random) {
        if random.one_in(20) {
            *self = Self::Leaf(quoted(&"x".repeat(random.small(18))));
            return;
        }
        let (open, close) = *random.of(&[("[", "]"), ("{\"a\":", "}")]);
        let depth = random.small(9);
        let mut text = open.repeat(depth);
        self.write(&mut text);
        text.push_str(&close.repeat(depth));
        *self = Self::Leaf(text);
    }
}

impl Pool {
    pub fn add(&mut self, json: &Json) {
        let mut json = json.clone();
        for nth in 0..json.len() {
            json.part("", 0, &mut nth.clone(), &mut |part, name, depth| {
                let place = (name.to_owned(), depth, part.kind());
                self.0.entry(place).or_default().push(part.clone());
            });
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_written_the_same_and_grafted_in_its_place() {
        let text = r#"{"a":[[1,"x"],{"b":true}],"c":null}"#;
        let mut json = Json::parse(text).unwrap();
        let mut written = String::new();
        json.write(&mut written);
        assert_eq!(written, text);
        assert_eq!(json.len(), 8);
        let mut pool = Pool::default();
        pool.add(&Json::parse(r#"{"a":[[2,"y"]],"c":{}}"#).unwrap());
        let place = |name: &str, depth, kind| (quoted(name), depth, kind);
        assert_eq!(pool.0[&place("a", 2, b'0')], [Json::Leaf("2".to_owned())]);
        assert!(!pool.0.contains_key(&place("c", 0, b'n')));
        let mut random = Random(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let mut mutated = json.clone();
            mutated.mutate(&pool, &mut random);
            let mut text = String::new();
            mutated.write(&mut text);
            seen.insert(text);
        }
        json.part("", 0, &mut 2, &mut |part, name, depth| {
            part.graft(&pool, (name.to_owned(), depth, b'['), &mut random);
        });
        assert_eq!(json.len(), 8, "a list like it");
        for like in [r#"{"a":[[2,"y"],{"b":true}],"c":null}"#, r#"{"a":[[1,"x"],{"b":true}]}"#] {
            assert!(seen.contains(like), "{like}: {seen:?}");
        }
    }
}
