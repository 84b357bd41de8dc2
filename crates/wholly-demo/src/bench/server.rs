//! The whole way: a client, the server's API, and participants, each in a process of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::json;
use tempfile::TempDir;

use super::bare_calls::Plan;
use super::bare_participant::BareParticipant;
use super::common::Common;
use super::error::BenchError;
use super::load::{Load, Work};
use super::relay;
use super::report::{Comparison, Figures, Named, Ratio};
use super::shape::Shape;
use crate::process::Process;

/// A token that may submit, and what the configuration keeps of it. It opens nothing but a server
/// that lives as long as a round, on loopback.
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
    /// What is submitted.
    #[arg(long, value_enum, default_value_t = Pattern::TwoPhase)]
    pattern: Pattern,
    /// Beside what it is measured.
    #[arg(long, value_enum, default_value_t = Ceiling::Bare)]
    ceiling: Ceiling,
    /// Of a saga.
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

/// What stands between a client and the participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Wholly,
    PlainWholly,
    Bare,
}

impl Server {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        let directory = self.common.directory()?;
        let names = self.common.names();
        let processes = BareParticipant::start_all(&names, directory.path()).await?;
        let urls: Vec<_> = processes.iter().map(|process| process.url.clone()).collect();
        let beside = match self.ceiling {
            Ceiling::Bare => Between::Bare,
            Ceiling::Plain => Between::PlainWholly,
        };
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for _ in 0..self.load.rounds {
            subject.push(self.round(Between::Wholly, &urls, &directory).await?);
            ceiling.push(self.round(beside, &urls, &directory).await?);
        }
        let name = match self.ceiling {
            Ceiling::Bare => "bare server",
            Ceiling::Plain => "without tokens, metrics and logs",
        };
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new(name, ceiling));
        let ratio = Ratio::of(&subject.median, &ceiling.median);
        let Common { participants, payload_bytes, .. } = self.common;
        let what = match self.pattern {
            Pattern::TwoPhase => format!("two-phase, {participants} participants"),
            Pattern::Saga => format!("saga, {}", self.shape),
        };
        let at_once = self.load.concurrency;
        Ok(Comparison {
            workload: format!(
                "server: {what}: {at_once} at once, payloads of {payload_bytes} bytes"
            ),
            rounds: self.load.rounds as usize,
            subject,
            ceiling,
            ratio,
        })
    }

    async fn round(
        &self,
        between: Between,
        urls: &[String],
        directory: &TempDir,
    ) -> Result<Figures, BenchError> {
        // A log of its own for each round.
        let directory = tempfile::tempdir_in(directory.path())?;
        let arguments = match between {
            Between::Bare => relay::arguments(&self.plan(urls)?)?,
            _ => self.configure(between, urls, directory.path())?,
        };
        let mut process = match between {
            Between::PlainWholly => {
                Process::start_with("server", &arguments, directory.path(), "off")?
            }
            _ => Process::start_with("server", &arguments, directory.path(), "info")?,
        };
        let line = process.line().await.unwrap_or_default();
        let Some(at) = line.find("http://") else {
            return Err(BenchError::Participant { why: process.last_words() });
        };
        let posts = Arc::new(Posts::new(&line[at..], self.body()?)?);
        let run = self.load.run(posts, || process.processor_time()).await?;
        let mut figures = Figures::of_run(&run);
        let processor = run.after.saturating_sub(run.before);
        figures.processor_micros_per_transaction =
            processor.as_secs_f64() * 1e6 / run.latencies.len() as f64;
        figures.resident_bytes = process.resident_bytes().map(|bytes| bytes as f64);
        Ok(figures)
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

    /// Writes what the server needs; the arguments that start it.
    fn configure(
        &self,
        between: Between,
        urls: &[String],
        directory: &Path,
    ) -> Result<Vec<String>, BenchError> {
        let mut config = String::new();
        if between == Between::Wholly {
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

    /// What a client sends.
    fn body(&self) -> Result<String, BenchError> {
        let payload: String = self.common.payload()?.to()?;
        let branch = |name| json!({ "participant": name, "payload": payload });
        Ok(match self.pattern {
            Pattern::TwoPhase => {
                let branches: Vec<_> = self.common.names().into_iter().map(branch).collect();
                json!({ "name": "bench", "branches": branches })
            }
            Pattern::Saga => json!({
                "pattern": "saga", "saga": { "name": "bench", "version": 1 }, "input": payload,
            }),
        }
        .to_string())
    }
}

/// The work of one client: a submission that must be settled when it is answered.
struct Posts {
    client: Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
}

impl Posts {
    fn new(url: &str, body: String) -> Result<Self, BenchError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tcp);
        let request = Request::post(format!("{}/v1/transactions", url.trim_end()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Full::from(body))
            .map_err(|error| BenchError::BareCall { why: error.to_string() })?;
        Ok(Self { client, request })
    }
}

impl Work for Posts {
    async fn once(&self) -> Result<(), BenchError> {
        let failed = |why: String| BenchError::BareCall { why };
        let sent = self.client.request(self.request.clone()).await;
        let response = sent.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        // Not aborted, not on its way.
        let is_done = text.contains("\"committed\"") || text.contains("\"completed\"");
        match status == StatusCode::OK && is_done {
            true => Ok(()),
            false => Err(failed(format!("the server answered {status}: {text}"))),
        }
    }
}
