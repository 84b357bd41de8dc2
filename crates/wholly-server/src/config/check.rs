//! `wholly config check`: the errors of a configuration, or the server's behaviour under it.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::exit;

use super::{Config, ConfiguredParticipant, Overrides, Source, Variables};

/// Look at the configuration.
#[derive(Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    command: ConfigSubcommand,
}

#[derive(Subcommand)]
enum ConfigSubcommand {
    Check(CheckFile),
}

/// Check a configuration, and say what the server would do with it.
///
/// Secrets, certificates and keys are read, and the variables that count before the file, too. What is
/// wrong is said on the standard error as
/// FILE:LINE:COLUMN: MESSAGE. The exit code is 0 where all is well, 2 where something is wrong.
#[derive(Args)]
struct CheckFile {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "wholly.toml", env = "WHOLLY_CONFIG")]
    file: PathBuf,
}

impl ConfigCommand {
    pub fn run(self) -> ExitCode {
        let ConfigSubcommand::Check(CheckFile { file }) = self.command;
        let said = Variables::of_environment().and_then(|variables| {
            Source { file, overrides: Overrides { variables, ..Overrides::default() } }.load()
        });
        match said {
            Ok(config) => {
                exit::wrote(wholly_terminal::write(Understood(&config)), ExitCode::SUCCESS)
            }
            Err(error) => {
                wholly_terminal::report(&error);
                ExitCode::from(exit::USAGE)
            }
        }
    }
}

/// A configuration in words.
struct Understood<'a>(&'a Config);

impl fmt::Display for Understood<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { listen, log, audit, access, tls, limits, participants, traces, .. } = self.0;
        let scheme = if tls.is_some() { "https" } else { "http" };
        writeln!(f, "listens on {scheme}://{}", listen.address())?;
        let file = log.file().map(|file| format!(" {}", file.display())).unwrap_or_default();
        writeln!(f, "log{file}, {}; audit {}", log.kind(), audit.display())?;
        if access.is_open() {
            writeln!(f, "every program of this machine may do everything")?;
        }
        for (how, caller) in access.callers() {
            writeln!(f, "{how} {}: {:?}", caller.name, caller.roles)?;
        }
        match limits.rate {
            Some(rate) => writeln!(
                f,
                "{} requests a second of each caller, {} at once",
                rate.per_second, rate.burst
            )?,
            None => writeln!(f, "no limit on a caller's requests a second")?,
        }
        if let Some(traces) = traces {
            writeln!(
                f,
                "traces to {}, {} of those that begin here",
                traces.endpoint, traces.sampled
            )?;
        }
        for feed in &self.0.feeds {
            writeln!(f, "follows the feed of {}: {}", feed.source, feed.url)?;
        }
        if !self.0.feeds.is_empty() {
            writeln!(f, "choreographies {}", self.0.choreographies.display())?;
        }
        for (name, configured) in participants {
            let ConfiguredParticipant { kind, endpoint, slots } = configured;
            let address =
                endpoint.address().map(|address| format!("{address}, ")).unwrap_or_default();
            writeln!(f, "participant {name}: {address}{kind}, {} calls at once", slots.total())?;
        }
        Ok(())
    }
}
