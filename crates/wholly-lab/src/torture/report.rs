//! The report of a torture, and its outcome: lines while it runs, a summary or JSON at the end.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use wholly_terminal::{write_json_pretty, write_line};

use super::check::Ledger;
use wholly_demo::fleet::{Fleet, Role, Transaction};
use wholly_demo::process::until_interrupted;
use wholly_demo::random::fresh_seed;

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) rounds: u32,
    #[serde(flatten)]
    totals: BTreeMap<Tally, u64>,
    /// The same with a name for each count.
    #[serde(flatten)]
    by_name: BTreeMap<Tally, BTreeMap<String, u64>>,
    pub(super) violations: Vec<String>,
    #[serde(skip)]
    json: bool,
}

/// The things that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tally {
    /// Runs that a process was killed in, by scenario; or deaths at an exact point, by the point.
    Points,
    /// SIGKILLs, by process.
    Kills,
    /// The same SIGKILLs, by the program of the process: the binary, or this one.
    KillsByProgram,
    /// Processes started again after one.
    Restarts,
    /// Other mishaps on purpose, by kind.
    Faults,
    Committed,
    /// Transactions, by the reason of their abort.
    Aborted,
    Completed,
    /// Sagas, by the reason of their turning back.
    Compensated,
    /// Requests that clients had to repeat.
    Retries,
    /// Answers and events that clients kept and compared.
    Told,
    /// The events of them; or all that services published.
    Events,
    /// Requests that were refused with a time to come again.
    TurnedAway,
    /// Services that were put back to an older copy of their databases, by service.
    PutBack,
    /// Events that were lost so, after they had been acted upon, and done again.
    Lost,
    /// Followers that refused such a feed until an operator set their cursors.
    Refused,
    Confirmed,
    Cancelled,
    /// Reactions, by their outcome.
    Reactions,
    /// The longest that it took to drain, in milliseconds.
    LongestDrainMs,
}

impl Report {
    /// Runs a torture until it ends or is interrupted, and prints its report.
    pub(super) fn of(
        seed: Option<u64>,
        json: bool,
        torture: impl AsyncFnOnce(&mut Self),
    ) -> ExitCode {
        until_interrupted(async {
            let seed = seed.unwrap_or_else(fresh_seed);
            let mut report = Self { seed, json, ..Self::default() };
            report.say(&format!("seed {seed}"));
            torture(&mut report).await;
            report.finish()
        })
    }

    /// An empty report, for a part of the torture.
    pub(super) fn empty(&self) -> Self {
        Self { seed: self.seed, json: self.json, ..Self::default() }
    }

    /// Adds a part's report.
    pub(super) fn add(&mut self, part: Self) {
        self.rounds += part.rounds;
        part.totals.into_iter().for_each(|(what, count)| self.count(what, count));
        for (what, counts) in part.by_name {
            counts.into_iter().for_each(|(name, count)| self.count_named(what, &name, count));
        }
        self.violations.extend(part.violations);
    }

    /// Writes a line for the watcher.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            let _ = write_line(line);
        }
    }

    pub(super) fn count(&mut self, what: Tally, count: u64) {
        *self.totals.entry(what).or_default() += count;
    }

    pub(super) fn count_named(&mut self, what: Tally, name: &str, count: u64) {
        *self.by_name.entry(what).or_default().entry(name.to_owned()).or_default() += count;
    }

    /// Keeps the greatest value.
    pub(super) fn at_most(&mut self, what: Tally, value: u64) {
        let most = self.totals.entry(what).or_default();
        *most = value.max(*most);
    }

    /// Counts the SIGKILL of a process, which is not replaced yet.
    pub(super) fn killed(&mut self, fleet: &Fleet, role: Role) {
        self.count_named(Tally::Kills, role.as_str(), 1);
        let program = fleet.program_of(role).and_then(|program| program.file_name());
        let program = program.unwrap_or_default().to_string_lossy();
        self.count_named(Tally::KillsByProgram, &program, 1);
    }

    pub(super) fn violation(&mut self, what: String) {
        self.say(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// Counts the ends of the transactions.
    pub(super) fn count_ends(&mut self, ledger: &Ledger, transactions: &[Transaction]) {
        let retries = ledger.placed.values().map(|placed| u64::from(placed.retries));
        self.count(Tally::Retries, retries.sum());
        for transaction in transactions {
            let reason = transaction.reason.as_deref().unwrap_or_default();
            let why = ["restarted", "deadline", "refused"];
            let why = why.into_iter().find(|why| reason.contains(why)).unwrap_or("other");
            match &*transaction.state {
                "committed" => self.count(Tally::Committed, 1),
                "completed" => self.count(Tally::Completed, 1),
                "aborted" => self.count_named(Tally::Aborted, why, 1),
                "compensated" => self.count_named(Tally::Compensated, why, 1),
                _ => {}
            }
        }
    }

    fn finish(&self) -> ExitCode {
        // If nobody reads any more the exit code still tells.
        let _ = match self.json {
            true => write_json_pretty(self),
            false => write_line(self.summary()),
        };
        ExitCode::from(u8::from(!self.violations.is_empty()))
    }

    /// All that is in the JSON, a line each.
    fn summary(&self) -> String {
        let all = serde_json::to_value(self).unwrap_or_default();
        let line = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::Object(counts) => {
                    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
                    counts.collect::<Vec<_>>().join(", ")
                }
                Value::Array(all) => all.len().to_string(),
                other => other.to_string(),
            };
            format!("\n{:17} {value}", name.replace('_', " "))
        };
        all.as_object().into_iter().flatten().map(line).collect()
    }
}
