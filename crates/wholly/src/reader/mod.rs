//! The reader: the durable log, read without the loop.
//!
//! Gets, lists, decisions and feeds read the log on threads of their own. No read queues behind the
//! loop's commands, and reads go on while the log cannot be written.
//!
//! A client must read what it was told. So the loop [publishes](Publisher) its progress before it
//! replies: the batch that makes all its records durable, and the last batch that is durable. A
//! read waits until the second has reached the first, and asks the loop by a flag to write the
//! gathered records: there is no command and no reply.
//!
//! INVARIANT: a read shows what is durable and nothing else. The loop adds two things beside the
//! records: the quarantined transactions, and the ids that were minted.

mod decision;
mod publisher;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use wholly_core::TransactionId;
use wholly_core::two_phase::Decision;

pub(crate) use decision::decided;
#[cfg(test)]
pub(crate) use decision::presumed;
pub(crate) use publisher::Publisher;
use publisher::{Flush, Published};

use crate::engine::Minted;
use crate::error::{DecisionError, GetError};
use crate::log::listing::{Cursor, Filter, Query};
use crate::log::{LogReader, Position, ReadError};
use crate::workers::Workers;
use crate::{Listing, Snapshot};

/// Reads what is durable. Clones share one log and one loop.
#[derive(Clone)]
pub(crate) struct Reader {
    source: Arc<Source>,
    published: watch::Receiver<Published>,
}

/// The log and the requests that the reader and the loop share.
struct Source {
    /// The end of the log that reads; a new one after the log was opened again.
    log: RwLock<Arc<dyn LogReader>>,
    threads: Arc<Workers>,
    /// The quarantined transactions, and why each is.
    quarantined: RwLock<BTreeMap<TransactionId, Arc<str>>>,
    flush: Flush,
}

impl Reader {
    /// A reader of a log that was just opened, and the loop's end of it.
    pub fn new(
        log: Arc<dyn LogReader>,
        head: Position,
        threads: Arc<Workers>,
    ) -> (Publisher, Self) {
        let (log, quarantined) = (RwLock::new(log), RwLock::default());
        let source = Arc::new(Source { log, threads, quarantined, flush: Flush::default() });
        let (publisher, published) = Publisher::new(source.clone(), head);
        (publisher, Self { source, published })
    }

    /// A transaction, with all that anybody was told of it; `None` if there is none with this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn get(&self, id: TransactionId) -> Result<Option<Snapshot>, GetError> {
        self.recorded_is_durable().await;
        let quarantined = of(&self.source.quarantined).get(&id).cloned();
        let read = move |log: &dyn LogReader| {
            let Some(stored) = log.history(id)? else { return Ok(None) };
            let ordinal = id.ordinal();
            let has_ended = !log.unsettled(ordinal.saturating_sub(1), 1)?.contains(&ordinal);
            Ok(Some(Snapshot::of(&stored, has_ended, quarantined.as_deref())))
        };
        self.read(read).await
    }

    /// A page of the transactions that match, with all that anybody was told of them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Listing, GetError> {
        self.recorded_is_durable().await;
        let quarantined = of(&self.source.quarantined).keys().copied().collect();
        let query = Query { filter: filter.clone(), after, limit, quarantined };
        Ok(self.read(move |log| log.list(&query)).await?.into())
    }

    /// The durable decision of a transaction in two phases, or the presumed one; `None` while it is
    /// undecided.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn decision(&self, id: TransactionId) -> Result<Option<Decision>, DecisionError> {
        let minted = self.recorded_is_durable().await;
        let unreadable =
            |error: GetError| DecisionError::Unavailable { id, why: error.to_string() };
        match self.read(move |log| log.history(id)).await.map_err(unreadable)? {
            Some(stored) => decided(&stored),
            None => {
                // Read after the history, so that a trim in between is not missed.
                let trimmed = self.read(|log| log.trimmed()).await.map_err(unreadable)?;
                decision::presumed(id, minted, trimmed)
            }
        }
    }

    /// Reads the log as it is now.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn LogReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, GetError> {
        let log = of(&self.source.log).clone();
        let done = self.source.threads.run(move || read(&*log)).await;
        Ok(done.map_err(|_| GetError::Stopped)??)
    }

    /// The last batch that is durable.
    pub fn durable(&self) -> Position {
        self.published.borrow().durable()
    }

    /// Waits until the last durable batch is one of these; `None` if the loop has ended.
    pub async fn durable_until(&mut self, is_one: impl Fn(Position) -> bool) -> Option<()> {
        self.published.wait_for(|now| is_one(now.durable())).await.ok().map(drop)
    }

    /// Waits until all that the loop has recorded by now is durable, and gives the ids that were
    /// minted by then. `None` where that cannot be: the loop has ended, or its log failed.
    async fn recorded_is_durable(&self) -> Option<Minted> {
        let mut published = self.published.clone();
        let begun = *published.wait_for(Published::has_begun).await.ok()?;
        let recorded = begun.progress_of(begun.incarnation)?;
        if !recorded.is_durable() {
            self.source.flush.ask(recorded.recorded);
            // INVARIANT: a batch of the next incarnation at the same position is another batch.
            let is_over = |now: &Published| {
                now.progress_of(begun.incarnation).is_none_or(|now| now.covers(recorded))
            };
            published.wait_for(is_over).await.ok()?.progress_of(begun.incarnation)?;
        }
        Some(recorded.minted)
    }
}

fn of<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
