//! The options that all commands with a server share: its address, the credentials and the output.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use wholly_client::{Client, TransactionId};

use super::exit::{Exit, Failed};
use super::screen::{Colour, Screen};
use super::time;

/// The end of the help of every command that asks a server.
pub const EXIT_CODES: &str = "Exit codes:
  0  committed, completed, or the command was done
  1  aborted or compensated
  2  the request is invalid, or the server refused it
  3  not settled yet
  4  stuck, or over with an unknown outcome: an operator is needed
  5  the server could not be reached";

#[derive(Args)]
#[command(next_help_heading = "Server")]
pub struct Ask {
    /// The server's address.
    #[arg(
        long,
        value_name = "URL",
        env = "WHOLLY_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7400"
    )]
    server: String,
    /// The file with the token. The default is the token in the variable WHOLLY_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificates (PEM) of the authorities to trust, instead of the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client's certificate (PEM), with its intermediate certificates.
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    cert: Option<PathBuf>,
    /// The private key (PEM) of the client's certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// The time to keep trying while the server does not answer.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = time::duration)]
    retry_for: Duration,
    /// Print JSON, for programs.
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// When to use colour.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, help_heading = "Output")]
    color: Colour,
}

/// The transaction that a command is about.
#[derive(Args)]
pub struct Id {
    /// The transaction's id.
    #[arg(value_name = "ID")]
    pub id: TransactionId,
}

impl Ask {
    /// Runs a command to its end.
    pub fn run(
        self,
        command: impl AsyncFnOnce(&Client, &Screen) -> Result<Exit, Failed>,
    ) -> ExitCode {
        let screen = Screen::new(self.json, self.color);
        let done = self.client().and_then(|client| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(command(&client, &screen))
        });
        match done {
            Ok(exit) => ExitCode::from(exit as u8),
            Err(failed) => failed.exit(),
        }
    }

    fn client(&self) -> Result<Client, Failed> {
        let mut builder = Client::at(&self.server).retry_for(self.retry_for);
        if let Some(token) = self.token()? {
            builder = builder.token(&token);
        }
        if let Some(file) = &self.ca {
            builder = builder.ca_file(file);
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.cert_key) {
            builder = builder.identity(certificate, key);
        }
        // The address may hold a password.
        builder.build().map_err(|why| Failed::Usage(format!("--server: {why}")))
    }

    /// Never an argument, for everybody on this machine can read those.
    fn token(&self) -> Result<Option<String>, Failed> {
        let Some(file) = &self.token_file else {
            return Ok(std::env::var("WHOLLY_TOKEN").ok().filter(|token| !token.is_empty()));
        };
        let token = std::fs::read_to_string(file);
        let file = file.display();
        let token = token
            .map_err(|why| Failed::Usage(format!("the token in {file} cannot be read: {why}")))?;
        match token.trim() {
            "" => Err(Failed::Usage(format!("there is no token in {file}"))),
            token => Ok(Some(token.to_owned())),
        }
    }
}
