//! The loop through failures of the log: one incarnation after the other.
//!
//! An *incarnation* lasts from an opening of the log to its failure or the shutdown. Between
//! incarnations nothing is decided; submissions are refused, reads go on, and the log is opened again as
//! at a start: new memory, new lanes, so that nothing of the failed incarnation reaches the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::command::{Command, Registered};
use super::incarnation::{End, Incarnation, Opened, PersistentState};
use super::{Caller, Health};
use crate::engine::{Input, Reply};
use crate::error::{StartError, SubmitError};
use crate::log::{KnownLog, Log, ReadError};
use crate::workers::Workers;

/// The number of ordinals that are read at once when the log is opened.
const PAGE: usize = 100_000;

/// The pause before a log that failed is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// Runs one incarnation after the other until the coordinator is to stop.
pub(super) struct Driver {
    pub log: Arc<dyn Log>,
    /// The threads that open it.
    pub reads: Arc<Workers>,
    /// Set once the coordinator was told to stop, and did.
    pub shut_down: Arc<AtomicBool>,
    pub persistent: PersistentState,
}

/// Opens the log, or opens it again if something was told of it, and reads which transactions have
/// not ended.
pub(super) async fn open(
    log: &Arc<dyn Log>,
    told: Option<KnownLog>,
    reads: &Workers,
) -> Result<Opened, StartError> {
    let log = log.clone();
    let opening = move || {
        let log = match told {
            None => log.open()?,
            // INVARIANT: a failed append never ends in another log, or an empty one.
            Some(told) => log.reopen(told)?,
        };
        let mut unsettled = Vec::new();
        loop {
            let after = unsettled.last().copied().unwrap_or(0);
            let page = log.reader.unsettled(after, PAGE)?;
            if page.is_empty() {
                return Ok(Opened { log, unsettled });
            }
            unsettled.extend(page);
        }
    };
    reads.run(opening).await.unwrap_or_else(|error| {
        Err(StartError::Read(ReadError::Storage { why: error.to_string() }))
    })
}

/// Bits for jitter and ids. Without a random source the ids still ascend and differ.
pub(super) fn random_seed() -> u64 {
    getrandom::u64().unwrap_or(0)
}

impl Driver {
    pub async fn run(mut self, mut opened: Opened) {
        let identity = opened.log.identity;
        loop {
            let end = match Incarnation::begin(&mut self.persistent, opened).await {
                Ok(incarnation) => incarnation.live(&mut self.persistent).await,
                Err(error) => End::LogFailed(error.to_string()),
            };
            let End::LogFailed(why) = end else { break };
            let persistent = &self.persistent;
            persistent.publisher.end();
            persistent.meter.log_failed();
            tracing::error!("the log failed, and is opened again: {why}");
            persistent.health.send_replace(Health::LogFailed { why: why.clone() });
            let told = KnownLog { identity, head: persistent.publisher.durable() };
            match self.reopen(told, why).await {
                Some(again) => opened = again,
                None => break,
            }
            tracing::info!("the log is open again");
            // Whatever landed of the batch that failed, opening has made it durable.
            self.persistent.publisher.begin_again(opened.log.reader.clone(), opened.log.head);
            self.persistent.health.send_replace(Health::Ready);
        }
        self.shut_down.store(true, Ordering::Release);
    }

    /// Opens the log again, as often as it takes; meanwhile every command is refused. `None` if
    /// the coordinator is to stop.
    async fn reopen(&mut self, told: KnownLog, mut why: String) -> Option<Opened> {
        loop {
            let pause = tokio::time::sleep(REOPEN_AFTER);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    fed = self.persistent.commands.recv() => match fed?.command {
                        Command::Input(input) => refuse(input, &why),
                        Command::Register { target, endpoint, slots } => {
                            self.persistent.targets.insert(target, Registered { endpoint, slots });
                        }
                        Command::Shutdown { to, .. } => {
                            let _ = to.send(());
                            return None;
                        }
                    },
                }
            }
            match open(&self.log, Some(told), &self.reads).await {
                Ok(opened) => return Some(opened),
                // Each new reason is said once: it may stay so for long.
                Err(error) if error.to_string() != why => {
                    why = error.to_string();
                    tracing::error!("the log cannot be opened again, and is tried further: {why}");
                    self.persistent.health.send_replace(Health::LogFailed { why: why.clone() });
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for Driver {
    /// Nobody takes the loop for running, however it ended.
    fn drop(&mut self) {
        self.persistent.publisher.end();
        self.persistent.health.send_replace(Health::Stopped);
    }
}

/// Tells a caller that the log is not available.
fn refuse(input: Input<Caller>, why: &str) {
    let Some(to) = input.into_caller() else { return };
    let _ = to.send(Reply::NotAccepted(SubmitError::Unavailable { why: why.to_owned() }));
}
