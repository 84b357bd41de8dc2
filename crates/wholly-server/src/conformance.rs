//! `wholly conformance`: checks that a service, in any language, keeps the participant's half of the
//! protocol, or the contract of events. [`wholly::conformance`] and [`wholly_events::conformance`]
//! make the checks; this command runs them and prints the results.

mod events;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use wholly::HttpParticipant;
use wholly::conformance::{
    Payloads, Report, SagaProbe, Verdict, participant_conformance_of,
    saga_participant_conformance_of,
};
use wholly_terminal::{one_line, write_line};

use crate::cli::exit::{USAGE, failed};
use crate::cli::secret::{Unrepeated, secret};
use crate::config::secret::Secret;

/// Check that a service keeps the participant's contract.
///
/// Calls the service as a coordinator with a bad network would: twice, late and out of order. Prints
/// a line for each rule. Use a service for tests, because some of the calls commit. The exit code is
/// 0 if every rule is kept, 1 if one is broken, and 2 if the service cannot be called.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly conformance http://127.0.0.1:8081 \\
    --accepted '{\"account\": \"alice\", \"cents\": 1}' \\
    --refused '{\"account\": \"alice\", \"cents\": 1000000}' \\
    --action pay --compensation refund

The contract is docs/participant-contract.md. For services that react to each
other's events: wholly conformance events --help.")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Conformance {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    participant: Option<ParticipantArguments>,
}

/// The other contract.
#[derive(Subcommand)]
enum Other {
    Events(events::Events),
}

/// The arguments for the participant's contract.
#[derive(Args)]
struct ParticipantArguments {
    /// The address of the service's operations, as in the configuration.
    #[arg(value_name = "URL")]
    url: String,
    /// A payload, in JSON, that the service accepts about thirty times.
    #[arg(long, value_name = "JSON", value_parser = json)]
    accepted: Value,
    /// A payload, in JSON, that the service always refuses.
    #[arg(long, value_name = "JSON", value_parser = json)]
    refused: Value,
    /// An action that the service offers to sagas, to check it as well.
    #[arg(long, value_name = "NAME", requires = "compensation")]
    action: Option<String>,
    /// The compensation of that action.
    #[arg(long, value_name = "NAME", requires = "action")]
    compensation: Option<String>,
    /// The token for the service, as env:NAME or file:/PATH.
    #[arg(long, value_name = "SECRET", value_parser = Unrepeated(secret))]
    bearer: Option<Secret>,
    /// The key to sign calls with: its id, and its secret as env:NAME or file:/PATH.
    #[arg(long, value_name = "KEY_ID=SECRET", value_parser = Unrepeated(signing))]
    signing: Option<(String, Secret)>,
    /// Leave out the two-phase checks, for a service that only takes part in sagas.
    #[arg(long, requires = "action")]
    saga_only: bool,
}

impl Conformance {
    pub fn run(self) -> ExitCode {
        let asked = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let kept = match asked {
            Ok(runtime) => runtime.block_on(self.check()).map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        match kept {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => failed(USAGE, &why),
        }
    }

    /// True if every rule is kept.
    async fn check(self) -> Result<bool, Box<dyn Error>> {
        match (self.other, self.participant) {
            (Some(Other::Events(events)), _) => events.check().await,
            (None, Some(participant)) => participant.ask().await,
            // The command line has asked for one of them.
            (None, None) => Err("there is nothing to check".into()),
        }
    }
}

impl ParticipantArguments {
    /// True if every rule is kept.
    async fn ask(self) -> Result<bool, Box<dyn Error>> {
        // Each suite asks by connections of its own.
        let (for_two_phase, for_saga) = (self.participant()?, self.participant()?);
        let payloads = Payloads { good: self.accepted, refused: self.refused };
        let mut kept = true;
        if !self.saga_only {
            let report = participant_conformance_of(for_two_phase, &payloads).await?;
            kept &= told("two-phase", &report)?;
        }
        if let (Some(action), Some(compensation)) = (self.action, self.compensation) {
            let probe = SagaProbe { action, compensation, payloads };
            let report = saga_participant_conformance_of(for_saga, &probe).await?;
            kept &= told("saga", &report)?;
        }
        Ok(kept)
    }

    fn participant(&self) -> Result<HttpParticipant, Box<dyn Error>> {
        let mut participant = HttpParticipant::at(&self.url)?;
        if let Some(token) = &self.bearer {
            participant = participant.bearer(token.expose())?;
        }
        if let Some((key_id, secret)) = &self.signing {
            participant = participant.signed_by(key_id, secret.expose().as_bytes())?;
        }
        Ok(participant)
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|why| format!("it is no JSON: {why}"))
}

fn signing(text: &str) -> Result<(String, Secret), String> {
    let (key_id, at) = text.split_once('=').ok_or("write it like 2026-07=env:PAYMENTS_SECRET")?;
    Ok((key_id.to_owned(), secret(at)?))
}

/// Prints a line for each check. Returns true if all of them passed.
fn told(pattern: &str, report: &Report) -> io::Result<bool> {
    for check in &report.checks {
        let (word, seen) = match &check.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Failed { seen } => ("FAILED", seen.as_str()),
            _ => ("not offered", ""),
        };
        tell(word, pattern, check.rule, seen)?;
    }
    Ok(report.passed())
}

fn tell(word: &str, pattern: &str, rule: &str, seen: &str) -> io::Result<()> {
    let colon = if seen.is_empty() { "" } else { ": " };
    let seen = one_line(seen);
    write_line(format_args!("{word:<12} {pattern:<10} {rule}{colon}{seen}"))
}
