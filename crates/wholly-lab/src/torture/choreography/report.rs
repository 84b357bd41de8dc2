//! The report of what was done, and its outcome: lines while it runs, a summary or JSON at the end.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use wholly_terminal::write_line;

use super::check::{Found, Known};
use crate::torture::report::{finish, list};

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) rounds: u32,
    /// SIGKILLs, a process.
    pub(super) kills: BTreeMap<&'static str, u32>,
    /// The exact points at which a process died.
    pub(super) points: BTreeMap<String, u32>,
    /// Other mishaps on purpose, by kind.
    pub(super) faults: BTreeMap<String, u32>,
    /// Services that were put back to an older copy of their databases.
    pub(super) put_back: BTreeMap<&'static str, u32>,
    /// Events that were lost so, after they had been acted upon, and done again.
    pub(super) lost: usize,
    /// Followers that refused such a feed until an operator set their cursors.
    pub(super) refused: u32,
    pub(super) confirmed: usize,
    pub(super) cancelled: usize,
    pub(super) events: usize,
    /// Reactions, by how they ended.
    pub(super) reactions: BTreeMap<String, usize>,
    /// The number of times clients had to ask again.
    pub(super) retries: u64,
    /// The longest that it took to drain, in milliseconds.
    pub(super) longest_drain_ms: u128,
    pub(super) violations: Vec<String>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    pub(super) fn new(seed: u64, json: bool) -> Self {
        let report = Self { seed, json, ..Self::default() };
        report.say(&format!("seed {seed}"));
        report
    }

    /// A line for who watches.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            let _ = write_line(line);
        }
    }

    pub(super) fn violation(&mut self, what: String) {
        self.say(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// Counts what a flow came to.
    pub(super) fn count(&mut self, known: &Known, found: &Found) {
        let ended = |end: &str| known.ends.values().filter(|one| *one == end).count();
        self.confirmed += ended("confirmed");
        self.cancelled += ended("cancelled");
        for tables in found.tables.values() {
            self.events += tables.outbox.len();
            for dealt in &tables.inbox {
                *self.reactions.entry(dealt.outcome.clone()).or_default() += 1;
            }
        }
    }

    pub(super) fn finish(self) -> ExitCode {
        let summary = (!self.json).then(|| self.summary());
        finish(&self, summary, &self.violations)
    }

    fn summary(&self) -> String {
        let lines = [
            String::new(),
            format!("seed          {}", self.seed),
            format!("rounds        {}", self.rounds),
            format!("SIGKILLs      {}", list(&self.kills)),
            format!("at a point    {}", list(&self.points)),
            format!("faults        {}", list(&self.faults)),
            format!("put back      {}", list(&self.put_back)),
            format!("  done again  {} events that were acted upon before", self.lost),
            format!("  refused     by {} followers, until an operator came", self.refused),
            format!("confirmed     {}", self.confirmed),
            format!("cancelled     {}", self.cancelled),
            format!("events        {}", self.events),
            format!("reactions     {}", list(&self.reactions)),
            format!("asked again   {} times, by clients", self.retries),
            format!("drained       within {} ms", self.longest_drain_ms),
            format!("violations    {}", self.violations.len()),
        ];
        lines.join("\n")
    }
}
