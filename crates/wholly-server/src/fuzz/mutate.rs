//! Inputs that are nearly right: the corpus, cut, repeated, mixed, and with words in wrong places.

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
    corpus: &'a [Vec<u8>],
    /// The corpus' own words, numbers and strings.
    words: Vec<&'a [u8]>,
    state: u64,
}

impl<'a> Mutator<'a> {
    pub fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_$/\".~".contains(byte);
        let words =
            corpus.iter().flat_map(|text| text.chunk_by(move |a, b| is_word(a) == is_word(b)));
        let mut words: Vec<_> = words.chain(NASTY.iter().map(|nasty| nasty.as_bytes())).collect();
        words.sort_unstable();
        words.dedup();
        Self { corpus, words, state: seed }
    }

    pub fn next(&mut self) -> Vec<u8> {
        let nth = self.below(self.corpus.len());
        let mut input = self.corpus[nth].clone();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(64 * 1024);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len());
        match self.below(10) {
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 => drop(input.drain(from..to)),
            2 => {
                let piece = input[from..to].to_vec();
                let times = if self.below(50) == 0 { 200 } else { 1 + self.below(3) };
                input.splice(to..to, piece.repeat(times));
            }
            3 => input.truncate(from),
            // The place of one word is another's, so that the form stays right.
            4..8 => self.replace_word(input),
            8 => {
                let word = self.word();
                input.splice(from..from, word.iter().copied());
            }
            _ => {
                let corpus = self.corpus;
                let other = &corpus[self.below(corpus.len())];
                let (start, end) = self.range(other.len());
                input.splice(from..to, other[start..end].iter().copied());
            }
        }
    }

    fn replace_word(&mut self, input: &mut Vec<u8>) {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_$/\".~".contains(byte);
        if input.is_empty() {
            return;
        }
        let at = self.below(input.len());
        let kind = is_word(&input[at]);
        let same = |byte: &u8| is_word(byte) == kind;
        let start = at - input[..at].iter().rev().take_while(|byte| same(byte)).count();
        let end = at + input[at..].iter().take_while(|byte| same(byte)).count();
        let word = self.word();
        input.splice(start..end, word.iter().copied());
    }

    fn word(&mut self) -> &'a [u8] {
        let nth = self.below(self.words.len());
        self.words[nth]
    }

    /// A range, mostly a short one.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let from = self.below(len + 1);
        let longest = if self.below(4) == 0 { len } else { 16 };
        (from, (from + self.below(longest + 1)).min(len))
    }

    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}
