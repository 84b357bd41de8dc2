//! Who listens, and the one task that tells them: it reads each batch once, renders each event
//! once, and hands it to those whom it concerns.
//!
//! A listener of one transaction costs nothing while others go on, and one that does not keep up
//! finds in the log what it missed: nothing is queued for it beyond a fixed number of events. The
//! task runs while somebody listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::broadcast::{Receiver, Sender};
use wholly::{
    Coordinator, EventId, Feed, FeedEvent, Name, ParticipantName, Pattern, TransactionId,
};

use super::view;
use crate::problem::{Kind, Problem};

/// How many events a listener of all transactions may be behind before it reads the log.
const BEHIND_ALL: usize = 1_024;
/// How many events a listener of one transaction may be behind before it reads the log.
const BEHIND_ONE: usize = 8;
/// The most who listen at once.
const LISTENERS_LIMIT: usize = 50_000;

/// An event, rendered.
pub struct Told {
    pub id: EventId,
    pub settled: bool,
    pub pattern: Option<Pattern>,
    pub name: Option<Name>,
    pub participants: Arc<[Option<ParticipantName>]>,
    pub block: Bytes,
}

impl Told {
    pub fn new(event: FeedEvent) -> Self {
        let block = view::block(&event);
        let FeedEvent { id, settled, pattern, name, participants, .. } = event;
        Self { id, settled, pattern, name, participants, block }
    }
}

/// Everyone who listens to a coordinator.
#[derive(Clone)]
pub struct Hub {
    coordinator: Coordinator,
    listening: Arc<Mutex<Listening>>,
}

#[derive(Default)]
struct Listening {
    /// By the transaction's ordinal.
    to_one: HashMap<u64, Sender<Arc<Told>>>,
    to_all: Option<Sender<Arc<Told>>>,
    listeners: usize,
    /// Whether the task runs.
    running: bool,
    /// The server stops, and nobody listens any more.
    closed: bool,
}

/// A place among those who listen; it is left when this is dropped.
pub struct Seat {
    hub: Hub,
    /// The ordinal of the transaction, or none for all of them.
    to: Option<u64>,
    receiver: Option<Receiver<Arc<Told>>>,
}

impl Hub {
    pub fn new(coordinator: Coordinator) -> Self {
        Self { coordinator, listening: Arc::default() }
    }

    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Ends every stream, now, and lets nobody listen any more.
    pub fn close(&self) {
        let mut listening = self.lock();
        listening.closed = true;
        listening.end_all();
    }

    /// From now on what becomes durable of one transaction, or of all, comes to the seat. What is
    /// durable already is in the log.
    pub fn listen(&self, to: Option<TransactionId>) -> Result<Seat, Problem> {
        let to = to.map(TransactionId::ordinal);
        let mut listening = self.lock();
        if listening.closed {
            return Err(Problem::new(Kind::SHUTTING_DOWN, "the server is shutting down"));
        }
        if listening.listeners >= LISTENERS_LIMIT {
            let detail = format!("{LISTENERS_LIMIT} listen already, which is the limit");
            return Err(Problem::new(Kind::TOO_MANY_LISTENERS, detail));
        }
        listening.listeners += 1;
        if !listening.running {
            listening.running = true;
            // Begun before the seat is given, so that nothing falls between what this tells and
            // what its listener finds in the log.
            tokio::spawn(self.clone().tell(self.coordinator.feed(None)));
        }
        let receiver = match to {
            Some(ordinal) => listening.to_one.entry(ordinal).or_insert_with(|| channel(BEHIND_ONE)),
            None => listening.to_all.get_or_insert_with(|| channel(BEHIND_ALL)),
        }
        .subscribe();
        Ok(Seat { hub: self.clone(), to, receiver: Some(receiver) })
    }

    async fn tell(self, mut feed: Feed) {
        loop {
            let goes_on = feed.more().await.is_ok();
            {
                let mut listening = self.lock();
                if listening.listeners == 0 || !goes_on {
                    listening.running = false;
                    listening.end_all();
                    return;
                }
            }
            let hub = self.clone();
            match feed.read(move |ordinal| hub.lock().concerns(ordinal)).await {
                Ok(page) => {
                    if page.trimmed.is_some() {
                        // Who comes again is told what is missing.
                        self.lock().end_all();
                    }
                    self.hand_out(page.events);
                }
                Err(error) => {
                    tracing::warn!("the events cannot be read, and their streams end: {error}");
                    let mut listening = self.lock();
                    listening.running = false;
                    listening.end_all();
                    return;
                }
            }
        }
    }

    fn hand_out(&self, events: Vec<FeedEvent>) {
        for event in events {
            let ordinal = event.transaction.ordinal();
            let told = Arc::new(Told::new(event));
            let mut listening = self.lock();
            if let Some(to_all) = &listening.to_all {
                // It fails where the last one has just gone.
                let _ = to_all.send(Arc::clone(&told));
            }
            let ends = told.settled;
            if let Some(to_one) = listening.to_one.get(&ordinal) {
                let _ = to_one.send(told);
            }
            if ends {
                listening.to_one.remove(&ordinal);
            }
        }
    }

    /// How many listen, to how many transactions, and whether to all.
    #[cfg(test)]
    pub fn who_listens(&self) -> (usize, usize, bool) {
        let listening = self.lock();
        (listening.listeners, listening.to_one.len(), listening.to_all.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Listening> {
        // It is never left half-changed by a panic: no operation on it can panic.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn channel(behind: usize) -> Sender<Arc<Told>> {
    Sender::new(behind)
}

impl Listening {
    fn concerns(&self, ordinal: u64) -> bool {
        self.to_all.is_some() || self.to_one.contains_key(&ordinal)
    }

    /// Who listens finds its sender gone, and its stream ends.
    fn end_all(&mut self) {
        self.to_one.clear();
        self.to_all = None;
    }
}

impl Seat {
    /// What comes next.
    pub fn receiver(&mut self) -> Option<&mut Receiver<Arc<Told>>> {
        self.receiver.as_mut()
    }

    pub fn coordinator(&self) -> &Coordinator {
        &self.hub.coordinator
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // First, so that it is not counted below.
        self.receiver = None;
        let mut listening = self.hub.lock();
        listening.listeners = listening.listeners.saturating_sub(1);
        match self.to {
            Some(ordinal) => {
                if listening.to_one.get(&ordinal).is_some_and(|to| to.receiver_count() == 0) {
                    listening.to_one.remove(&ordinal);
                }
            }
            None => {
                if listening.to_all.as_ref().is_some_and(|to| to.receiver_count() == 0) {
                    listening.to_all = None;
                }
            }
        }
    }
}
