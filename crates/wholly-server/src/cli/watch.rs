//! `wholly watch`: a transaction live, until it has settled.

use std::io;
use std::process::ExitCode;

use clap::Args;
use wholly_client::Seen;

use super::ask::{Ask, EXIT_CODES, Id};
use super::exit::Exit;
use super::screen::{Paint, Screen};
use super::{record, time};

/// Follow a transaction from its start until it has settled.
///
/// A connection that is lost is taken up again where it stopped.
#[derive(Args)]
#[command(after_help = format!("Examples:
  wholly watch ID
  wholly watch ID --json | jq .event

With --json, a line is an event. Times are in UTC.

{EXIT_CODES}"))]
pub struct Watch {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    ask: Ask,
}

impl Watch {
    pub fn run(self) -> ExitCode {
        let Self { id: Id { id }, ask } = self;
        ask.run(async |client, screen| {
            let mut watch = client.watch(id);
            let mut exit = Exit::Unsettled;
            while let Some(seen) = watch.next().await? {
                match screen.json() {
                    true => screen.document(&seen)?,
                    false => show(&seen, screen)?,
                }
                exit = Exit::of(&seen.state, seen.settled, seen.stuck);
            }
            Ok(exit)
        })
    }
}

fn show(seen: &Seen, screen: &Screen) -> io::Result<()> {
    let at = screen.paint(Paint::Quiet, &time::time_of_day(seen.at));
    let paint = Paint::of(&seen.state, seen.settled, seen.stuck);
    let state = screen.cell(paint, seen.state.as_str(), 12);
    let (paint, text) = record::told(&seen.record, |_| seen.branch.as_deref());
    screen.hanging(&format!("{at}  {state}  "), 12 + 2 + 12 + 2, paint, &text)
}
