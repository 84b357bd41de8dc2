//! The command line: what is asked, and the exit code that answers.
//!
//! 0: done. 2: the command line or the configuration is wrong, which trying again does not mend.
//! 1: everything else.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
#[cfg(feature = "demo")]
use wholly_demo::{
    bench::Bench,
    demo::Demo,
    kill::{KillAt, Killer},
    process::end_with_stdin,
    proxy::Proxy,
    service::Service,
    torture::Torture,
};

use crate::check::Check;
use crate::config::{Config, Loopback};
use crate::diagram::Diagram;
use crate::sagas::Sagas;
use crate::serve;

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
    Check(Check),
    Diagram(Diagram),
    #[cfg(feature = "demo")]
    Demo(Demo),
    #[cfg(feature = "demo")]
    Torture(Torture),
    #[cfg(feature = "demo")]
    Bench(Bench),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    ShopService(Service),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    TortureProxy(Proxy),
}

/// Run the coordinator as a server.
///
/// Prints one line to the standard output once it takes requests, "wholly is listening on
/// http://127.0.0.1:7400", and its log messages to the standard error (WHOLLY_LOG=debug shows
/// more). SIGTERM and SIGINT end it: what is in flight has 10 seconds to settle, and what has not
/// settled goes on with the next start.
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
    #[arg(long, value_name = "FILE", default_value = "wholly.toml")]
    config: PathBuf,
    /// Where to listen, instead of where the configuration says. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Loopback>,
    /// The log, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Definitions of sagas to submit by name: every *.toml and *.json of this folder. PUT
    /// /v1/sagas/NAME/VERSION stores new ones there.
    #[arg(long, value_name = "DIR")]
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
    if let Err(error) = log_to_stderr() {
        return failed(USAGE, &error);
    }
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Diagram(diagram) => diagram.run(),
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(),
        #[cfg(feature = "demo")]
        Command::Torture(torture) => torture.run(),
        #[cfg(feature = "demo")]
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "demo")]
        Command::ShopService(service) => service.run(),
        #[cfg(feature = "demo")]
        Command::TortureProxy(proxy) => proxy.run(),
    }
}

impl Serve {
    fn run(self) -> ExitCode {
        let mut config = match Config::load(&self.config) {
            Ok(config) => config,
            Err(error) => return failed(USAGE, &error),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        config.log = self.log.unwrap_or(config.log);
        let sagas = match self.sagas.map(Sagas::load).transpose() {
            Ok(sagas) => sagas.unwrap_or_default(),
            Err(error) => return failed(USAGE, &error),
        };
        #[cfg(feature = "demo")]
        let served = self.staged.serve(config, sagas);
        #[cfg(not(feature = "demo"))]
        let served = serve::run(config, sagas, |log| log, |participant| participant);
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(1, &error),
        }
    }
}

#[cfg(feature = "demo")]
impl Staged {
    fn serve(self, config: Config, sagas: Sagas) -> Result<(), serve::ServeError> {
        if self.end_with_stdin {
            end_with_stdin().map_err(serve::denied("threads"))?;
        }
        match self.kill_at.map(Killer::new) {
            None => serve::run(config, sagas, |log| log, |participant| participant),
            Some(killer) => serve::run(
                config,
                sagas,
                |log| killer.log(log),
                |participant| killer.participant(participant),
            ),
        }
    }
}

/// One line that says what is wrong.
fn failed(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("wholly: {error}");
    ExitCode::from(code)
}

fn log_to_stderr() -> Result<(), String> {
    let filter = match std::env::var("WHOLLY_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|why| format!("WHOLLY_LOG={filter:?} is no filter of log messages: {why}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // It would print that a message cannot be written to the same standard error, and panic
        // over that: a full disk would stop the coordinator for good.
        .log_internal_errors(false)
        .init();
    Ok(())
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
