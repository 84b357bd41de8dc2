//! The report of what was done, and its outcome: lines while it runs, a summary or JSON at the end.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::process::ExitCode;

use serde::Serialize;
use wholly_terminal::{write_json_pretty, write_line};

use super::check::Ledger;
use crate::fleet::{Role, Transaction};

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    /// Runs that a process was killed in, a scenario.
    pub(super) points: BTreeMap<&'static str, u32>,
    pub(super) rounds: u32,
    /// SIGKILLs, a process.
    pub(super) kills: BTreeMap<&'static str, u32>,
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

    pub(super) fn killed(&mut self, role: Role) {
        *self.kills.entry(role.as_str()).or_default() += 1;
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
        match self.json {
            // Where nobody reads any more the exit code still tells.
            true => _ = write_json_pretty(&self),
            false => self.summary(),
        }
        match self.violations.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn summary(&self) {
        let list = |counts: Vec<String>| match counts.is_empty() {
            true => "none".to_owned(),
            false => counts.join(", "),
        };
        let kills = self.kills.iter().map(|(name, count)| format!("{name} {count}"));
        let whys = |reasons: &BTreeMap<String, usize>| {
            list(reasons.iter().map(|(why, count)| format!("{why} {count}")).collect())
        };
        let mut lines = vec![
            String::new(),
            format!("seed          {}", self.seed),
            format!("points        {}", self.points.values().sum::<u32>()),
            format!("rounds        {}", self.rounds),
            format!("SIGKILLs      {}", list(kills.collect())),
            format!("restarts      {}", self.restarts),
            format!("committed     {}", self.committed),
            format!("aborted       {}", whys(&self.aborted)),
            format!("completed     {}", self.completed),
            format!("compensated   {}", whys(&self.compensated)),
            format!("asked again   {} times, by clients", self.retries),
        ];
        if self.told > 0 {
            let faults = self.faults.iter().map(|(name, count)| format!("{name} {count}"));
            lines.push(format!("faults        {}", list(faults.collect())));
            lines.push(format!("turned away   {} times", self.turned_away));
            lines.push(format!(
                "told          {}, {} of these events; none taken back but violations",
                self.told, self.events
            ));
        }
        lines.push(format!("violations    {}", self.violations.len()));
        let _ = write_line(lines.join("\n"));
    }
}
