//! The log messages: one line each to the standard error.
//!
//! INVARIANT: none holds a payload or a key. One that is about a transaction has the field
//! `transaction`.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use wholly_terminal::stream::{Colour, MessageFormat, StandardStream, is_terminal, messages};

use self::queue::Queue;
pub use self::queue::dropped;
use crate::config::logs::{Format, Logs};

/// The longest wait at the end for messages that are not written yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log messages of this process, while it runs. Dropping it writes the remaining ones, if the
/// standard error takes them within a second.
pub struct Shown(Queue);

/// Begins to show them, for a command, which waits for whoever reads its standard error.
/// WHOLLY_LOG, a filter, counts before the level.
pub fn show(logs: Logs) -> Result<(), String> {
    let form = form(logs);
    init(logs, move || messages(form))
}

/// Begins to show them, for a server, which waits for nobody.
pub fn show_by_thread(logs: Logs) -> Result<Shown, String> {
    let queue = Queue::start(messages(form(logs)))
        .map_err(|why| format!("the system denies the thread that writes log messages: {why}"))?;
    init(logs, queue.clone())?;
    std::panic::set_hook(Box::new(|panic| {
        // The default hook writes to the standard error, and waits for its reader.
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!("{panic}\n{backtrace}"),
            _ => tracing::error!("{panic}"),
        }
    }));
    Ok(Shown(queue))
}

fn init<W>(logs: Logs, writer: W) -> Result<(), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = match std::env::var("WHOLLY_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|why| format!("WHOLLY_LOG={filter:?} is no filter of log messages: {why}"))?,
        Err(_) => EnvFilter::new(logs.level.as_str()),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // It would print that a message cannot be written to the same standard error, and panic
        // over that: a full disk would stop the coordinator for good.
        .log_internal_errors(false);
    match logs.format {
        Format::Text => lines.with_ansi(form(logs) == MessageFormat::Text(Colour::On)).init(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).init(),
    }
    Ok(())
}

fn form(logs: Logs) -> MessageFormat {
    match logs.format {
        Format::Json => MessageFormat::Json,
        Format::Text if is_terminal(StandardStream::Error) => MessageFormat::Text(Colour::On),
        Format::Text => MessageFormat::Text(Colour::Off),
    }
}

impl Shown {
    /// Says why the process ends. A line of its own would wait for the thread that writes.
    pub fn say_error(&self, error: &dyn Display) {
        for line in format!("wholly: {error}").lines() {
            self.0.add(format!("{line}\n").as_bytes());
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.flush(FLUSH_TIMEOUT);
    }
}
