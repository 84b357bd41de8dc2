//! `wholly events parked`, `retry` and `drop`: the events that wait in a service.

use std::io;
use std::path::PathBuf;

use clap::Args;
use wholly_events::Declaration;
use wholly_events::choreography::{Ending, ParkedStatus};
use wholly_terminal::{one_line, write_json, write_line};

use super::database::{Database, DatabaseError, Either, database, with_operator};
use crate::cli::secret::Unrepeated;
use crate::cli::time::age;
use crate::given::{self, InputDocument};

/// The most events that are read at once.
const PIECE: u64 = 500;

/// List the events that wait in a service, the oldest first.
///
/// An event waits because its reaction failed and will be tried again, because the outcome of its
/// call is not known, because its data cannot be read, or because it is behind such an event.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events parked inventory.db
  wholly events parked inventory.db --json")]
pub struct Parked {
    /// The service's database.
    #[arg(value_parser = Unrepeated(database))]
    database: Database,
    /// Print a line of JSON for each event.
    #[arg(long)]
    json: bool,
}

/// Try the reaction to a parked event again now.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events retry inventory.db 17")]
pub struct Retry {
    /// The service's database.
    #[arg(value_parser = Unrepeated(database))]
    database: Database,
    /// The event's number, as `parked` shows it.
    number: u64,
}

/// Give up a parked event for good.
///
/// Its reaction never happens, and the events behind it go on. The other services receive the
/// refusal that the reaction declares (--refusal), or nothing (--silent).
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events drop inventory.db 17 --reason 'ticket 4711' --silent
  wholly events drop inventory.db 17 --reason 'ticket 4711' \\
    --refusal '{\"order_id\": \"ORD001\"}' --declaration inventory.json")]
pub struct DropParked {
    /// The service's database.
    #[arg(value_parser = Unrepeated(database))]
    database: Database,
    /// The event's number, as `parked` shows it.
    number: u64,
    /// The reason, which is recorded.
    #[arg(long)]
    reason: String,
    /// Emit nothing.
    #[arg(long, conflicts_with = "refusal", required_unless_present = "refusal")]
    silent: bool,
    /// Emit the declared refusal, with this data.
    #[arg(long, value_name = "JSON", requires = "declaration")]
    refusal: Option<serde_json::Value>,
    /// The service's declaration: a file, or the address of the running service.
    #[arg(long, value_name = "FILE")]
    declaration: Option<PathBuf>,
    /// State that the event's call, whose outcome is not recorded, had no effect.
    #[arg(long)]
    call_did_not_happen: bool,
}

impl Parked {
    pub fn run(self) -> Result<(), DatabaseError> {
        self.database.operate(None, async |either| {
            let mut after = 0;
            loop {
                let piece = with_operator!(&either, one => one.parked(after, PIECE).await)?;
                let Some(last) = piece.last() else { return Ok(()) };
                after = last.number;
                for one in &piece {
                    self.print(one).map_err(DatabaseError::Output)?;
                }
            }
        })
    }

    fn print(&self, one: &ParkedStatus) -> io::Result<()> {
        if self.json {
            return write_json(one);
        }
        let stuck = if one.stuck { ", stuck" } else { "" };
        write_line(one_line(&format!(
            "{:<6} {}{stuck}  {} {}/{} of {}  reaction {}  tried {}  since {}",
            one.number,
            one.state,
            one.kind,
            one.source,
            one.id,
            one.correlation,
            one.reaction,
            one.tries,
            age(one.since),
        )))?;
        match &one.error {
            Some(error) => write_line(format_args!("       {}", one_line(error))),
            None => Ok(()),
        }
    }
}

impl Retry {
    pub fn run(self) -> Result<(), DatabaseError> {
        let number = self.number;
        let is_there = self.database.operate(None, async |either| {
            Ok(with_operator!(&either, one => one.retry(number).await)?)
        })?;
        match is_there {
            true => Ok(()),
            false => Err(DatabaseError::Usage(format!(
                "no event {number} is parked; it may have ended meanwhile"
            ))),
        }
    }
}

impl DropParked {
    pub fn run(self) -> Result<(), DatabaseError> {
        let declaration = self.declaration.as_deref().map(declared).transpose()?;
        let ending = match &self.refusal {
            Some(data) => Ending::Refusal(data.to_string()),
            None => Ending::Silent,
        };
        let (number, reason) = (self.number, self.reason.clone());
        let did_not_happen = self.call_did_not_happen;
        self.database.operate(declaration, async |either: Either| {
            let request = with_operator!(&either, one => {
                one.drop_parked(number, reason, ending, did_not_happen).await
            });
            Ok(request?)
        })
    }
}

fn declared(from: &std::path::Path) -> Result<Declaration, DatabaseError> {
    match given::read(from) {
        Ok(InputDocument::Declaration(declaration)) => Ok(declaration),
        Ok(InputDocument::Saga(_)) => Err(no_declaration(from, "a saga")),
        Ok(InputDocument::TwoPhase(_)) => Err(no_declaration(from, "a two-phase transaction")),
        Err(error) => Err(DatabaseError::Usage(error.to_string())),
    }
}

fn no_declaration(from: &std::path::Path, it_is: &str) -> DatabaseError {
    let what = format!("is {it_is}, and not what a service declares");
    DatabaseError::Usage(format!("{} {what}", from.display()))
}
