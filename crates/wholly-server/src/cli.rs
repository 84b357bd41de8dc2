//! The command line: what is asked, and the exit code that answers.
//!
//! 0: done. 2: the command line or the configuration is wrong, which trying again does not mend.
//! 1: everything else.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
#[cfg(feature = "demo")]
use wholly_demo::{
    bench::Bench,
    demo::Demo,
    kill::{KillAt, Killer},
    process::end_with_stdin,
    service::Service,
    torture::Torture,
};

use crate::backup::Backup;
use crate::check::Check;
use crate::config::check::ConfigCommand;
use crate::config::logs::Logs;
use crate::config::{Config, Listen, LogIs, Overrides, Source};
use crate::conformance::Conformance;
use crate::diagram::Diagram;
use crate::logs;
use crate::sagas::Sagas;
use crate::serve;
use crate::token::Token;

/// What went wrong in a way that trying again does not mend.
const USAGE: u8 = 2;

/// Changes that span several services, made wholly or not at all.
#[derive(Parser)]
#[command(name = "wholly", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Serve),
    Backup(Backup),
    Config(ConfigCommand),
    Token(Token),
    Check(Check),
    Diagram(Diagram),
    Conformance(Conformance),
    #[cfg(feature = "demo")]
    Demo(Demo),
    #[cfg(feature = "demo")]
    Torture(Torture),
    #[cfg(feature = "demo")]
    Bench(Bench),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    ShopService(Service),
}

/// Run the coordinator as a server.
///
/// Prints one line to the standard output once it takes requests, "wholly is listening on
/// http://127.0.0.1:7400", and its log messages to the standard error (WHOLLY_LOG=debug shows
/// more). SIGTERM and SIGINT end it: what is in flight has 10 seconds to settle, and what has not
/// settled goes on with the next start. SIGHUP has it read the configuration again.
///
/// A flag counts before its environment variable, and that before the configuration.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly serve
  wholly serve --config /etc/wholly.toml
  wholly serve --listen 127.0.0.1:0 --log /tmp/wholly.db
  wholly serve --sagas sagas

A configuration needs no more than its participants:
  [participants.orders]
  url = \"http://127.0.0.1:8081\"

Submit a transaction:
  curl http://127.0.0.1:7400/v1/transactions -H 'content-type: application/json' \\
    -d '{\"name\": \"place order\", \"branches\": [{\"participant\": \"orders\", \"payload\": {}}]}'")]
struct Serve {
    /// The configuration: participants, log, settings.
    #[arg(long, value_name = "FILE", default_value = "wholly.toml", env = "WHOLLY_CONFIG")]
    config: PathBuf,
    /// Where to listen, instead of where the configuration says. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", env = "WHOLLY_LISTEN")]
    listen: Option<Listen>,
    /// The log, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE", env = "WHOLLY_LOG_FILE")]
    log: Option<PathBuf>,
    /// The log is a copy, and the original may have gone on since: give it an identity of its own,
    /// and hold what the original left in doubt until a person retries, aborts or resolves it.
    /// Say it at one start: every start with it gives the log another identity.
    #[arg(long, conflicts_with = "moved")]
    restored: bool,
    /// The log is the original, moved to another disk: no copy of it has run or will.
    #[arg(long)]
    moved: bool,
    /// The audit, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE", env = "WHOLLY_AUDIT")]
    audit: Option<PathBuf>,
    /// Definitions of sagas to submit by name: every *.toml and *.json of this folder. PUT
    /// /v1/sagas/NAME/VERSION stores new ones there.
    #[arg(long, value_name = "DIR", env = "WHOLLY_SAGAS")]
    sagas: Option<PathBuf>,
    #[cfg(feature = "demo")]
    #[command(flatten)]
    staged: Staged,
}

/// What the demo and the torture ask of a coordinator that they start.
#[cfg(feature = "demo")]
#[derive(Args)]
struct Staged {
    /// Kill the process at this point, like before-append:committed.
    #[arg(long, value_name = "POINT", hide = true)]
    kill_at: Option<KillAt>,
    /// End when the standard input does: the parent is gone.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

/// Does what the command line asks.
pub fn run() -> ExitCode {
    let Cli { command } = Cli::parse();
    // The server's configuration says how it tells what happens to it.
    if !matches!(command, Command::Serve(_))
        && let Err(error) = logs::show(Logs::default())
    {
        return failed(USAGE, &error);
    }
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Backup(backup) => backup.run(),
        Command::Config(config) => config.run(),
        Command::Token(token) => token.run(),
        Command::Check(check) => check.run(),
        Command::Diagram(diagram) => diagram.run(),
        Command::Conformance(conformance) => conformance.run(),
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(),
        #[cfg(feature = "demo")]
        Command::Torture(torture) => torture.run(),
        #[cfg(feature = "demo")]
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "demo")]
        Command::ShopService(service) => service.run(),
    }
}

impl Serve {
    fn run(self) -> ExitCode {
        let Self { config, listen, log, audit, .. } = self;
        let source = Source { file: config, overrides: Overrides { listen, log, audit } };
        let mut config = match source.load() {
            Ok(config) => config,
            Err(error) => return failed(USAGE, &error),
        };
        if let Err(error) = logs::show(config.logs) {
            return failed(USAGE, &error);
        }
        config.log_is = match (self.restored, self.moved) {
            (true, _) => LogIs::Restored,
            (false, true) => LogIs::Moved,
            (false, false) => LogIs::Original,
        };
        let sagas = match self.sagas.map(Sagas::load).transpose() {
            Ok(sagas) => sagas.unwrap_or_default(),
            Err(error) => return failed(USAGE, &error),
        };
        #[cfg(feature = "demo")]
        let served = self.staged.serve(source, config, sagas);
        #[cfg(not(feature = "demo"))]
        let served = serve::run(source, config, sagas, |log| log, |participant| participant);
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(1, &error),
        }
    }
}

#[cfg(feature = "demo")]
impl Staged {
    fn serve(self, source: Source, config: Config, sagas: Sagas) -> Result<(), serve::ServeError> {
        if self.end_with_stdin {
            end_with_stdin().map_err(serve::denied("threads"))?;
        }
        match self.kill_at.map(Killer::new) {
            None => serve::run(source, config, sagas, |log| log, |participant| participant),
            Some(killer) => serve::run(
                source,
                config,
                sagas,
                |log| killer.log(log),
                |participant| killer.participant(participant),
            ),
        }
    }
}

/// One line that says what is wrong.
pub fn failed(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("wholly: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
