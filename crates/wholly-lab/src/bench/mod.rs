//! `wholly-lab bench`: the workloads that `wholly bench` has not, beside what the same machine could
//! do at best.
//!
//! They are made of the parts of [`wholly_demo::bench`], whose page explains the ceiling;
//! docs/benchmarks.md describes each workload and its ceiling.
//!
//! | module | contents |
//! |---|---|
//! | `relay` | the bare server |
//! | `served` | Wholly's server, and transactions for it |
//! | `participants` | participants in process that count or wait |
//! | `figures` | the report of a workload without a ceiling |
//! | `made` | logs full of transactions that nobody had to run |

mod choreography;
mod figures;
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
                // The figures are shown even where a promise is not kept.
                reported(json, work.run(wholly)).and_then(|overload| overload.verdict())
            }
            Workload::Participant(answering) => bare_participant::serve(&answering),
            Workload::Relay(relay) => relay.serve(),
        })
    }
}
