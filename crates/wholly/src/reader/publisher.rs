//! The loop's end of the reader: how far the loop has come, and what readers ask of it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Notify, watch};

use super::Source;
use crate::engine::{Progress, QuarantineChange};
use crate::log::{LogReader, Position};

/// Tells readers how far the loop has come. It ends with the loop.
pub(crate) struct Publisher {
    source: Arc<Source>,
    published: watch::Sender<Published>,
}

/// The loop as readers see it.
#[derive(Clone, Copy)]
pub(super) struct Published {
    /// The number of incarnations of the loop that began before this one.
    pub incarnation: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// The log is open up to this batch, and the loop loads what it holds.
    Begins(Position),
    Runs(Progress),
    /// The loop has ended, or its log failed. This batch is durable; later ones may be.
    Ended(Position),
}

/// The flag by which readers ask for a batch that nobody else waits for.
#[derive(Default)]
pub(super) struct Flush {
    wanted: AtomicU64,
    asked: Notify,
}

impl Publisher {
    pub(super) fn new(source: Arc<Source>, head: Position) -> (Self, watch::Receiver<Published>) {
        let first = Published { incarnation: 0, state: State::Begins(head) };
        let (sender, published) = watch::channel(first);
        (Self { source, published: sender }, published)
    }

    /// Publishes the progress of the loop, before any reply that rests on it is given.
    pub fn publish(&self, progress: Progress, quarantined: Vec<QuarantineChange>) {
        if !quarantined.is_empty() {
            let mut all = self.source.quarantined.write().unwrap_or_else(PoisonError::into_inner);
            for (id, why) in quarantined {
                match why {
                    Some(why) => drop(all.insert(id, why)),
                    None => drop(all.remove(&id)),
                }
            }
        }
        self.published.send_if_modified(|published| {
            let before = std::mem::replace(&mut published.state, State::Runs(progress));
            let State::Runs(before) = before else { return true };
            // Nobody waits for more to be recorded, and that happens with every command.
            before.durable != progress.durable || (progress.is_durable() && !before.is_durable())
        });
    }

    /// Begins the next incarnation, of a log that was opened again.
    pub fn begin_again(&self, log: Arc<dyn LogReader>, head: Position) {
        *self.source.log.write().unwrap_or_else(PoisonError::into_inner) = log;
        self.source.quarantined.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.published.send_modify(|published| {
            published.incarnation += 1;
            published.state = State::Begins(head);
        });
    }

    /// Ends the incarnation: its log failed, or the coordinator has stopped.
    pub fn end(&self) {
        let end = |published: &mut Published| published.state = State::Ended(published.durable());
        self.published.send_modify(end);
    }

    /// The last batch that is durable.
    pub fn durable(&self) -> Position {
        self.published.borrow().durable()
    }

    /// The last batch that readers wait for.
    pub fn wanted(&self) -> Position {
        Position(self.source.flush.wanted.load(SeqCst))
    }

    /// Waits until a reader asks for a batch.
    pub async fn asked(&self) {
        self.source.flush.asked.notified().await;
    }
}

impl Published {
    pub fn durable(&self) -> Position {
        match self.state {
            State::Begins(durable) | State::Ended(durable) => durable,
            State::Runs(progress) => progress.durable,
        }
    }

    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Begins(_))
    }

    /// The progress of an incarnation of the loop, while it runs.
    pub fn progress_of(&self, incarnation: u64) -> Option<Progress> {
        match self.state {
            State::Runs(progress) if self.incarnation == incarnation => Some(progress),
            State::Runs(_) | State::Begins(_) | State::Ended(_) => None,
        }
    }
}

impl Flush {
    /// Asks for this batch.
    pub fn ask(&self, wanted: Position) {
        self.wanted.fetch_max(wanted.0, SeqCst);
        self.asked.notify_one();
    }
}
