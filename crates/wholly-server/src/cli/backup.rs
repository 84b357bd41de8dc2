//! `wholly backup`: a copy of the log, while the server runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::advised::Advised;
use super::exit::{FAILED, failed};
use crate::config::log;

/// Copy the log while the server runs.
///
/// The copy is of one moment, whole and durable when the command ends, readable by nobody else, and
/// never replaces a file. It holds every payload that the log holds. Serve it with --restored,
/// which quarantines what the copy has in doubt until an operator decides.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly backup --log /var/lib/wholly/wholly.db --to /backup/$(date +%F).db
  wholly serve --log /backup/wholly-2026-01-31.db --restored")]
pub struct Backup {
    /// The log.
    #[arg(long, value_name = "FILE", default_value = "wholly.db")]
    log: PathBuf,
    /// The file of the copy.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Backup {
    pub fn run(self) -> ExitCode {
        match log::in_file(&self.log, false).backup(&self.to) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(FAILED, &Advised(&error)),
        }
    }
}
