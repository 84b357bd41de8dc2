//! `wholly log`: a log's file in an operator's hands.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wholly::log::OpenError;
use wholly::log::maintenance::{Doubt, Salvaged, Verified};
use wholly_terminal::{one_line, write_line};

use super::advised::Advised;
use super::exit::{self, failed};
use crate::config::log;

/// Create a log, verify one, or salvage a damaged one.
#[derive(Args)]
pub struct LogCommand {
    #[command(subcommand)]
    command: LogSubcommand,
}

#[derive(Subcommand)]
enum LogSubcommand {
    Init(Init),
    Verify(Verify),
    Salvage(Salvage),
}

/// Create a log, and print its identity.
///
/// A server creates its log at its first start, unless the configuration has create_log = false:
/// then a log whose disk is not mounted is an error, and not a new log. Only the owner may read the
/// file.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly log init /var/lib/wholly/wholly.db")]
struct Init {
    /// The log's file.
    #[arg(value_name = "FILE")]
    log: PathBuf,
}

/// Read a whole log, and report its damage.
///
/// The log's server may run meanwhile; its write-ahead log grows until the command ends. Nothing is
/// changed. The exit code is 0 if the log is undamaged, and 1 if it is damaged or cannot be opened:
/// the standard output then lists the damage, and the transactions that it puts in doubt.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly log verify /var/lib/wholly/wholly.db")]
struct Verify {
    /// The log's file.
    #[arg(value_name = "FILE")]
    log: PathBuf,
}

/// Copy the undamaged part of a log to another file.
///
/// Stop the log's server first; the log is not changed. Serve the copy with --restored, which gives
/// it an identity of its own and quarantines its unsettled transactions until an operator retries,
/// aborts or resolves them. A transaction with damaged records is shown as stuck.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly log salvage /var/lib/wholly/wholly.db /var/lib/wholly/saved.db
  wholly serve --log /var/lib/wholly/saved.db --restored")]
struct Salvage {
    /// The log's file.
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The file of the copy, which must not exist.
    #[arg(value_name = "TO")]
    to: PathBuf,
}

impl LogCommand {
    pub fn run(self) -> ExitCode {
        match self.command {
            LogSubcommand::Init(init) => init.run(),
            LogSubcommand::Verify(verify) => verify.run(),
            LogSubcommand::Salvage(salvage) => salvage.run(),
        }
    }
}

impl Init {
    fn run(self) -> ExitCode {
        match log::in_file(&self.log, false).create() {
            Ok(identity) => {
                let log = self.log.display();
                let said = format!("{log} is a new log with the identity {identity}");
                exit::wrote(write_line(one_line(&said)), ExitCode::SUCCESS)
            }
            Err(error @ OpenError::Exists { .. }) => failed(exit::USAGE, &error),
            Err(error) => failed(exit::FAILED, &Advised(&error)),
        }
    }
}

impl Verify {
    fn run(self) -> ExitCode {
        let verified = match log::in_file(&self.log, false).verify() {
            Ok(verified) => verified,
            Err(error) => return failed(exit::FAILED, &Advised(&error)),
        };
        let is_whole = verified.damage.is_empty() && verified.refused.is_none();
        let code = if is_whole { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) };
        exit::wrote(self.tell(&verified), code)
    }

    fn tell(&self, verified: &Verified) -> io::Result<()> {
        let identity = verified.identity.map_or("unknown".to_owned(), |id| id.to_string());
        fact("log", self.log.display())?;
        fact("identity", identity)?;
        fact("batches", verified.head.0)?;
        let (all, unsettled) = (verified.transactions, verified.unsettled);
        fact("read", format_args!("{all} transactions, {unsettled} of them unsettled"))?;
        verified.damage.iter().try_for_each(|damage| fact("damaged", damage))?;
        fact("in doubt", in_doubt(verified))?;
        match &verified.refused {
            Some(why) => fact("opened", format_args!("no: {}", Advised(why))),
            None if verified.doubt == Doubt::Any => {
                fact("opened", "no, but as a restored copy: see `wholly log salvage`, too")
            }
            None => Ok(()),
        }
    }
}

/// A line about a log.
fn fact(what: &str, fact: impl Display) -> io::Result<()> {
    write_line(format_args!("{what:<10} {}", one_line(&fact.to_string())))
}

fn in_doubt(verified: &Verified) -> String {
    match &verified.doubt {
        Doubt::Nothing => "nothing".to_owned(),
        Doubt::These(these) => {
            let these: Vec<_> = these.iter().map(ToString::to_string).collect();
            format!("{}, and no other", these.join(", "))
        }
        _ => "every transaction that is unsettled, and what was told last".to_owned(),
    }
}

impl Salvage {
    fn run(self) -> ExitCode {
        let salvaged = match log::in_file(&self.from, false).salvage(&self.to) {
            Ok(salvaged) => salvaged,
            Err(error) => return failed(exit::FAILED, &Advised(&error)),
        };
        exit::wrote(self.tell(&salvaged), ExitCode::SUCCESS)
    }

    fn tell(&self, salvaged: &Salvaged) -> io::Result<()> {
        let Salvaged { entries, damaged, nameless, unreadable, .. } = salvaged;
        let to = self.to.display();
        fact("copied", format_args!("{entries} entries to {to}"))?;
        fact("damaged", format_args!("{damaged} of them; their transactions show as stuck"))?;
        fact("left", format_args!("{nameless} that belong to no known transaction"))?;
        if *unreadable {
            write_line("unreadable parts of the file, whose entries are lost")?;
        }
        fact("next", format_args!("wholly serve --log {to} --restored"))
    }
}
