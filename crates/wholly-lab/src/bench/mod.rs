//! `wholly-lab bench`: the workloads that `wholly bench` has not, beside what the same machine could
//! do at best.
//!
//! They are made of the parts of [`wholly_demo::bench`], whose page says what a ceiling is.
//!
//! | workload | what runs | the ceiling |
//! |---|---|---|
//! | `server` | transactions or sagas from a client over the server's API | a bare server that makes the calls |
//! | `choreography` | orders through three services by events | the same services, calling each other |
//! | `growth` | transactions in a closed loop, on a log with millions of finished transactions | the same on an empty log |
//! | `list` | lists of a log with millions of transactions | the same lists of a small log |
//! | `recovery` | a start on a log with many transactions in doubt | none: a time |
//! | `memory` | many transactions in flight at once | none: a size |
//! | `listeners` | a server with many who listen | none: the same without them |
//! | `overload` | a server with ten times more clients than it can serve; then one with a participant that hangs | what it promises; then the same without it |
//!
//! | module | what it is |
//! |---|---|
//! | `relay` | the bare server |
//! | `served` | Wholly's server, and transactions for it |
//! | `participants` | participants in process that count or wait |
//! | `made` | logs full of transactions that nobody had to run |

mod choreography;
mod growth;
mod list;
mod listeners;
mod made;
mod memory;
mod overload;
mod participants;
mod recovery;
mod relay;
mod served;
mod server;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wholly_demo::bench::{bare_participant, ended, report, reported};

/// Measure what `wholly bench` does not, beside what the machine could do at best.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wholly-lab bench server --pattern saga --concurrency 256
  wholly-lab bench choreography --concurrency 256
  wholly-lab bench recovery --transactions 100000")]
pub struct Bench {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand, Debug)]
enum Workload {
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
    Participant(bare_participant::AnswerFuture),
    /// The bare server.
    #[command(hide = true)]
    Relay(relay::Relay),
}

impl Bench {
    /// True if this is one of the processes that a workload starts.
    pub fn is_process(&self) -> bool {
        matches!(self.workload, Workload::Participant(_) | Workload::Relay(_))
    }

    /// Runs the workload and prints its report to the standard output. `wholly` is the binary whose
    /// server and services are measured.
    pub fn run(self, wholly: &Path) -> ExitCode {
        ended(match self.workload {
            Workload::Server(work) => report(work.common.output.json, work.run(wholly)),
            Workload::Choreography(work) => report(work.output.json, work.run(wholly)),
            Workload::Growth(work) => report(work.common.output.json, work.run()),
            Workload::List(work) => report(work.common.output.json, work.run()),
            Workload::Recovery(work) => report(work.common.output.json, work.run()),
            Workload::Memory(work) => report(work.common.output.json, work.run()),
            Workload::Listeners(work) => report(work.common.output.json, work.run(wholly)),
            Workload::Overload(work) => {
                let json = work.common.output.json;
                // What was measured is shown even where a promise is not kept.
                reported(json, work.run(wholly)).and_then(|overload| overload.verdict())
            }
            Workload::Participant(answering) => bare_participant::serve(&answering),
            Workload::Relay(relay) => relay.serve(),
        })
    }
}
