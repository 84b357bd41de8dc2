//! `wholly abort`, `retry`, `end` and `resolve`: the actions of an operator, each with a reason.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use wholly_client::{RawValue, RequestError, Resolution, TransactionId};

use super::ask::{Ask, Id};
use super::exit::{Exit, Failed};
use super::screen::Screen;

/// Abort a transaction that is not decided yet, or turn a saga back.
///
/// A committed transaction, and a saga whose pivot may have been called, cannot be aborted: the
/// exit code is 2. An aborted transaction stays as it is.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly abort ID --reason 'the customer left'")]
pub struct Abort {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    ask: Ask,
}

/// Repeat the outstanding calls of a transaction now.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly retry ID --reason 'payments is back'")]
pub struct Retry {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    ask: Ask,
}

/// End a transaction that was quarantined because its records cannot be used.
///
/// Find out first what its participants did, and repair that there: the coordinator never calls
/// them for it again. Its key stays taken. The command refuses a transaction that goes on by itself,
/// and one that is quarantined because it came with a restored copy of the log.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly end ID --reason 'the disk was damaged; refunded by hand'")]
pub struct End {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    ask: Ask,
}

/// Record the outcome of a branch or a step that you know.
///
/// The coordinator never calls the participant for it again. The outcome is recorded with its
/// reason, and cannot be changed.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly resolve ID payments --as committed --reason 'seen in the books'
  wholly resolve ID charge --as completed --output '{\"receipt\": 7}' \\
    --reason 'the bank says so'")]
pub struct Resolve {
    #[command(flatten)]
    id: Id,
    /// The name of the branch's participant, or of the step.
    #[arg(value_name = "BRANCH")]
    branch: String,
    /// The outcome: committed or aborted for a branch, completed or compensated for a step.
    #[arg(long, value_name = "HOW")]
    r#as: ResolveAs,
    /// The output of a completed step.
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    output: Option<Box<RawValue>>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Args)]
struct Reason {
    /// The reason, which is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResolveAs {
    Committed,
    Aborted,
    Completed,
    Compensated,
}

impl Abort {
    pub fn run(self) -> ExitCode {
        let Self { id: Id { id }, reason: Reason { reason }, ask } = self;
        ask.run(async |client, screen| {
            done(screen, id, "aborted by hand", client.abort(id, &reason).await)
        })
    }
}

impl Retry {
    pub fn run(self) -> ExitCode {
        let Self { id: Id { id }, reason: Reason { reason }, ask } = self;
        ask.run(async |client, screen| {
            done(screen, id, "asked again", client.retry(id, &reason).await)
        })
    }
}

impl End {
    pub fn run(self) -> ExitCode {
        let Self { id: Id { id }, reason: Reason { reason }, ask } = self;
        ask.run(async |client, screen| {
            done(screen, id, "ended by hand", client.end(id, &reason).await)
        })
    }
}

impl Resolve {
    pub fn run(self) -> ExitCode {
        let Self { id: Id { id }, branch, r#as, output, reason: Reason { reason }, ask } = self;
        ask.run(async |client, screen| {
            if output.is_some() && r#as != ResolveAs::Completed {
                let why = "--output is the output of a completed step; leave it out, or say \
                           --as completed";
                return Err(Failed::Usage(why.to_owned()));
            }
            let (ended, how) = match r#as {
                ResolveAs::Committed => (Resolution::Committed, "committed"),
                ResolveAs::Aborted => (Resolution::Aborted, "aborted"),
                ResolveAs::Completed => (Resolution::Completed(output), "completed"),
                ResolveAs::Compensated => (Resolution::Compensated, "compensated"),
            };
            let what = format!("{branch} resolved as {how}");
            done(screen, id, &what, client.resolve(id, &branch, ended, &reason).await)
        })
    }
}

fn done(
    screen: &Screen,
    id: TransactionId,
    what: &str,
    done: Result<(), RequestError>,
) -> Result<Exit, Failed> {
    done?;
    match screen.json() {
        true => screen.document(&json!({"id": id, "done": what}))?,
        false => screen.line(&format!("{id}  {what}"))?,
    }
    Ok(Exit::Done)
}

fn json_text(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|why| format!("it is no JSON: {why}"))
}
