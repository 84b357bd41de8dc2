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
//! | `server` | either, from a client over the server's API | a bare server that makes the calls |
//! | `choreography` | orders through three services by events | the same services, calling each other |
//! | `growth` | the same, on a log with millions of finished transactions | the same on an empty log |
//! | `list` | lists of a log with millions of transactions | the same lists of a small log |
//! | `recovery` | a start on a log with many transactions in doubt | none: a time |
//! | `memory` | many transactions in flight at once | none: a size |
//! | `listeners` | a server with many who listen | none: the same without them |
//! | `overload` | a server with ten times more clients than it can serve; then one with a participant that hangs | what it promises; then the same without it |
//!
//! | module | what it is |
//! |---|---|
//! | `load` | the closed loop |
//! | `under_load` | a coordinator in that loop |
//! | `shape` | the sagas that are run |
//! | `observed` | a log that tells what it wrote, and keeps a sample of it |
//! | `log_alone`, `bare_calls` | the ceilings |
//! | `relay` | the bare server |
//! | `served` | Wholly's server, and transactions for it |
//! | `bare_participant` | a process that answers the calls over HTTP |
//! | `made` | logs full of transactions that nobody had to run |
//! | `report` | figures, and the table of them |

mod bare_calls;
mod bare_participant;
mod choreography;
mod common;
pub(crate) mod error;
mod growth;
mod list;
mod listeners;
pub(crate) mod load;
mod log_alone;
mod made;
mod memory;
mod observed;
mod overload;
mod participants;
mod recovery;
mod relay;
mod report;
mod saga;
mod served;
mod server;
mod shape;
mod two_phase;
mod under_load;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::error::BenchError;

/// Measure how fast Wholly is on this machine, beside what the machine could do at best.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wholly bench two-phase --concurrency 1000
  wholly bench two-phase --transport http --concurrency 64 --json
  wholly bench saga --steps 4 --graph diamond --failures 10
  wholly bench server --pattern saga --concurrency 256
  wholly bench choreography --concurrency 256
  wholly bench recovery --transactions 100000")]
pub struct Bench {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand, Debug)]
enum Workload {
    TwoPhase(two_phase::TwoPhase),
    Saga(saga::Saga),
    Server(server::Server),
    Choreography(choreography::Choreography),
    Growth(growth::Growth),
    List(list::List),
    Recovery(recovery::Recovery),
    Memory(memory::Memory),
    Listeners(listeners::Listeners),
    Overload(overload::Overload),
    /// One of the processes that answer the calls over HTTP.
    #[command(hide = true)]
    Participant(bare_participant::Answering),
    /// The bare server.
    #[command(hide = true)]
    Relay(relay::Relay),
}

impl Bench {
    /// Runs the workload on a runtime of its own and prints its report to the standard output.
    pub fn run(self) -> ExitCode {
        let done = match self.workload {
            Workload::TwoPhase(workload) => report(workload.common.output.json, workload.run()),
            Workload::Saga(workload) => report(workload.common.output.json, workload.run()),
            Workload::Server(workload) => report(workload.common.output.json, workload.run()),
            Workload::Choreography(workload) => report(workload.output.json, workload.run()),
            Workload::Growth(workload) => report(workload.common.output.json, workload.run()),
            Workload::List(workload) => report(workload.common.output.json, workload.run()),
            Workload::Recovery(workload) => report(workload.common.output.json, workload.run()),
            Workload::Memory(workload) => report(workload.common.output.json, workload.run()),
            Workload::Listeners(workload) => report(workload.common.output.json, workload.run()),
            Workload::Overload(workload) => {
                let json = workload.common.output.json;
                // What was measured is shown even where a promise is not kept.
                reported(json, workload.run()).and_then(|overload| overload.verdict())
            }
            Workload::Participant(answering) => bare_participant::serve(&answering),
            Workload::Relay(relay) => relay.serve(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

fn report<T: Serialize + Display>(
    json: bool,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<(), BenchError> {
    reported(json, work).map(drop)
}

/// What was measured, after it was printed.
fn reported<T: Serialize + Display>(
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
