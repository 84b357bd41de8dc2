//! `wholly bench`: how fast Wholly is, beside what the same machine could do at best.
//!
//! A number of transactions a second says as much about the machine as about the program. So every
//! workload measures a *ceiling* in the same run, alternately with Wholly, because a machine is not
//! equally fast from one minute to the next; what counts is the ratio of the medians.
//!
//! | workload | what runs | the ceiling |
//! |---|---|---|
//! | `two-phase` | transactions in a closed loop, in process or over HTTP | the log alone, or bare calls |
//! | `saga` | sagas in a closed loop, in process or over HTTP | the same; of those refused, those that are not |
//!
//! The laboratory, `wholly-lab`, has further workloads, which are made of the same parts:
//!
//! | module | contents |
//! |---|---|
//! | [`load`] | the closed loop |
//! | `under_load` | a coordinator in that loop, on a log that counts its writes |
//! | [`shape`] | the sagas that are run |
//! | `log_alone`, [`bare_calls`] | the ceilings |
//! | [`participants`], [`bare_participant`] | a participant in process, and a process that answers the calls over HTTP |
//! | [`mod@report`] | figures, and the table of them |

pub mod bare_calls;
pub mod bare_participant;
pub mod common;
pub mod error;
pub mod load;
mod log_alone;
pub mod participants;
pub mod report;
mod saga;
pub mod shape;
mod two_phase;
mod under_load;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::error::BenchError;
pub use self::two_phase::run_on;

/// Measure how fast Wholly is on this machine, beside what the machine could do at best.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wholly bench two-phase --concurrency 1000
  wholly bench two-phase --transport http --concurrency 64 --json
  wholly bench saga --steps 4 --graph diamond --failures 10")]
pub struct Bench {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand, Debug)]
enum Workload {
    TwoPhase(two_phase::TwoPhase),
    Saga(saga::Saga),
    /// One of the processes that answer the calls over HTTP.
    #[command(hide = true)]
    Participant(bare_participant::AnswerFuture),
}

impl Bench {
    /// Runs the workload on a runtime of its own and prints its report to the standard output.
    pub fn run(self) -> ExitCode {
        ended(match self.workload {
            Workload::TwoPhase(workload) => report(workload.common.output.json, workload.run()),
            Workload::Saga(workload) => report(workload.common.output.json, workload.run()),
            Workload::Participant(answering) => bare_participant::serve(&answering),
        })
    }
}

/// The exit code of a workload, after its error was told.
pub fn ended(done: Result<(), BenchError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            wholly_terminal::report(format_args!("wholly: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a workload on a runtime of its own, and prints its report.
///
/// # Errors
/// When it could not be measured.
pub fn report<T: Serialize + Display>(
    json: bool,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<(), BenchError> {
    reported(json, work).map(drop)
}

/// Runs a workload as [`report()`] does; the report, after it was printed.
///
/// # Errors
/// When it could not be measured.
pub fn reported<T: Serialize + Display>(
    json: bool,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(work)?;
    match json {
        true => wholly_terminal::write_json_pretty(&report)?,
        false => wholly_terminal::write_line(&report)?,
    }
    Ok(report)
}
