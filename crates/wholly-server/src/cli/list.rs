//! `wholly list`: the transactions, newest first.

use std::io;
use std::process::ExitCode;

use clap::{ArgAction, Args};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_client::{
    ChoreographyFilter, Pattern, Rows, State, Timestamp, TransactionFilter, TransactionSummary,
};

use super::ask::Ask;
use super::exit::{Exit, Failed};
use super::screen::{Paint, Screen};
use super::{choreographies, time};

/// List transactions, newest first.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly list
  wholly list --stuck
  wholly list --unsettled --until 1h
  wholly list --participant payments --state aborted --since 2026-11-23
  wholly list --all --json | jq -r 'select(.name == \"place order\") | .id'
  wholly list --pattern choreography --stuck

The server observes choreographies in its feeds; only --pattern choreography
lists them. With --json, each line is a transaction.")]
pub struct List {
    /// Only transactions in this state: init, prepared, committed, aborted, running, completed,
    /// compensating, compensated.
    #[arg(long)]
    state: Option<State>,
    /// Only transactions of this pattern: two-phase, saga, choreography.
    #[arg(long)]
    pattern: Option<Pattern>,
    /// Only transactions with this name.
    #[arg(long)]
    name: Option<String>,
    /// Only transactions that involve this participant.
    #[arg(long)]
    participant: Option<String>,
    /// Only settled transactions: those without any work left.
    #[arg(long, conflicts_with = "unsettled")]
    settled: bool,
    /// Only transactions that have not settled.
    #[arg(long)]
    unsettled: bool,
    /// Only transactions that need an operator.
    #[arg(long)]
    stuck: bool,
    /// Only transactions accepted since this time: an age, like 24h, or a time in UTC.
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    since: Option<Timestamp>,
    /// Only transactions accepted before this time.
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    until: Option<Timestamp>,
    /// The most transactions to show.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Show all transactions.
    #[arg(long, conflicts_with = "limit", action = ArgAction::SetTrue)]
    all: bool,
    #[command(flatten)]
    ask: Ask,
}

/// The most that a page of the server has.
const PAGE: usize = 500;

impl List {
    pub fn run(self) -> ExitCode {
        let limit = if self.all { usize::MAX } else { self.limit as usize };
        if self.pattern == Some(Pattern::Choreography) {
            let filter = self.choreographies();
            return self.ask.run(async |client, screen| {
                let rows = client.choreographies(filter?);
                show_rows(rows, limit, screen, "choreographies", choreographies::show_row).await
            });
        }
        let filter = self.filter();
        self.ask.run(async |client, screen| {
            show_rows(client.list(filter), limit, screen, "transactions", show).await
        })
    }

    fn choreographies(&self) -> Result<ChoreographyFilter, Failed> {
        if self.name.is_some() || self.participant.is_some() {
            let why = "a choreography has neither a name nor participants: list without --name \
                and --participant";
            return Err(Failed::Usage(why.to_owned()));
        }
        let mut filter = ChoreographyFilter::default();
        filter.state = self.state.clone();
        filter.settled = (self.settled || self.unsettled).then_some(self.settled);
        filter.stuck = self.stuck.then_some(true);
        (filter.since, filter.until) = (self.since, self.until);
        Ok(filter)
    }

    fn filter(&self) -> TransactionFilter {
        let mut filter = TransactionFilter::default();
        filter.state = self.state.clone();
        filter.pattern = self.pattern.clone();
        filter.name.clone_from(&self.name);
        filter.participant.clone_from(&self.participant);
        filter.settled = (self.settled || self.unsettled).then_some(self.settled);
        filter.stuck = self.stuck.then_some(true);
        (filter.since, filter.until) = (self.since, self.until);
        filter
    }
}

/// Shows at most so many rows of a list.
async fn show_rows<T: Serialize + DeserializeOwned>(
    rows: Rows<T>,
    limit: usize,
    screen: &Screen,
    what: &str,
    show: impl Fn(&T, bool, &Screen) -> io::Result<()>,
) -> Result<Exit, Failed> {
    // One more tells whether there are more.
    let mut rows = rows.page_size(limit.saturating_add(1).min(PAGE));
    let mut shown = 0;
    while let Some(row) = rows.next().await? {
        if shown == limit {
            screen.hint("There are more: see them with --limit or --all.");
            break;
        }
        match screen.json() {
            true => screen.document(&row)?,
            false => show(&row, shown == 0, screen)?,
        }
        shown += 1;
    }
    if shown == 0 {
        screen.hint(&format!("There are no such {what}."));
    }
    Ok(Exit::Done)
}

/// The longest: `compensated, unsettled`.
pub const STATE: usize = 22;
const ID: usize = 49;
/// Room for a name that is worth its line.
const WIDE: usize = ID + 2 + STATE + 2 + 4 + 2 + 20;

/// A row; where the terminal is too narrow for it, in two lines.
fn show(row: &TransactionSummary, first: bool, screen: &Screen) -> io::Result<()> {
    let wide = screen.width().is_none_or(|width| width >= WIDE);
    let line = |id: &str, state: &str, paint, age: &str, name: &str| {
        let id = if wide { format!("{id:<ID$}  ") } else { String::new() };
        let state = screen.cell(paint, state, STATE);
        let name = screen.paint(Paint::Plain, name);
        screen.line(&format!("{id}{state}  {age:>4}  {name}"))
    };
    if first {
        line("ID", "STATE", Paint::Plain, "AGE", "NAME")?;
    }
    let TransactionSummary { id, state, settled, stuck, .. } = row;
    let age = time::age(row.started.unwrap_or_else(|| id.minted_at()));
    let name = row.name.as_ref().map_or("", |name| name.as_str());
    let paint = Paint::of(state, *settled, *stuck);
    line(&id.to_string(), &super::standing(state, *settled, *stuck), paint, &age, name)?;
    match wide {
        true => Ok(()),
        false => screen.line(&format!("  {}", screen.paint(Paint::Quiet, &id.to_string()))),
    }
}
