//! `wholly get`: one transaction with its history, or one choreography with its timeline.

use std::io;
use std::process::ExitCode;

use clap::Args;
use wholly_client::{BranchState, CallAttempts, State, StepState, Transaction};

use super::ask::{Ask, EXIT_CODES};
use super::choreographies::{self, IdArguments, Subject};
use super::exit::Exit;
use super::screen::{Paint, Screen};
use super::{last_answer, record, time};

/// Show a transaction: its state, its branches or steps, and its history.
///
/// For a choreographed transaction, the ID is its correlation, and the output has its events with
/// the services' reactions to them.
#[derive(Args)]
#[command(after_help = format!("Examples:
  wholly get ID
  wholly get ID --json | jq .branches
  wholly get ORD001
  wholly get ORD001 --json | jq '.events[].type'

--json shows the payloads as well.

{EXIT_CODES}"))]
pub struct Get {
    #[command(flatten)]
    which: IdArguments,
    #[command(flatten)]
    ask: Ask,
}

impl Get {
    pub fn run(self) -> ExitCode {
        let Self { which, ask } = self;
        ask.run(async |client, screen| {
            let id = match which.subject() {
                Subject::Transaction(id) => id,
                Subject::Choreography(named) => {
                    return choreographies::get(client, screen, &named).await;
                }
            };
            let transaction = client.get(id).await?;
            match screen.json() {
                true => screen.document(&transaction)?,
                false => show(&transaction, screen)?,
            }
            Ok(Exit::of(&transaction.state, transaction.settled, transaction.stuck))
        })
    }
}

fn show(transaction: &Transaction, screen: &Screen) -> io::Result<()> {
    facts(transaction, screen)?;
    parts(transaction, screen)?;
    history(transaction, screen)
}

fn facts(transaction: &Transaction, screen: &Screen) -> io::Result<()> {
    let Transaction { state, settled, stuck, .. } = transaction;
    let fact = |what: &str, paint: Paint, text: &str| {
        screen.hanging(&screen.cell(Paint::Quiet, what, 13), 13, paint, text)
    };
    let also =
        |what: &str, text: Option<&str>| text.map_or(Ok(()), |text| fact(what, Paint::Plain, text));
    fact("transaction", Paint::Title, &transaction.id.to_string())?;
    let version = transaction.version.map(|version| format!(", version {version}"));
    let name = transaction.name.as_ref();
    let name = name.map(|name| format!("{name}{}", version.unwrap_or_default()));
    also("name", name.as_deref())?;
    fact("pattern", Paint::Plain, &transaction.pattern.to_string())?;
    let standing = super::standing(state, *settled, *stuck);
    fact("state", Paint::of(state, *settled, *stuck), &standing)?;
    also("reason", transaction.reason.as_deref())?;
    if let Some(why) = &transaction.quarantined {
        // A transaction ended by an operator needs nobody any more.
        fact("quarantined", if *stuck { Paint::Bad } else { Paint::Plain }, why)?;
    }
    for target in &transaction.awaiting {
        fact("awaits", Paint::Bad, target)?;
    }
    if transaction.unloaded {
        fact("unloaded", Paint::Bad, "it waits in the log for room in the server's memory")?;
    }
    also("key", transaction.key.as_ref().map(|key| key.text()))?;
    also("caller", transaction.caller.as_ref().map(|name| name.as_str()))?;
    let started = transaction.id.minted_at();
    let age = time::age(started);
    fact("started", Paint::Plain, &format!("{}, {age} ago", time::date(started)))?;
    if let (Some(first), Some(last), true) =
        (transaction.history.first(), transaction.history.last(), settled)
    {
        fact("took", Paint::Plain, &time::how_long(first.at.until(last.at)))?;
    }
    if transaction.payloads_removed {
        fact("payloads", Paint::Quiet, "removed, as the server's retention says")?;
    }
    // Once it is decided, the deadline means nothing.
    match (state, transaction.deadline) {
        (State::Init | State::Prepared | State::Running, Some(deadline)) => {
            fact("deadline", Paint::Plain, &time::date(deadline))
        }
        _ => Ok(()),
    }
}

/// The branches or steps.
fn parts(transaction: &Transaction, screen: &Screen) -> io::Result<()> {
    let branches = transaction.branches.iter().map(|branch| {
        let paint = match branch.state {
            BranchState::Committed => Paint::Good,
            BranchState::Aborted => Paint::Undone,
            _ => Paint::Under,
        };
        let attempts = &branch.attempts;
        let (name, state) = (branch.participant.as_str(), branch.state.to_string());
        (name, state, paint, String::new(), &branch.stuck, attempts)
    });
    let steps = transaction.steps.iter().map(|step| {
        let paint = match step.state {
            StepState::Completed => Paint::Good,
            StepState::Compensated | StepState::Failed => Paint::Undone,
            _ => Paint::Under,
        };
        let participant = step.participant.as_ref().map_or("in code", |name| name.as_str());
        let pivot = if step.pivot { ", the pivot" } else { "" };
        let by = format!("{participant}{pivot}");
        (step.name.as_str(), step.state.to_string(), paint, by, &step.stuck, &step.attempts)
    });
    let parts: Vec<_> = branches.chain(steps).collect();
    let Some(widest) = parts.iter().map(|(name, ..)| name.chars().count()).max() else {
        return Ok(());
    };
    let title = if transaction.branches.is_empty() { "Steps" } else { "Branches" };
    screen.line("")?;
    screen.line(&screen.paint(Paint::Title, title))?;
    for (name, state, paint, by, stuck, attempts) in parts {
        let (name, state) =
            (screen.cell(Paint::Plain, name, widest), screen.cell(paint, &state, 11));
        let by = screen.paint(Paint::Plain, &by);
        screen.line(&format!("  {name}  {state}  {by}"))?;
        if let Some(why) = stuck {
            let head = format!("  {}  {}", " ".repeat(widest), screen.paint(Paint::Bad, "stuck: "));
            screen.hanging(&head, widest + 11, Paint::Plain, why)?;
        }
        if let Some(attempts) = attempts {
            let head = format!("  {}  ", " ".repeat(widest));
            screen.hanging(&head, widest + 4, Paint::Quiet, &asked(attempts))?;
        }
    }
    Ok(())
}

/// The attempts in words: their number, the last answer, and the next call.
fn asked(attempts: &CallAttempts) -> String {
    let CallAttempts { operation, tries, next_at, last_answer, .. } = attempts;
    let times = if *tries == 1 { "once".to_owned() } else { format!("{tries} times") };
    let next = next_at.map(|at| format!(", again at {}", time::date(at)));
    let last = last_answer.as_ref().map(|last| format!("; {}", last_answer::in_words(last)));
    let (next, last) = (next.unwrap_or_default(), last.unwrap_or_default());
    format!("asked {times} to {operation}{next}{last}")
}

fn history(transaction: &Transaction, screen: &Screen) -> io::Result<()> {
    let Some(first) = transaction.history.first() else { return Ok(()) };
    screen.line("")?;
    screen.line(&screen.paint(Paint::Title, "History"))?;
    for event in &transaction.history {
        let after = format!("+{}", time::how_long(first.at.until(event.at)));
        let head = format!("  {}", screen.paint(Paint::Quiet, &format!("{after:<9} ")));
        let (paint, text) = record::told(&event.record, |place| transaction.branch_name(place));
        screen.hanging(&head, 12, paint, &text)?;
    }
    Ok(())
}
