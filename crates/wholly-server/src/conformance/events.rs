//! `wholly conformance events`: whether a service keeps the contract of events.

use std::error::Error;
use std::process::Stdio;

use clap::Args;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use wholly_events::conformance::Verdict;
use wholly_events::conformance::follower::{ServiceProcess, follower_conformance};
use wholly_events::feed::HttpFeed;

use super::tell;
use crate::cli::secret::{Unrepeated, secret};
use crate::config::secret::Secret;

/// Check that a service keeps the contract of events.
///
/// Is the feed that the service follows, at http://127.0.0.1:PORT/feed, lets it fail in every way,
/// and looks at what the service emits in its own feed. The service is one for tests, with an empty
/// database: it answers ConformanceAsked with ConformanceAnswered, or ConformanceRefused where n is
/// negative, and takes it back for ConformanceUndone with ConformanceTakenBack. Given the service's
/// command, the suite starts it, and kills it in the middle. The exit code is 0 where every rule is
/// kept, 1 where one is broken, 2 where nothing could be asked.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly conformance events --feed http://127.0.0.1:8082/feed --listen 8081
  wholly conformance events --feed http://127.0.0.1:8082/feed --listen 8081 \\
    -- python3 follower.py 8082 http://127.0.0.1:8081/feed follower.db

The contract is docs/events-contract.md.")]
pub struct Events {
    /// Where the service's own feed is.
    #[arg(long, value_name = "URL")]
    feed: String,
    /// The port, on this machine, of the feed that the service follows.
    #[arg(long, value_name = "PORT")]
    listen: u16,
    /// The token that the service's feed asks for: where it is, env:NAME or file:/PATH.
    #[arg(long, value_name = "SECRET", value_parser = Unrepeated(secret))]
    bearer: Option<Secret>,
    /// The command that starts the service over the same database each time.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Events {
    /// True if every rule is kept.
    pub async fn check(self) -> Result<bool, Box<dyn Error>> {
        let mut feed = HttpFeed::at(&self.feed)?;
        if let Some(token) = &self.bearer {
            feed = feed.token(token.expose())?;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.listen)).await?;
        let service = Service { command: self.command, running: None };
        let report = follower_conformance(feed, listener, service).await?;
        for check in &report.checks {
            let (word, seen) = match &check.verdict {
                Verdict::Passed => ("passed", ""),
                Verdict::Failed { seen } => ("FAILED", seen.as_str()),
                _ => ("not offered", ""),
            };
            tell(word, "events", check.rule, seen)?;
        }
        Ok(report.passed())
    }
}

/// The service as a process of the suite, which ends with it; or one that runs elsewhere.
struct Service {
    command: Vec<String>,
    running: Option<Child>,
}

impl ServiceProcess for Service {
    async fn kill(&mut self) -> bool {
        match self.running.as_mut() {
            Some(running) => running.kill().await.is_ok(),
            None => false,
        }
    }

    async fn start(&mut self) -> Result<(), String> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            // What the suite prints is a line for each rule, and nothing else.
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.running = Some(started.map_err(|why| format!("{program}: {why}"))?);
        Ok(())
    }
}
