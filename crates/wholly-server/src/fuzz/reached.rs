//! What the inputs came to, counted, so that it can be seen that nothing was left out.

use std::collections::BTreeMap;

#[derive(Default)]
pub struct Reached(BTreeMap<String, u64>);

impl Reached {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Of these what was never reached.
    pub fn missing(&self, must: Vec<String>) -> Vec<String> {
        must.into_iter().filter(|what| !self.0.contains_key(what)).collect()
    }
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "    {count:>9} {what}"))
    }
}
