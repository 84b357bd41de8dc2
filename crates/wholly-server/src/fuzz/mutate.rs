//! Inputs that are nearly right: the seeds, changed by their structure, or cut, repeated, mixed,
//! and with words in wrong places.

use std::collections::BTreeMap;

use super::json::{Json, Pool};
use super::random::Random;

/// What breaks readers.
const NASTY: [&str; 24] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e999",
    "1.0",
    "18446744073709551616",
    "9223372036854775807",
    "4294967296",
    "65536",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
    "\u{feff}",
    "\u{2028}",
    "\0",
    "\r\n",
    "~1",
    "%00",
];

pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    /// The seeds as lines, and the JSON after them.
    parts: Vec<(Vec<&'a [u8]>, Option<Json>)>,
    /// The lines by their first word.
    lines: BTreeMap<&'a [u8], Vec<&'a [u8]>>,
    pool: Pool,
    /// The seeds' own words, numbers and strings.
    words: Vec<&'a [u8]>,
    random: Random,
}

impl<'a> Mutator<'a> {
    pub fn new(seeds: &'a [Vec<u8>], seed: u64) -> Self {
        let words = seeds.iter().flat_map(|text| text.chunk_by(|a, b| is_word(a) == is_word(b)));
        let mut words: Vec<_> = words.chain(NASTY.iter().map(|nasty| nasty.as_bytes())).collect();
        words.sort_unstable();
        words.dedup();
        let parts: Vec<_> = seeds.iter().map(|text| parts(text)).collect();
        let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in parts.iter().flat_map(|(lines, _)| lines) {
            lines.entry(first_word(line)).or_default().push(*line);
        }
        let mut pool = Pool::default();
        parts.iter().filter_map(|(_, json)| json.as_ref()).for_each(|json| pool.add(json));
        Self { seeds, parts, lines, pool, words, random: Random(seed) }
    }

    pub fn next(&mut self) -> Vec<u8> {
        let nth = self.random.below(self.seeds.len());
        if !self.random.one_in(5) {
            return self.by_structure(nth);
        }
        let mut input = self.seeds[nth].clone();
        for _ in 0..=self.random.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(64 * 1024);
        input
    }

    fn by_structure(&mut self, nth: usize) -> Vec<u8> {
        let (mut lines, mut json) = self.parts[nth].clone();
        let more = self.random.below(3);
        for _ in 0..=self.random.below(1 + more) {
            match &mut json {
                Some(json) if lines.is_empty() || !self.random.one_in(6) => {
                    json.mutate(&self.pool, &mut self.random);
                }
                _ => self.mutate_lines(&mut lines),
            }
        }
        let mut input = lines.concat();
        if self.random.one_in(8) {
            self.replace_word(&mut input);
        }
        let mut text = String::new();
        json.iter().for_each(|json| json.write(&mut text));
        input.extend(text.as_bytes());
        input
    }

    /// A line gives way to one that begins with the same word, or goes, or comes twice, or in
    /// another place. What a request asks stays first, and its empty line last.
    fn mutate_lines(&mut self, lines: &mut Vec<&'a [u8]>) {
        let is_head = lines.last().is_some_and(|last| *last == b"\n");
        let inner = lines.len().saturating_sub(if is_head { 2 } else { 0 });
        let first = usize::from(is_head);
        let (one, other) = (first + self.random.below(inner), first + self.random.below(inner));
        match self.random.below(10) {
            0 if inner > 0 => drop(lines.remove(one)),
            1 if inner > 0 => lines.insert(one, lines[other]),
            2 if inner > 0 => lines.swap(one, other),
            3 if !lines.is_empty() => {
                let others = &self.parts[self.random.below(self.parts.len())].0;
                if others.len() > 2 {
                    lines.insert(one, *self.random.of(&others[1..others.len() - 1]));
                }
            }
            _ if lines.is_empty() => {}
            _ => {
                let at = self.random.below(lines.len());
                lines[at] = *self.random.of(&self.lines[first_word(lines[at])]);
            }
        }
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len());
        match self.random.below(10) {
            0 if !input.is_empty() => {
                let at = self.random.below(input.len());
                input[at] ^= 1 << self.random.below(8);
            }
            1 => drop(input.drain(from..to)),
            2 => {
                let piece = input[from..to].to_vec();
                let times = if self.random.one_in(50) { 200 } else { 1 + self.random.below(3) };
                input.splice(to..to, piece.repeat(times));
            }
            3 => input.truncate(from),
            // The place of one word is another's, so that the form stays right.
            4..8 => self.replace_word(input),
            8 => {
                let word = *self.random.of(&self.words);
                input.splice(from..from, word.iter().copied());
            }
            _ => {
                let seeds = self.seeds;
                let other = self.random.of(seeds);
                let (start, end) = self.range(other.len());
                input.splice(from..to, other[start..end].iter().copied());
            }
        }
    }

    fn replace_word(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let at = self.random.below(input.len());
        let kind = is_word(&input[at]);
        let same = |byte: &u8| is_word(byte) == kind;
        let start = at - input[..at].iter().rev().take_while(|byte| same(byte)).count();
        let end = at + input[at..].iter().take_while(|byte| same(byte)).count();
        let word = *self.random.of(&self.words);
        input.splice(start..end, word.iter().copied());
    }

    /// A range, mostly a short one.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let from = self.random.below(len + 1);
        let longest = if self.random.one_in(4) { len } else { 16 };
        (from, (from + self.random.below(longest + 1)).min(len))
    }
}

fn first_word(line: &[u8]) -> &[u8] {
    &line[..line.iter().position(|byte| b" =:\n".contains(byte)).unwrap_or(line.len())]
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_$/\".~".contains(byte)
}

/// The lines of a text, and the JSON with which it ends.
fn parts(text: &[u8]) -> (Vec<&[u8]>, Option<Json>) {
    let mut rest = text;
    let mut lines: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        // An empty line before it is a line.
        let json = str::from_utf8(rest).ok().filter(|text| text.starts_with(['{', '[']));
        if let Some(json) = json.and_then(Json::parse) {
            return (lines, Some(json));
        }
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after;
    }
    (lines, None)
}
