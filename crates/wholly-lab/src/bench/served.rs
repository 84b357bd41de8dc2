//! The server in a process of its own, as `wholly serve` starts it, and transactions for it.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use wholly::Payload;

use wholly_demo::bench::bare_participant::BareParticipant;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Work;
use wholly_demo::client::{Http, PATIENCE, Reply};
use wholly_demo::process::Process;

pub(super) struct Served {
    pub process: Process,
    /// Host and port.
    pub address: String,
}

impl Served {
    /// Starts the binary `wholly`. Its configuration and its log are in `directory`; `text` is the
    /// configuration but for the address.
    pub async fn start(wholly: &Path, text: &str, directory: &Path) -> Result<Self, BenchError> {
        let config = directory.join("wholly.toml");
        std::fs::write(&config, format!("listen = '127.0.0.1:0'\n{text}"))?;
        let config = config.display().to_string();
        let arguments = ["serve", "--end-with-stdin", "--config", &config].map(str::to_owned);
        Self::run(wholly, &arguments, directory, "warn").await
    }

    /// Starts a program that serves, and waits until it says where.
    pub async fn run(
        program: &Path,
        arguments: &[String],
        directory: &Path,
        log_filter: &str,
    ) -> Result<Self, BenchError> {
        let mut process = Process::start(program, "server", arguments, directory, log_filter)?;
        let line = process.line().await.unwrap_or_default();
        match line.split_once("http://") {
            Some((_, address)) => Ok(Self { address: address.trim_end().to_owned(), process }),
            None => Err(BenchError::Participant { why: process.last_words() }),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its answer to a request to read.
    pub async fn read(&self, http: &Http, path: &str) -> Result<Value, BenchError> {
        match http.get(&self.url(path)).await? {
            Reply { status: 200, body, .. } => Ok(body),
            other => Err(BenchError::BareCall { why: format!("{path}: {other:?}") }),
        }
    }
}

/// A section of the configuration for each participant, with the same further lines.
pub(super) fn participants_at(
    names: &[String],
    participants: &[BareParticipant],
    further: &str,
) -> String {
    let sections = names.iter().zip(participants).map(|(name, participant)| {
        format!("[participants.{name}]\nurl = '{}'\n{further}", participant.url)
    });
    sections.collect()
}

/// A transaction on these participants, as a client submits it.
pub(super) fn transaction(names: &[String], payload: &Payload) -> Result<Value, BenchError> {
    let payload: Value = payload.to()?;
    let branch = |name: &String| json!({"participant": name, "payload": payload});
    Ok(json!({"name": "bench", "branches": names.iter().map(branch).collect::<Vec<_>>()}))
}

/// The work of one client: a submission that must be committed or completed when it is answered.
pub(super) struct Submitting {
    pub http: Http,
    pub url: String,
    body: String,
    /// The `Authorization`, where there are tokens.
    authorization: Option<String>,
}

impl Submitting {
    /// Submits a transaction on these participants to a server without tokens.
    pub fn new(server: &Served, names: &[String], payload: &Payload) -> Result<Self, BenchError> {
        let body = transaction(names, payload)?.to_string();
        Ok(Self::at(&server.url(""), body, None))
    }

    /// Submits this body to the server at this URL.
    pub fn at(server: &str, body: String, token: Option<&str>) -> Self {
        let (http, url) = (Http::default(), format!("{server}/v1/transactions"));
        Self { http, url, body, authorization: token.map(|token| format!("Bearer {token}")) }
    }
}

impl Work for Submitting {
    async fn once(&self) -> Result<(), BenchError> {
        let headers = self.authorization.as_deref().map(|value| ("authorization", value));
        let (headers, body) = (headers.as_slice(), self.body.clone());
        let reply = self.http.send(Method::POST, &self.url, headers, body, PATIENCE).await?;
        match (reply.status, reply.body["state"].as_str()) {
            (200, Some("committed" | "completed")) => Ok(()),
            _ => Err(BenchError::BareCall { why: format!("{reply:?}") }),
        }
    }
}
