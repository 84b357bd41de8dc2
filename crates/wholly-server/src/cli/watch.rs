//! `wholly watch`: a transaction live, until it has settled; or all of them.

use std::io;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use wholly_client::{FeedEvent, FeedItem, Pattern, Trimmed};

use super::ask::{Ask, EXIT_CODES};
use super::choreographies::{self, IdArguments, Subject};
use super::exit::Exit;
use super::screen::{Paint, Screen};
use super::{record, time};

/// Follow a transaction from its start until it has settled, or all transactions from now on.
///
/// For a choreographed transaction, the ID is its correlation. After a lost connection the command
/// goes on where it stopped.
#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "all"]))]
#[command(after_help = format!("Examples:
  wholly watch ID
  wholly watch ID --json | jq .event
  wholly watch ORD001
  wholly watch --all

With --json, each line is an event; for a choreography, each line is all of it,
after a change. Times are in UTC. With --all, the event `trimmed` says that
events were deleted, while the connection was lost, before they were shown.

{EXIT_CODES}"))]
pub struct Watch {
    /// The transaction's id, or a choreography's correlation.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The pattern, if the id is ambiguous.
    #[arg(long, value_parser = choreographies::pattern(), conflicts_with = "all")]
    pattern: Option<Pattern>,
    /// Follow all transactions, until the command is interrupted.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    ask: Ask,
}

impl Watch {
    pub fn run(self) -> ExitCode {
        let Self { id, pattern, all: _, ask } = self;
        ask.run(async |client, screen| {
            let subject = id.map(|id| IdArguments { id, pattern }.subject());
            let (mut events, all) = match subject {
                Some(Subject::Transaction(id)) => (client.events(id), false),
                Some(Subject::Choreography(named)) => {
                    return choreographies::watch(client, screen, &named).await;
                }
                None => (client.all_events(), true),
            };
            let mut exit = Exit::Unsettled;
            while let Some(item) = events.next().await? {
                if screen.json() {
                    screen.document(&item)?;
                }
                match item {
                    FeedItem::Event(seen) => {
                        if !screen.json() {
                            show(&seen, all, screen)?;
                        }
                        exit = Exit::of(&seen.state, seen.settled, seen.stuck);
                    }
                    FeedItem::Trimmed(trimmed) if !screen.json() => show_trimmed(&trimmed, screen)?,
                    // An item that this version does not know.
                    _ => {}
                }
            }
            Ok(exit)
        })
    }
}

/// Events were missed for good.
fn show_trimmed(trimmed: &Trimmed, screen: &Screen) -> io::Result<()> {
    let what =
        format!("trimmed: events up to {} were deleted before they were shown", trimmed.up_to);
    screen.line(&screen.paint(Paint::Bad, &what))
}

/// An event; where others are in between, behind a line with its transaction.
fn show(seen: &FeedEvent, whose: bool, screen: &Screen) -> io::Result<()> {
    let at = screen.paint(Paint::Quiet, &time::time_of_day(seen.at));
    if whose {
        let name = seen.name.as_ref().map_or("", |name| name.as_str());
        let name = screen.paint(Paint::Plain, name);
        screen.line(&format!(
            "{}  {name}",
            screen.paint(Paint::Title, &seen.transaction.to_string())
        ))?;
    }
    let paint = Paint::of(&seen.state, seen.settled, seen.stuck);
    let state = screen.cell(paint, &seen.state.to_string(), 12);
    let (paint, text) = record::told(&seen.record, |_| seen.branch.as_deref());
    screen.hanging(&format!("{at}  {state}  "), 12 + 2 + 12 + 2, paint, &text)
}
