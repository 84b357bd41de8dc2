//! The log messages: one line each to the standard error.
//!
//! INVARIANT: none holds a payload or a key. One that is about a transaction has the field
//! `transaction`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::logs::{Format, Logs};

/// Begins to show them. WHOLLY_LOG, a filter, counts before the level.
pub fn show(logs: Logs) -> Result<(), String> {
    let filter = match std::env::var("WHOLLY_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|why| format!("WHOLLY_LOG={filter:?} is no filter of log messages: {why}"))?,
        Err(_) => EnvFilter::new(logs.level.as_str()),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would print that a message cannot be written to the same standard error, and panic
        // over that: a full disk would stop the coordinator for good.
        .log_internal_errors(false);
    match logs.format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).init(),
    }
    Ok(())
}
