//! `wholly-lab torture`: SIGKILL at every point and at random, and the books afterwards.
//!
//! Two parts, with real processes and real databases. `points` kills the coordinator before,
//! during and after each append to its log and each call of a participant, and each service
//! before, during and after each call that it answers, for a list of scenarios, until a run has no
//! further point. `rounds` kills whatever the seed says, whenever it says, while clients place
//! orders. `api` is a third one, which knows nothing but the public API. What must hold at the end is
//! in `check`, as a function that can be shown to fail. `choreography` is a torture of its own, of
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
mod rounds;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use points::Scenario;
use report::Report;
use wholly_demo::fleet::FleetError;
use wholly_demo::process::until_interrupted;
use wholly_demo::random::fresh_seed;

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
    part: Option<Part>,
    /// Only through the public API: clients keep all that answers and events tell them while
    /// processes are killed, the network between them is cut and delayed, and disks fill and are
    /// freed.
    #[arg(long)]
    api: bool,
    /// The number of random rounds: 200, or 300 through the API.
    #[arg(long)]
    rounds: Option<u32>,
    /// The scenarios whose every point is killed at, or none.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    scenarios: Vec<Scenarios>,
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
enum Part {
    Choreography(choreography::Choreography),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenarios {
    All,
    None,
    Success,
    Refusal,
    ReadOnly,
    OnePhase,
    Down,
    Deadline,
    Saga,
    SagaDeclined,
    SagaOutOfStock,
    SagaUnknown,
}

impl Scenarios {
    fn chosen(self) -> &'static [Scenario] {
        match self {
            Self::All => &Scenario::ALL,
            Self::None => &[],
            Self::Success => &[Scenario::Success],
            Self::Refusal => &[Scenario::Refusal],
            Self::ReadOnly => &[Scenario::ReadOnly],
            Self::OnePhase => &[Scenario::OnePhase],
            Self::Down => &[Scenario::Down],
            Self::Deadline => &[Scenario::Deadline],
            Self::Saga => &[Scenario::Saga],
            Self::SagaDeclined => &[Scenario::SagaDeclined],
            Self::SagaOutOfStock => &[Scenario::SagaOutOfStock],
            Self::SagaUnknown => &[Scenario::SagaUnknown],
        }
    }
}

impl Torture {
    /// Kills and checks; 0 when nothing was violated.
    pub fn run(self, wholly: &Path) -> ExitCode {
        if let Some(Part::Choreography(part)) = self.part {
            return part.run(wholly);
        }
        until_interrupted(async {
            let mut report = Report::new(self.seed.unwrap_or_else(fresh_seed), self.json);
            if let Err(error) = self.torture(wholly, &mut report).await {
                report.violation(format!("the torture stopped: {error}"));
            }
            report.finish()
        })
    }

    async fn torture(&self, wholly: &Path, report: &mut Report) -> Result<(), FleetError> {
        if self.api {
            return api::run(wholly, self.rounds.unwrap_or(300), self.plant, report).await;
        }
        let scenarios = self.scenarios.iter().flat_map(|scenarios| scenarios.chosen());
        points::run(wholly, scenarios.copied(), report).await;
        match self.rounds.unwrap_or(200) {
            0 => Ok(()),
            rounds => rounds::run(wholly, rounds, report).await,
        }
    }
}
