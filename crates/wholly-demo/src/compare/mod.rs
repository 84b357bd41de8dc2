//! `wholly compare`: the lesson's table of the patterns, measured on this machine.
//!
//! The same stream of orders goes through the shop's three services under four regimes,
//! in fair and in bad weather. A process of its own reads orders all the while, as a
//! customer's page would and by rule; the books are read at the end.
//!
//! | file | contents |
//! |---|---|
//! | `plan` | orders, faults and lengths of time, drawn from the seed: the same for all regimes |
//! | `regime` | the four ways in which an order is carried out |
//! | `run` | one regime in one weather |
//! | `arrivals`, `place` | orders that arrive whether or not earlier ones ended; one order from its submission to its end |
//! | `faults` | the faults of processes and connections |
//! | `reader`, `watch` | the reader, and this program's hold of it |
//! | `verdict` | what three answers say of an order |
//! | `books`, `locks`, `work` | the databases at the end; how long stock was held; messages, writes and syncs |
//! | `cost` | orders in a closed loop |
//! | `measures`, `timeline`, `document` | the figures, what happened when, and the document of both |
//! | `table`, `surprises`, `progress` | the output on the terminal |
//! | `report` | the page with charts |

mod arrivals;
mod books;
mod cost;
mod document;
mod faults;
mod locks;
mod measures;
mod place;
mod plan;
mod progress;
mod reader;
mod regime;
mod report;
mod run;
mod surprises;
mod table;
mod timeline;
mod verdict;
mod watch;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use crate::fleet::FleetError;
use crate::process::{lock, until_interrupted};
use crate::random::fresh_seed;
use document::{Compared, Document};
use plan::{Scale, Weather};
use progress::Progress;
pub use reader::Reader;
use regime::Regime;
use table::Words;

/// Compare no coordination, two-phase, saga and choreography on this machine.
///
/// Runs the same orders through the shop's three services under each of them: in fair weather, and
/// in bad weather with participants that are down, answers that are lost, refused payments, too
/// little stock, and kills. An independent reader looks at orders all the while. Prints a table with
/// a figure for each row, and keeps the figures in $XDG_STATE_HOME/wholly/compare.json (by default
/// ~/.local/state/wholly/compare.json). Takes about three minutes. Ctrl-C leaves what was measured.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wholly compare
  wholly compare --quick
  wholly compare --seed 17 --json > compare.json")]
pub struct Compare {
    /// Take less than 30 seconds; the figures are rougher.
    #[arg(long)]
    quick: bool,
    /// Replay the orders and faults of this seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print the figures as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write a page with the table and charts to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A seed that nobody chose is below this, so that it is easily typed again.
const SEEDS: u64 = 1_000_000;

/// The reason that a comparison stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("the reader said something else than expected, or nothing: {0}")]
    Reader(String),
    #[error("a service's database cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a service's database has what no service writes: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("orders in a closed loop failed: {0}")]
    Cost(#[from] crate::bench::error::BenchError),
}

impl Compare {
    /// Compares; 0 when everything was measured.
    pub fn run(self) -> ExitCode {
        let seed = self.seed.unwrap_or_else(|| fresh_seed() % SEEDS);
        let document = Document::new(seed, self.quick);
        // A file that cannot be written is said before all is measured.
        if let Some(file) = &self.report
            && let Err(error) = report::write(&document, file)
        {
            wholly_terminal::report(format_args!("wholly: {error}"));
            return ExitCode::from(2);
        }
        let document = Arc::new(Mutex::new(document));
        let scale = if self.quick { Scale::QUICK } else { Scale::FULL };
        let progress = Progress::to_stderr();
        let code = until_interrupted(async {
            match compare(&scale, seed, &progress, &document).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    progress.clear();
                    wholly_terminal::report(format_args!("wholly: {error}"));
                    ExitCode::FAILURE
                }
            }
        });
        progress.clear();
        let document = lock(&document);
        match self.print(&document) {
            Ok(()) => code,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    /// Prints the figures, and keeps them.
    fn print(&self, document: &Document) -> Result<(), document::KeepError> {
        match self.json {
            true => wholly_terminal::write_json_pretty(document)?,
            false => wholly_terminal::write(table::Table(document))?,
        }
        if let Some(file) = &self.report {
            report::write(document, file)?;
        }
        if document.regimes.is_empty() {
            return Ok(());
        }
        let file = document.keep()?;
        wholly_terminal::report(format_args!("kept in {}", file.display()));
        Ok(())
    }
}

/// A short comparison, for who does not want to know more than its outcome.
pub(crate) struct Short(Document);

impl Short {
    /// Compares for about half a minute.
    pub(crate) async fn run() -> Result<Self, CompareError> {
        let document = Mutex::new(Document::new(Self::SEED, true));
        let progress = Progress::to_stderr();
        compare(&Scale::QUICK, Self::SEED, &progress, &document).await?;
        progress.clear();
        Ok(Self(document.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    const SEED: u64 = 17;

    /// The words of the lesson's table, each with a figure.
    pub(crate) const fn words(&self) -> Words<'_> {
        Words(&self.0)
    }

    /// The number of orders whose books disagree at the end, without coordination and with it.
    pub(crate) fn disagreeing(&self) -> (usize, usize) {
        self.0.regimes.iter().fold((0, 0), |(without, with), one| {
            let wrong = one.bad.consistency.orders_with_disagreeing_books;
            match one.regime {
                Regime::NoCoordination => (without + wrong, with),
                Regime::TwoPhase | Regime::Saga | Regime::Choreography => (without, with + wrong),
            }
        })
    }
}

async fn compare(
    scale: &Scale,
    seed: u64,
    progress: &Progress,
    document: &Mutex<Document>,
) -> Result<(), CompareError> {
    for regime in Regime::ALL {
        let fair = run::run(regime, scale, Weather::Fair, seed, progress).await?;
        let bad = run::run(regime, scale, Weather::Bad, seed, progress).await?;
        let compared = Compared::new(regime, fair, bad);
        lock(document).add(compared);
    }
    lock(document).complete = true;
    Ok(())
}
