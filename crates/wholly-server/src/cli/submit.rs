//! `wholly submit`: a transaction from a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use wholly_client::{Client, State, SubmitError, Submitted};

use super::ask::{Ask, EXIT_CODES};
use super::exit::{Exit, Failed};
use super::screen::{Paint, Screen};
use super::time;
use crate::written::TransactionFile;

/// Submit a transaction, and wait until it has settled.
///
/// The file is the body of POST /v1/transactions, in JSON or TOML. If the answer is lost, the
/// command submits again with the same key, which never makes a second transaction.
#[derive(Args)]
#[command(after_help = format!("Examples:
  wholly submit order.json
  wholly submit order.toml --key ORD001 --wait 10s
  echo '{{\"pattern\": \"saga\", \"saga\": {{\"name\": \"create order\"}}}}' | wholly submit -
  wholly submit order.json --no-wait --json | jq -r .id

A two-phase transaction in TOML:
  name = \"place order\"
  [[branches]]
  participant = \"orders\"
  payload = {{ order_id = \"ORD001\" }}
  [[branches]]
  participant = \"payments\"
  payload = {{ amount = 1000 }}

{EXIT_CODES}"))]
pub struct Submit {
    /// The file with the transaction. - is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The idempotency key: all submissions with one key are one transaction. The default is a
    /// new random key.
    #[arg(long)]
    key: Option<String>,
    /// The longest wait, in whole seconds, like 10s or 2m.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    wait: Option<Duration>,
    /// Wait only until the transaction is accepted, and exit with 0.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    #[command(flatten)]
    ask: Ask,
}

impl Submit {
    pub fn run(self) -> ExitCode {
        let Self { file, key, wait, no_wait, ask } = self;
        ask.run(async |client, screen| {
            let written = TransactionFile::read(file)?;
            let refused = |why: SubmitError| in_file(&written, why.into());
            let mut submission = client
                .transaction_json(written.json())
                .map_err(|why| in_file(&written, why.into()))?;
            if let Some(key) = key {
                submission = submission.key(&key)?;
            }
            if let Some(patience) = wait {
                submission = submission.patience(patience);
            }
            match no_wait {
                true => accepted(&submission.submit().await.map_err(refused)?, screen),
                false => {
                    let submitted = submission.execute().await.map_err(refused)?;
                    waited(client, &submitted, screen).await
                }
            }
        })
    }
}

/// Says in which file it is what makes no sense, where that is why.
fn in_file(written: &TransactionFile, why: Failed) -> Failed {
    match why.is_usage() {
        true => written.refused(&why.to_string()).into(),
        false => why,
    }
}

fn accepted(submitted: &Submitted, screen: &Screen) -> Result<Exit, Failed> {
    match screen.json() {
        true => screen.document(submitted)?,
        false => screen.line(&format!("{}  accepted", submitted.id))?,
    }
    screen.hint(&format!("Follow it with: wholly watch {}", submitted.id));
    Ok(Exit::Done)
}

async fn waited(client: &Client, submitted: &Submitted, screen: &Screen) -> Result<Exit, Failed> {
    let id = submitted.id;
    let (state, stuck) = match &submitted.state {
        Some(state) if submitted.has_ended() => (state.clone(), false),
        // It was only accepted, for all that this answer says.
        _ => {
            let now = client.get(id).await?;
            (now.state, now.stuck)
        }
    };
    let exit = Exit::of(&state, submitted.has_ended(), stuck);
    if screen.json() {
        let mut document = submitted.clone();
        document.state = Some(state);
        screen.document(&document)?;
        return Ok(exit);
    }
    tell(submitted, &state, stuck, screen)?;
    match exit {
        Exit::Stuck => screen.hint(&format!("See why with: wholly get {id}")),
        Exit::Unsettled => screen.hint(&format!("It goes on. Follow it with: wholly watch {id}")),
        Exit::Done | Exit::Undone => {}
    }
    Ok(exit)
}

fn tell(submitted: &Submitted, state: &State, stuck: bool, screen: &Screen) -> Result<(), Failed> {
    let standing = super::standing(state, submitted.has_ended(), stuck);
    let paint = Paint::of(state, submitted.has_ended(), stuck);
    screen.line(&format!("{}  {}", submitted.id, screen.paint(paint, &standing)))?;
    if let Some(reason) = &submitted.reason {
        screen.hanging("  ", 2, Paint::Plain, reason)?;
    }
    let named = submitted.outputs.iter().filter(|(_, output)| output.get() != "null");
    let width = submitted.outputs.keys().map(|step| step.as_str().len()).max().unwrap_or(0);
    for (step, output) in named {
        let head = format!("  {}  ", screen.cell(Paint::Quiet, step.as_str(), width));
        screen.hanging(&head, width + 4, Paint::Plain, output.get())?;
    }
    if submitted.payloads_removed {
        screen.line("  its outputs were removed")?;
    }
    Ok(())
}
