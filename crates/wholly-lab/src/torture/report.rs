//! The report of what was done, and its outcome: lines while it runs, a summary or JSON at the end.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::AddAssign;
use std::process::ExitCode;

use serde::Serialize;
use wholly_terminal::{write_json_pretty, write_line};

use super::check::Ledger;
use wholly_demo::fleet::{Fleet, Role, Transaction};

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    /// Runs that a process was killed in, a scenario.
    pub(super) points: BTreeMap<&'static str, u32>,
    pub(super) rounds: u32,
    /// SIGKILLs, a process.
    pub(super) kills: BTreeMap<&'static str, u32>,
    /// The same SIGKILLs, a program whose process it was: the binary, or this one.
    pub(super) kills_by_program: BTreeMap<String, u32>,
    /// Processes started again after one.
    pub(super) restarts: u32,
    pub(super) committed: usize,
    /// Transactions, by why they aborted.
    pub(super) aborted: BTreeMap<String, usize>,
    pub(super) completed: usize,
    /// Sagas, by why they turned back.
    pub(super) compensated: BTreeMap<String, usize>,
    /// The number of times clients had to ask again.
    pub(super) retries: u64,
    /// The mishaps on purpose, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) faults: BTreeMap<String, u32>,
    /// Answers and events that clients kept and compared.
    pub(super) told: u64,
    /// The events of them.
    pub(super) events: usize,
    /// The number of times clients were told that it cannot be now, and when to come again.
    pub(super) turned_away: u64,
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

    /// One that has nothing in it, for a part of what is done.
    pub(super) fn empty(&self) -> Self {
        Self { seed: self.seed, json: self.json, ..Self::default() }
    }

    /// Adds what a part reported.
    pub(super) fn add(&mut self, part: Self) {
        fn sum<K: Ord, N: AddAssign + Default>(to: &mut BTreeMap<K, N>, part: BTreeMap<K, N>) {
            for (key, count) in part {
                *to.entry(key).or_default() += count;
            }
        }
        sum(&mut self.points, part.points);
        sum(&mut self.kills, part.kills);
        sum(&mut self.kills_by_program, part.kills_by_program);
        sum(&mut self.aborted, part.aborted);
        sum(&mut self.compensated, part.compensated);
        self.rounds += part.rounds;
        self.restarts += part.restarts;
        self.committed += part.committed;
        self.completed += part.completed;
        self.retries += part.retries;
        self.violations.extend(part.violations);
    }

    /// A line for who watches.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            let _ = write_line(line);
        }
    }

    /// Counts the SIGKILL of a process, which is not replaced yet.
    pub(super) fn killed(&mut self, fleet: &Fleet, role: Role) {
        *self.kills.entry(role.as_str()).or_default() += 1;
        let program = fleet.program_of(role).and_then(|program| program.file_name());
        let program = program.unwrap_or_default().to_string_lossy().into_owned();
        *self.kills_by_program.entry(program).or_default() += 1;
    }

    pub(super) fn fault(&mut self, name: &str) {
        *self.faults.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn violation(&mut self, what: String) {
        self.say(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// Counts how the transactions ended.
    pub(super) fn count(&mut self, ledger: &Ledger, transactions: &[Transaction]) {
        self.retries += ledger.placed.values().map(|placed| u64::from(placed.retries)).sum::<u64>();
        for transaction in transactions {
            let reasons = match &*transaction.state {
                "committed" => {
                    self.committed += 1;
                    continue;
                }
                "completed" => {
                    self.completed += 1;
                    continue;
                }
                "aborted" => &mut self.aborted,
                "compensated" => &mut self.compensated,
                _ => continue,
            };
            let reason = transaction.reason.as_deref().unwrap_or_default();
            let why = ["restarted", "deadline", "refused"];
            let why = why.into_iter().find(|why| reason.contains(why)).unwrap_or("other");
            *reasons.entry(why.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn finish(self) -> ExitCode {
        let summary = (!self.json).then(|| self.summary());
        finish(&self, summary, &self.violations)
    }

    fn summary(&self) -> String {
        let mut lines = vec![
            String::new(),
            format!("seed          {}", self.seed),
            format!("points        {}", self.points.values().sum::<u32>()),
            format!("rounds        {}", self.rounds),
            format!("SIGKILLs      {}", list(&self.kills)),
            format!("of these of   {}", list(&self.kills_by_program)),
            format!("restarts      {}", self.restarts),
            format!("committed     {}", self.committed),
            format!("aborted       {}", list(&self.aborted)),
            format!("completed     {}", self.completed),
            format!("compensated   {}", list(&self.compensated)),
            format!("asked again   {} times, by clients", self.retries),
        ];
        if self.told > 0 {
            lines.push(format!("faults        {}", list(&self.faults)));
            lines.push(format!("turned away   {} times", self.turned_away));
            lines.push(format!(
                "told          {}, {} of these events; none taken back but violations",
                self.told, self.events
            ));
        }
        lines.push(format!("violations    {}", self.violations.len()));
        lines.join("\n")
    }
}

/// Prints a report, as JSON where there is no summary; the exit code of its torture.
pub(super) fn finish(
    report: &impl Serialize,
    summary: Option<String>,
    violations: &[String],
) -> ExitCode {
    // Where nobody reads any more the exit code still tells.
    let _ = match summary {
        Some(summary) => write_line(summary),
        None => write_json_pretty(report),
    };
    match violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Counts, as a summary shows them.
pub(super) fn list<K: AsRef<str>, N: Display>(counts: &BTreeMap<K, N>) -> String {
    let counts = counts.iter().map(|(name, count)| format!("{} {count}", name.as_ref()));
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
