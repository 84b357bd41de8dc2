//! The subscriptions to events, and the one task that serves them: it reads each batch once,
//! renders each event once, and sends it to the subscriptions that it concerns.
//!
//! A subscription to one transaction costs nothing while others go on. A slow one reads the events
//! that it missed from the log: its queue has a fixed length. The task runs while there is a
//! subscription.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::broadcast::{Receiver, Sender};
use wholly::{
    Coordinator, EventId, Feed, FeedEvent, Name, ParticipantName, Pattern, TransactionId,
};

use super::view;
use crate::problem::{Kind, Problem};

/// The events that a subscription to all transactions may be behind before it reads the log.
const QUEUE_OF_ALL: usize = 1_024;
/// The events that a subscription to one transaction may be behind before it reads the log.
const QUEUE_OF_ONE: usize = 8;
/// The most subscriptions at once.
const LISTENERS_LIMIT: usize = 50_000;

/// An event as the block of a stream, with the members that filters read.
pub struct RenderedEvent {
    pub id: EventId,
    pub settled: bool,
    pub pattern: Option<Pattern>,
    pub name: Option<Name>,
    pub participants: Arc<[Option<ParticipantName>]>,
    pub block: Bytes,
}

impl RenderedEvent {
    pub fn new(event: FeedEvent) -> Self {
        let block = view::block(&event);
        let FeedEvent { id, settled, pattern, name, participants, .. } = event;
        Self { id, settled, pattern, name, participants, block }
    }
}

/// All subscriptions to a coordinator's events.
#[derive(Clone)]
pub struct Broadcaster {
    coordinator: Coordinator,
    subscribers: Arc<Mutex<Subscribers>>,
}

#[derive(Default)]
struct Subscribers {
    /// By the transaction's ordinal.
    to_one: HashMap<u64, Sender<Arc<RenderedEvent>>>,
    to_all: Option<Sender<Arc<RenderedEvent>>>,
    count: usize,
    /// True while the task runs.
    running: bool,
    /// True once the server stops: no further subscription begins.
    closed: bool,
}

/// A subscription, which ends when it is dropped.
pub struct Subscription {
    broadcaster: Broadcaster,
    /// The ordinal of the transaction, or none for all of them.
    to: Option<u64>,
    receiver: Option<Receiver<Arc<RenderedEvent>>>,
}

impl Broadcaster {
    pub fn new(coordinator: Coordinator) -> Self {
        Self { coordinator, subscribers: Arc::default() }
    }

    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Ends every stream now, and refuses further subscriptions.
    pub fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.closed = true;
        subscribers.end_all();
    }

    /// Subscribes to the events of one transaction, or of all, that become durable from now on.
    /// Earlier ones are in the log.
    pub fn subscribe(&self, to: Option<TransactionId>) -> Result<Subscription, Problem> {
        let to = to.map(TransactionId::ordinal);
        let mut subscribers = self.lock();
        if subscribers.closed {
            return Err(Problem::new(Kind::SHUTTING_DOWN, "the server is shutting down"));
        }
        if subscribers.count >= LISTENERS_LIMIT {
            let detail = format!(
                "{LISTENERS_LIMIT} event streams are open, which is the limit; close some, or try \
                 again later"
            );
            return Err(Problem::new(Kind::TOO_MANY_LISTENERS, detail));
        }
        subscribers.count += 1;
        if !subscribers.running {
            subscribers.running = true;
            // The feed begins before the subscription is returned, so that no event falls between
            // those that are sent and those that the listener reads from the log.
            tokio::spawn(self.clone().send(self.coordinator.feed(None)));
        }
        let receiver = match to {
            Some(ordinal) => {
                subscribers.to_one.entry(ordinal).or_insert_with(|| channel(QUEUE_OF_ONE))
            }
            None => subscribers.to_all.get_or_insert_with(|| channel(QUEUE_OF_ALL)),
        }
        .subscribe();
        Ok(Subscription { broadcaster: self.clone(), to, receiver: Some(receiver) })
    }

    async fn send(self, mut feed: Feed) {
        loop {
            let goes_on = feed.more().await.is_ok();
            {
                let mut subscribers = self.lock();
                if subscribers.count == 0 || !goes_on {
                    subscribers.running = false;
                    subscribers.end_all();
                    return;
                }
            }
            let broadcaster = self.clone();
            match feed.read(move |ordinal| broadcaster.lock().concerns(ordinal)).await {
                Ok(page) => {
                    if page.trimmed.is_some() {
                        // A client that reconnects is told that events are missing.
                        self.lock().end_all();
                    }
                    self.send_all(page.events);
                }
                Err(error) => {
                    tracing::warn!(
                        "events cannot be read from the log, so all event streams end: {error}"
                    );
                    let mut subscribers = self.lock();
                    subscribers.running = false;
                    subscribers.end_all();
                    return;
                }
            }
        }
    }

    fn send_all(&self, events: Vec<FeedEvent>) {
        for event in events {
            let ordinal = event.transaction.ordinal();
            let event = Arc::new(RenderedEvent::new(event));
            let mut subscribers = self.lock();
            if let Some(to_all) = &subscribers.to_all {
                // It fails if the last subscription has just ended.
                let _ = to_all.send(Arc::clone(&event));
            }
            let ends = event.settled;
            if let Some(to_one) = subscribers.to_one.get(&ordinal) {
                let _ = to_one.send(event);
            }
            if ends {
                subscribers.to_one.remove(&ordinal);
            }
        }
    }

    /// The number of subscriptions, of transactions with one, and true if there is one to all.
    #[cfg(test)]
    pub fn subscriber_counts(&self) -> (usize, usize, bool) {
        let subscribers = self.lock();
        (subscribers.count, subscribers.to_one.len(), subscribers.to_all.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        // No panic leaves it half-changed: no operation on it can panic.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn channel(behind: usize) -> Sender<Arc<RenderedEvent>> {
    Sender::new(behind)
}

impl Subscribers {
    fn concerns(&self, ordinal: u64) -> bool {
        self.to_all.is_some() || self.to_one.contains_key(&ordinal)
    }

    /// Drops the senders, which ends every stream.
    fn end_all(&mut self) {
        self.to_one.clear();
        self.to_all = None;
    }
}

impl Subscription {
    /// The events to come.
    pub fn receiver(&mut self) -> Option<&mut Receiver<Arc<RenderedEvent>>> {
        self.receiver.as_mut()
    }

    pub fn coordinator(&self) -> &Coordinator {
        &self.broadcaster.coordinator
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Dropped first, so that it is not counted below.
        self.receiver = None;
        let mut subscribers = self.broadcaster.lock();
        subscribers.count = subscribers.count.saturating_sub(1);
        match self.to {
            Some(ordinal) => {
                if subscribers.to_one.get(&ordinal).is_some_and(|to| to.receiver_count() == 0) {
                    subscribers.to_one.remove(&ordinal);
                }
            }
            None => {
                if subscribers.to_all.as_ref().is_some_and(|to| to.receiver_count() == 0) {
                    subscribers.to_all = None;
                }
            }
        }
    }
}
