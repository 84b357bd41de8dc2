//! `wholly events`: what a service needs that publishes events and reacts to them.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use wholly_events::sql::Dialect;

use super::exit::Failed;

/// What a service needs that publishes events and reacts to them.
#[derive(Args)]
pub struct EventsCommand {
    #[command(subcommand)]
    events: Events,
}

#[derive(Subcommand)]
enum Events {
    Schema(Schema),
}

/// Print the tables that a service needs in its own database.
///
/// What is printed is SQL, which changes nothing where the tables are there already. What each
/// column means says docs/events-contract.md.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events schema sqlite | sqlite3 orders.db
  wholly events schema postgres | psql orders")]
struct Schema {
    /// The database.
    database: Database,
}

#[derive(Clone, Copy, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

impl EventsCommand {
    pub fn run(self) -> ExitCode {
        match self.events {
            Events::Schema(schema) => schema.run(),
        }
    }
}

impl Schema {
    fn run(self) -> ExitCode {
        let dialect = match self.database {
            Database::Sqlite => Dialect::Sqlite,
            Database::Postgres => Dialect::Postgres,
        };
        match io::stdout().lock().write_all(dialect.schema().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => Failed::Output(why).exit(),
        }
    }
}
