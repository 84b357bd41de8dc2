//! `wholly-lab torture`: SIGKILL at every point and at random, and the books afterwards.
//!
//! Two parts, with real processes and real databases. `points` kills the coordinator before,
//! during and after each append to its log and each call of a participant, and each service
//! before, during and after each call that it answers, for a list of scenarios, until a run has no
//! further point. `api` kills whatever the seed says, whenever it says, while clients place orders,
//! and knows nothing but the public API; it can disturb network and disks as well. What must hold at
//! the end is in `check`, as a function that can be shown to fail. `choreography` is a torture of its own, of
//! services without a coordinator.
//!
//! The binary `wholly` is killed at random moments. A process that is to die at an exact
//! point is one of this program (see [`staged`](crate::staged)); the one that takes its place after
//! the kill is `wholly` again.

mod api;
mod check;
mod choreography;
mod points;
mod report;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use api::Mishaps;
use points::Scenario;
use report::Report;
use wholly_demo::fleet::FleetError;

/// Kill coordinator and services at every point and at random, and check the books.
///
/// Starts the demo's shop as processes of their own on free ports of this machine. First kills
/// them at every point of a list of scenarios, in two-phase and of sagas, one run a point; then in
/// random rounds under load of both. Every transaction must end, each key must have given one, money
/// and stock must be conserved, nothing may be held. Exits with 1 if anything is violated.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  wholly-lab torture
  wholly-lab torture --rounds 1000 --scenarios none
  wholly-lab torture --rounds 0 --scenarios success,saga-declined
  wholly-lab torture --api
  wholly-lab torture --seed 42 --json
  wholly-lab torture choreography --postgres")]
pub struct Torture {
    #[command(subcommand)]
    part: Option<TorturePart>,
    /// Only through the public API: clients keep all that answers and events tell them while
    /// processes are killed, the network between them is cut and delayed, and disks fill and are
    /// freed.
    #[arg(long)]
    api: bool,
    /// The number of random rounds: 200, or 300 through the API.
    #[arg(long)]
    rounds: Option<u32>,
    /// The scenarios whose every point is killed at, or none.
    #[arg(long, value_delimiter = ',', default_value = "all", value_parser = scenarios)]
    scenarios: Vec<&'static [Scenario]>,
    /// Replay the plan of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    /// Do this wrong, to see that it is found.
    #[arg(long, hide = true, requires = "api")]
    plant: Option<api::Plant>,
}

#[derive(clap::Subcommand, Debug)]
enum TorturePart {
    Choreography(choreography::Choreography),
}

/// Parses `all`, `none` or the name of a scenario.
fn scenarios(text: &str) -> Result<&'static [Scenario], String> {
    let all = Scenario::value_variants();
    match text {
        "all" => Ok(all),
        "none" => Ok(&[]),
        one => {
            let one = all.iter().find(|scenario| scenario.name() == one).map(std::slice::from_ref);
            one.ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|scenario| scenario.name()).collect();
                format!("write all, none, or some of {}", names.join(","))
            })
        }
    }
}

impl Torture {
    /// Kills and checks; 0 when nothing was violated.
    pub fn run(self, wholly: &Path) -> ExitCode {
        if let Some(TorturePart::Choreography(part)) = self.part {
            return part.run(wholly);
        }
        Report::of(self.seed, self.json, async |report| {
            if let Err(error) = self.torture(wholly, report).await {
                report.violation(format!("the torture stopped: {error}"));
            }
        })
    }

    async fn torture(&self, wholly: &Path, report: &mut Report) -> Result<(), FleetError> {
        if self.api {
            let rounds = self.rounds.unwrap_or(300);
            return api::run(wholly, rounds, Mishaps::All, self.plant, report).await;
        }
        points::run(wholly, self.scenarios.iter().copied().flatten().copied(), report).await;
        match self.rounds.unwrap_or(200) {
            0 => Ok(()),
            rounds => api::run(wholly, rounds, Mishaps::Kills, None, report).await,
        }
    }
}
