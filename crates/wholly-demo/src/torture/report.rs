//! What was done and what came of it: lines while it runs, a summary or JSON at the end.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::check::Ledger;
use crate::fleet::{Role, Transaction};

#[derive(Debug, Serialize)]
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
    /// How often clients had to ask again.
    pub(super) retries: u64,
    pub(super) violations: Vec<String>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    pub(super) fn new(seed: u64, json: bool) -> Self {
        let report = Self {
            seed,
            points: BTreeMap::new(),
            rounds: 0,
            kills: BTreeMap::new(),
            restarts: 0,
            committed: 0,
            aborted: BTreeMap::new(),
            retries: 0,
            violations: Vec::new(),
            json,
        };
        report.say(&format!("seed {seed}"));
        report
    }

    /// A line for who watches.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            println!("{line}");
        }
    }

    pub(super) fn killed(&mut self, role: Role) {
        *self.kills.entry(role.as_str()).or_default() += 1;
    }

    pub(super) fn violation(&mut self, what: String) {
        self.say(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// Counts how the transactions ended.
    pub(super) fn count(&mut self, ledger: &Ledger, transactions: &[Transaction]) {
        self.retries += ledger.placed.values().map(|placed| u64::from(placed.retries)).sum::<u64>();
        for transaction in transactions {
            match (&*transaction.state, &transaction.reason) {
                ("aborted", Some(reason)) => {
                    let why = ["restarted", "deadline", "refused"];
                    let why = why.into_iter().find(|why| reason.contains(why)).unwrap_or("other");
                    *self.aborted.entry(why.to_owned()).or_default() += 1;
                }
                ("committed", _) => self.committed += 1,
                _ => {}
            }
        }
    }

    pub(super) fn finish(self) -> ExitCode {
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&self).unwrap_or_default()),
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
        let aborted = self.aborted.iter().map(|(why, count)| format!("{why} {count}"));
        println!("\nseed          {}", self.seed);
        println!("points        {}", self.points.values().sum::<u32>());
        println!("rounds        {}", self.rounds);
        println!("SIGKILLs      {}", list(kills.collect()));
        println!("restarts      {}", self.restarts);
        println!("committed     {}", self.committed);
        println!("aborted       {}", list(aborted.collect()));
        println!("client tries  {} more than orders", self.retries);
        println!("violations    {}", self.violations.len());
    }
}
