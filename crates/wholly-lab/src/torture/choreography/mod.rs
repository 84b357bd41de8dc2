//! `wholly-lab torture choreography`: the shop by events alone, under kills and cuts, put back to older
//! states, with the books and the tables of its three services compared after each round.
//!
//! A round lets clients place orders, and meanwhile kills services at a random moment or at an exact
//! point, kills the database's server, or disturbs the feeds by the network between them. Then all of
//! it stops, and everything must drain; what must hold then is in `check`.
//!
//! Now and then a service is put back to an older state of its database: see `restore`.

mod check;
mod clients;
mod databases;
mod plan;
mod restore;
mod rounds;
mod tables;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::report::Report;
use wholly_demo::choreography::{Flow, Wrong};
use wholly_demo::fleet::FleetError;
use wholly_test_postgres::PostgresError;

/// Kill, cut and put back the services of the shop by events, and check books and tables.
///
/// Each round places orders of several clients, which ask again under the same id until they have
/// the end; kills services, also at exact points, or the database's server; and cuts, stalls or
/// delays the feeds. Afterwards every order must be confirmed or cancelled, money and stock must be
/// conserved, and each reaction must have taken effect once. Some rounds put a service back to an
/// older copy of its database: what it published since is refused by its followers until an
/// operator sets their cursors. Exits with 1 if anything is violated.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wholly-lab torture choreography
  wholly-lab torture choreography --postgres --rounds 20
  wholly-lab torture choreography --flow parallel --seed 42 --json")]
pub(super) struct Choreography {
    /// The number of rounds of each flow.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Replay the plan of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The services live in a PostgreSQL server of the torture's own, instead of in SQLite.
    #[arg(long)]
    postgres: bool,
    /// The way of an order: payment after inventory, or both at once.
    #[arg(long, value_enum, default_value_t = Flows::Both)]
    flow: Flows,
    /// Print the report as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    /// Do this wrong, to see that it is found.
    #[arg(long, hide = true)]
    plant: Option<Wrong>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Flows {
    Sequential,
    Parallel,
    Both,
}

/// Why the torture cannot go on.
#[derive(Debug, thiserror::Error)]
enum TortureError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Server(#[from] PostgresError),
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the tables of events: {0}")]
    Store(#[from] wholly_events::store::StoreError),
    #[error("cannot {what}: {why}")]
    System { what: &'static str, why: std::io::Error },
    #[error("a task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("this is in no table of events: {0}")]
    Unreadable(String),
}

impl From<wholly_events::SqlError> for TortureError {
    fn from(error: wholly_events::SqlError) -> Self {
        Self::Store(error.into())
    }
}

impl Choreography {
    /// Tortures and checks; 0 when nothing was violated.
    pub(super) fn run(self, wholly: &Path) -> ExitCode {
        Report::of(self.seed, self.json, async |report| {
            let flows: &[Flow] = match self.flow {
                Flows::Sequential => &[Flow::Sequential],
                Flows::Parallel => &[Flow::Parallel],
                Flows::Both => &[Flow::Sequential, Flow::Parallel],
            };
            for &flow in flows {
                let part = rounds::TorturedShop { flow, rounds: self.rounds, plant: self.plant };
                if let Err(error) = part.run(wholly, self.postgres, report).await {
                    report.violation(format!("{flow:?}: the torture stopped: {error}"));
                }
            }
        })
    }
}
