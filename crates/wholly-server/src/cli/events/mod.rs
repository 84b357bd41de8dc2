//! `wholly events`: the tables of a choreographed service, in an operator's hands.

mod by_hand;
mod cursor;
mod database;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use wholly_events::sql::Dialect;

use super::exit::{self, failed};
use super::secret::Unrepeated;
use by_hand::{DropParked, Parked, Retry};
use cursor::CursorCommand;
use database::{Database, DatabaseError, database};

/// Create and operate the tables of a service that publishes and receives events.
///
/// DATABASE is the service's database: a SQLite file, or postgres://USER@HOST/NAME. The service need
/// not run; a running one sees a change within seconds.
#[derive(Args)]
pub struct EventsCommand {
    #[command(subcommand)]
    command: EventsSubcommand,
}

#[derive(Subcommand)]
enum EventsSubcommand {
    Schema(Schema),
    Init(Init),
    Cursor(CursorCommand),
    Parked(Parked),
    Retry(Retry),
    Drop(DropParked),
}

/// Print the SQL that creates the tables, for your own migrations.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events schema postgres > migrations/0007_wholly_events.sql")]
struct Schema {
    /// The database.
    dialect: DialectArgument,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectArgument {
    /// SQLite, 3.35 or later.
    Sqlite,
    /// PostgreSQL, 13 or later.
    Postgres,
}

/// Create the tables that are missing.
///
/// A service creates them itself when it starts, if its database user may.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events init orders.db
  wholly events init postgres://orders@localhost/orders")]
struct Init {
    /// The service's database.
    #[arg(value_parser = Unrepeated(database))]
    database: Database,
}

impl EventsCommand {
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            EventsSubcommand::Schema(Schema { dialect }) => {
                wholly_terminal::write(dialect.dialect().schema()).map_err(DatabaseError::Output)
            }
            EventsSubcommand::Init(Init { database }) => database.create_tables(),
            EventsSubcommand::Cursor(cursor) => cursor.run(),
            EventsSubcommand::Parked(parked) => parked.run(),
            EventsSubcommand::Retry(retry) => retry.run(),
            EventsSubcommand::Drop(drop) => drop.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(DatabaseError::Output(why)) => exit::wrote(Err(why), ExitCode::SUCCESS),
            Err(error @ DatabaseError::Usage(_)) => failed(exit::USAGE, &error),
            Err(error) => failed(exit::FAILED, &error),
        }
    }
}

impl DialectArgument {
    fn dialect(self) -> Dialect {
        match self {
            Self::Sqlite => Dialect::Sqlite,
            Self::Postgres => Dialect::Postgres,
        }
    }
}
