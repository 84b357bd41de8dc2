//! `wholly bench`: how fast Wholly is, beside what the same machine could do at best.
//!
//! A number of transactions a second says as much about the machine as about the program. So every
//! workload measures a *ceiling* in the same run, alternately with Wholly, because a machine is not
//! equally fast from one minute to the next; what counts is the ratio of the medians.
//!
//! | workload | what runs | the ceiling |
//! |---|---|---|
//! | `two-phase` | transactions in a closed loop, in process or over HTTP | the log alone, or bare calls |
//! | `growth` | the same, on a log with millions of finished transactions | the same on an empty log |
//! | `recovery` | a start on a log with many transactions in doubt | none: a time |
//! | `memory` | many transactions in flight at once | none: a size |
//!
//! | module | what it is |
//! |---|---|
//! | `load` | the closed loop |
//! | `observed` | a log that tells what it wrote, and keeps a sample of it |
//! | `log_alone`, `bare_calls` | the ceilings |
//! | `made` | logs full of transactions that nobody had to run |
//! | `report` | figures, and the table of them |

mod bare_calls;
mod common;
mod error;
mod growth;
mod load;
mod log_alone;
mod made;
mod memory;
mod observed;
mod participants;
mod process;
mod recovery;
mod report;
mod two_phase;

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use self::error::BenchError;

/// Measure how fast Wholly is on this machine, beside what the machine could do at best.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  wholly bench two-phase --concurrency 1000
  wholly bench two-phase --transport http --concurrency 64 --json
  wholly bench recovery --transactions 100000")]
pub struct Args {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand, Debug)]
enum Workload {
    TwoPhase(two_phase::TwoPhase),
    Growth(growth::Growth),
    Recovery(recovery::Recovery),
    Memory(memory::Memory),
    /// One of the processes that answer the calls over HTTP.
    #[command(hide = true)]
    Participant,
}

/// Runs a workload on a runtime of its own and prints its report to the standard output.
pub fn run(args: Args) -> ExitCode {
    let done = match args.workload {
        Workload::TwoPhase(workload) => {
            let json = workload.common.json;
            on_all_cores(workload.run()).and_then(|report| print(&report, json))
        }
        Workload::Growth(workload) => {
            let json = workload.common.json;
            on_all_cores(workload.run()).and_then(|report| print(&report, json))
        }
        Workload::Recovery(workload) => {
            let json = workload.common.json;
            on_all_cores(workload.run()).and_then(|report| print(&report, json))
        }
        Workload::Memory(workload) => {
            let json = workload.common.json;
            on_all_cores(workload.run()).and_then(|report| print(&report, json))
        }
        Workload::Participant => process::serve(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn on_all_cores<T>(
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> Result<(), BenchError> {
    match json {
        true => println!("{}", serde_json::to_string_pretty(report)?),
        false => println!("{report}"),
    }
    Ok(())
}
