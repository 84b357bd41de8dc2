//! `wholly serve`: the configuration, and the flags that take its place.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wholly::log::maintenance::Provenance;
#[cfg(feature = "demo")]
use wholly_demo::process::end_with_stdin;

use super::advised::Advised;
use super::exit::{self, failed};
use crate::config::{Listen, Overrides, Source, Variables};
use crate::logs;
use crate::sagas::Sagas;
use crate::serve::{self, Decorators, Undecorated};

/// Run the coordinator as a server.
///
/// Prints one line to the standard output once it takes requests, "wholly is listening on
/// http://127.0.0.1:7400", and its log messages to the standard error (WHOLLY_LOG=debug shows
/// more). SIGTERM ends it: for 5 seconds /readyz answers 503 while transactions are still taken, then
/// what is in flight has 10 seconds to settle, and what has not settled goes on with the next start;
/// the section "shutdown" of the configuration sets both times. SIGINT, or a second SIGTERM, ends it
/// without the 5 seconds. SIGHUP has it read the configuration again.
///
/// A flag counts before its environment variable, and that before the configuration. Every key of
/// the configuration has a variable: WHOLLY_LISTEN, WHOLLY_LOG_FILE, WHOLLY_AUDIT, and
/// in sections like WHOLLY_SETTINGS_DEADLINE or WHOLLY_PARTICIPANTS_ORDERS_URL.
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
  curl http://127.0.0.1:7400/v1/transactions \\
    -H 'content-type: application/json' -d '{\"name\": \"place order\",
      \"branches\": [{\"participant\": \"orders\", \"payload\": {}}]}'")]
pub struct Serve {
    /// The configuration: participants, log, settings.
    #[arg(long, value_name = "FILE", default_value = "wholly.toml", env = "WHOLLY_CONFIG")]
    config: PathBuf,
    /// The address to listen on, instead of the configuration's. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// The file of the log, instead of the log that the configuration names.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Open the log as a copy, whose original may have gone on since: it gets an identity of its own,
    /// and what the original left in doubt is quarantined until an operator retries, aborts or resolves
    /// it. Give this flag at one start: every start with it gives the log another identity.
    #[arg(long, conflicts_with = "moved")]
    restored: bool,
    /// Open the log as the original, moved to another disk: no copy of it has run or will.
    #[arg(long)]
    moved: bool,
    /// The audit, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Definitions of sagas to submit by name: every *.toml and *.json of this folder. PUT
    /// /v1/sagas/NAME/VERSION stores new ones there.
    #[arg(long, value_name = "DIR", env = "WHOLLY_SAGAS")]
    sagas: Option<PathBuf>,
    /// End when the standard input does: the parent is gone.
    #[cfg(feature = "demo")]
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub fn run(self) -> ExitCode {
        self.run_decorated(&Undecorated)
    }

    /// Serves until SIGTERM or SIGINT, with decorators around the log and the participants.
    pub fn run_decorated(self, decorators: &dyn Decorators) -> ExitCode {
        #[cfg(feature = "demo")]
        if self.end_with_stdin
            && let Err(error) = end_with_stdin()
        {
            return failed(exit::FAILED, &format_args!("the system denies threads: {error}"));
        }
        let Self { config, listen, log, audit, .. } = self;
        let said = Variables::of_environment().and_then(|variables| {
            let overrides = Overrides { listen, log, audit, variables };
            let source = Source { file: config, overrides };
            Ok((source.load()?, source))
        });
        let (config, source) = match said {
            Ok(said) => said,
            Err(error) => return failed(exit::USAGE, &error),
        };
        let messages = match logs::show_by_thread(config.logs) {
            Ok(messages) => messages,
            Err(error) => return failed(exit::USAGE, &error),
        };
        let provenance = match (self.restored, self.moved) {
            (true, _) => Provenance::Restored,
            (false, true) => Provenance::Moved,
            (false, false) => Provenance::Original,
        };
        if let Err(unsupported) = config.log.declare(provenance) {
            messages.say_error(&unsupported);
            return ExitCode::from(exit::USAGE);
        }
        let sagas = match self.sagas.map(Sagas::load).transpose() {
            Ok(sagas) => sagas.unwrap_or_default(),
            Err(error) => {
                messages.say_error(&error);
                return ExitCode::from(exit::USAGE);
            }
        };
        match serve::run(source, config, sagas, decorators) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                messages.say_error(&Advised(&error));
                ExitCode::from(exit::FAILED)
            }
        }
    }
}
