//! `wholly conformance events`: checks that a service keeps the contract of events.

use std::error::Error;
use std::process::Stdio;

use clap::Args;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use wholly_events::conformance::Verdict;
use wholly_events::conformance::follower::{self, follower_conformance};
use wholly_events::feed::HttpFeed;

use super::tell;
use crate::cli::secret::{Unrepeated, secret};
use crate::config::secret::Secret;

/// Check that a service keeps the contract of events.
///
/// The command serves the feed that the service follows, at http://127.0.0.1:PORT/feed, with every
/// kind of failure, and reads the service's own feed. Use a service for tests with an empty
/// database. It reacts to ConformanceAsked with ConformanceAnswered, or with ConformanceRefused if n
/// is negative, and to ConformanceUndone with ConformanceTakenBack. If the service's command is
/// given, the suite starts it, and kills it in the middle. The exit code is 0 if every rule is kept,
/// 1 if one is broken, and 2 if the service cannot be called.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly conformance events --feed http://127.0.0.1:8082/feed --listen 8081
  wholly conformance events --feed http://127.0.0.1:8082/feed --listen 8081 \\
    -- python3 follower.py 8082 http://127.0.0.1:8081/feed follower.db

The contract is docs/events-contract.md.")]
pub struct Events {
    /// The address of the service's own feed.
    #[arg(long, value_name = "URL")]
    feed: String,
    /// The port, on this machine, of the feed that the service follows.
    #[arg(long, value_name = "PORT")]
    listen: u16,
    /// The token for the service's feed, as env:NAME or file:/PATH.
    #[arg(long, value_name = "SECRET", value_parser = Unrepeated(secret))]
    bearer: Option<Secret>,
    /// The command that starts the service, each time with the same database.
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
        let service = ServiceProcess { command: self.command, running: None };
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
struct ServiceProcess {
    command: Vec<String>,
    running: Option<Child>,
}

impl follower::ServiceProcess for ServiceProcess {
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
            // The suite prints a line for each rule, and nothing else.
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.running = Some(started.map_err(|why| format!("{program}: {why}"))?);
        Ok(())
    }
}
