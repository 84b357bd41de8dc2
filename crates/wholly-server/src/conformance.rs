//! `wholly conformance`: whether a service, in any language, keeps the participant's half of the
//! protocol. The checks are those of [`wholly::test`]; here they are asked for and told.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use wholly::HttpParticipant;
use wholly::test::{
    ConformanceError, Payloads, Report, SagaProbe, Verdict, participant_conformance_of,
    saga_participant_conformance_of,
};

/// Check that a service keeps the participant's contract.
///
/// Asks the service what a coordinator with a bad network would ask: twice, late and out of order;
/// and prints a line for each rule. It needs nothing but the service, which should be one for
/// tests, because some of what it asks is committed. The exit code is 0 where every rule is kept, 1
/// where one is broken, 2 where nothing could be asked.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly conformance http://127.0.0.1:8081 \\
    --accepted '{\"account\": \"alice\", \"cents\": 1}' \\
    --refused '{\"account\": \"alice\", \"cents\": 1000000}' \\
    --action pay --compensation refund

The contract is docs/participant-contract.md.")]
pub struct Conformance {
    /// Where the service's operations are, as in the configuration.
    #[arg(value_name = "URL")]
    url: String,
    /// A payload, in JSON, that the service accepts about thirty times.
    #[arg(long, value_name = "JSON", value_parser = json)]
    accepted: Value,
    /// A payload, in JSON, that the service always refuses.
    #[arg(long, value_name = "JSON", value_parser = json)]
    refused: Value,
    /// An action that the service offers to sagas: its checks are made, too.
    #[arg(long, value_name = "NAME", requires = "compensation")]
    action: Option<String>,
    /// The compensation of that action.
    #[arg(long, value_name = "NAME", requires = "action")]
    compensation: Option<String>,
    /// Leave out two-phase, for a service that takes part in sagas only.
    #[arg(long, requires = "action")]
    saga_only: bool,
}

impl Conformance {
    pub fn run(self) -> ExitCode {
        let asked = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let kept = match asked {
            Ok(runtime) => runtime.block_on(self.ask()).map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        match kept {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => {
                eprintln!("wholly: {why}");
                ExitCode::from(2)
            }
        }
    }

    /// Whether every rule is kept.
    async fn ask(self) -> Result<bool, ConformanceError> {
        let payloads = Payloads { good: self.accepted, refused: self.refused };
        let mut kept = true;
        if !self.saga_only {
            let participant = HttpParticipant::at(&self.url)?;
            kept &= told("two-phase", &participant_conformance_of(participant, &payloads).await?);
        }
        if let (Some(action), Some(compensation)) = (self.action, self.compensation) {
            let participant = HttpParticipant::at(&self.url)?;
            let probe = SagaProbe { action, compensation, payloads };
            kept &= told("saga", &saga_participant_conformance_of(participant, &probe).await?);
        }
        Ok(kept)
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|why| format!("it is no JSON: {why}"))
}

/// Prints a line for each check. Whether all of them passed.
fn told(pattern: &str, report: &Report) -> bool {
    for check in &report.checks {
        let (word, seen) = match &check.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Failed { seen } => ("FAILED", seen.as_str()),
            _ => ("not offered", ""),
        };
        let colon = if seen.is_empty() { "" } else { ": " };
        println!("{word:<12} {pattern:<10} {}{colon}{seen}", check.rule);
    }
    report.passed()
}
