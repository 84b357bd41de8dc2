//! The whole way: a client, the server's API, and participants, each in a process of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::json;
use tempfile::TempDir;

use super::relay;
use super::served::{Served, Submitting, transaction};
use wholly_demo::bench::bare_calls::Plan;
use wholly_demo::bench::bare_participant::BareParticipant;
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Load;
use wholly_demo::bench::report::{Comparison, Figures, Named};
use wholly_demo::bench::shape::Shape;

/// A token that may submit, and its hash in the configuration. It opens nothing but a server that
/// lives as long as a round, on loopback.
const TOKEN: &str = "wholly_bmVpdGhlciBzZWNyZXQgbm9yIHJhbmRvbTogYSBiZW5jaA";
const TOKEN_SHA256: &str = "0689e681929be9c65cec96ec34256b32a8574a4230ee06ed0891968df19fa372";

/// The whole way, from a client over the server's API to the participants and back, with tokens,
/// metrics and logs as they are by default.
///
/// The ceiling is a bare server in the place of Wholly's: it takes the same request, makes the same
/// calls in the same order, and answers, with no protocol and no log. With --ceiling plain it is
/// Wholly's own server without tokens, metrics and log messages: the ratio is what the three cost
/// together. Processor time and memory are those of the server's process.
#[derive(clap::Args, Debug)]
pub(super) struct Server {
    #[command(flatten)]
    load: Load,
    /// The pattern that is submitted.
    #[arg(long, value_enum, default_value_t = Pattern::TwoPhase)]
    pattern: Pattern,
    /// The ceiling that it is measured beside.
    #[arg(long, value_enum, default_value_t = Ceiling::Bare)]
    ceiling: Ceiling,
    /// The shape of a saga.
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    pub common: Common,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    TwoPhase,
    Saga,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Ceiling {
    /// A bare server that makes the calls.
    Bare,
    /// Wholly's server without tokens, metrics and log messages.
    Plain,
}

impl Server {
    pub async fn run(self, wholly: &Path) -> Result<Comparison, BenchError> {
        let directory = self.common.directory()?;
        let names = self.common.names();
        let processes = BareParticipant::start_all(&names, directory.path()).await?;
        let urls: Vec<_> = processes.iter().map(|process| process.url.clone()).collect();
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for _ in 0..self.load.rounds {
            subject.push(self.round(wholly, None, &urls, &directory).await?);
            ceiling.push(self.round(wholly, Some(self.ceiling), &urls, &directory).await?);
        }
        let name = match self.ceiling {
            Ceiling::Bare => "bare server",
            Ceiling::Plain => "without tokens, metrics and logs",
        };
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new(name, ceiling));
        let Common { participants, payload_bytes, .. } = self.common;
        let what = match self.pattern {
            Pattern::TwoPhase => format!("two-phase, {participants} participants"),
            Pattern::Saga => format!("saga, {}", self.shape),
        };
        let at_once = self.load.concurrency;
        let workload =
            format!("server: {what}: {at_once} at once, payloads of {payload_bytes} bytes");
        Ok(Comparison::of(workload, subject, ceiling))
    }

    async fn round(
        &self,
        wholly: &Path,
        ceiling: Option<Ceiling>,
        urls: &[String],
        directory: &TempDir,
    ) -> Result<Figures, BenchError> {
        // A log of its own for each round.
        let directory = tempfile::tempdir_in(directory.path())?;
        let this_program = std::env::current_exe()?;
        let (program, arguments) = match ceiling {
            Some(Ceiling::Bare) => (this_program.as_path(), relay::arguments(&self.plan(urls)?)?),
            _ => (wholly, self.configure(ceiling, urls, directory.path())?),
        };
        let log_filter = if ceiling == Some(Ceiling::Plain) { "off" } else { "info" };
        let server = Served::run(program, &arguments, directory.path(), log_filter).await?;
        let work = Arc::new(Submitting::at(&server.url(""), self.body()?, Some(TOKEN)));
        let run = self.load.run(work, || server.process.processor_time()).await?;
        Ok(Figures::of_process(&run, server.process.resident_bytes()))
    }

    /// The calls that a transaction needs.
    fn plan(&self, urls: &[String]) -> Result<Plan, BenchError> {
        let (names, payload) = (self.common.names(), self.common.payload()?);
        match self.pattern {
            Pattern::TwoPhase => Ok(Plan::two_phase(&names, urls, &payload)),
            Pattern::Saga => {
                let graph = self.shape.graph(&names, false)?;
                Ok(Plan::saga(&graph, self.shape.layers(), urls, &payload))
            }
        }
    }

    /// Writes the server's files; returns the arguments that start it.
    fn configure(
        &self,
        ceiling: Option<Ceiling>,
        urls: &[String],
        directory: &Path,
    ) -> Result<Vec<String>, BenchError> {
        let mut config = String::new();
        if ceiling.is_none() {
            let _ = write!(
                config,
                "[[tokens]]\nname = \"bench\"\nsha256 = \"{TOKEN_SHA256}\"\nroles = [\"submit\"]\n"
            );
        } else {
            config.push_str("[metrics]\nenabled = false\n");
        }
        for (name, url) in self.common.names().iter().zip(urls) {
            let _ = write!(config, "[participants.{name}]\nurl = \"{url}\"\n");
        }
        let file = directory.join("wholly.toml");
        std::fs::write(&file, config)?;
        let sagas = directory.join("sagas");
        std::fs::create_dir(&sagas)?;
        let graph = self.shape.graph(&self.common.names(), false)?;
        std::fs::write(sagas.join("bench.json"), serde_json::to_string(graph.definition())?)?;
        let (file, sagas) = (file.display().to_string(), sagas.display().to_string());
        let listen = "127.0.0.1:0";
        Ok(["serve", "--end-with-stdin", "--config", &file, "--sagas", &sagas, "--listen", listen]
            .map(str::to_owned)
            .to_vec())
    }

    /// The body that a client sends.
    fn body(&self) -> Result<String, BenchError> {
        let payload = self.common.payload()?;
        Ok(match self.pattern {
            Pattern::TwoPhase => transaction(&self.common.names(), &payload)?,
            Pattern::Saga => json!({
                "pattern": "saga", "saga": { "name": "bench", "version": 1 }, "input": payload.to::<String>()?,
            }),
        }
        .to_string())
    }
}
