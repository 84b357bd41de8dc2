//! One event stream: first the events in the log, then those to come, and the log again if the
//! client was too slow.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use wholly::{EventId, Feed, GetError, ParticipantName, Pattern, TransactionId};

use super::broadcaster::{RenderedEvent, Subscription};
use super::view;

/// The longest silence of a stream. Proxies take a longer silence for its end.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_BLOCK: Bytes = Bytes::from_static(b": \n\n");

/// The transactions that a stream shows.
pub enum Topic {
    /// One transaction: its stream ends with it.
    One(TransactionId),
    /// All transactions that pass this filter.
    All(Filter),
}

/// The events that a stream of all transactions shows: those that match every member that is set.
#[derive(Default)]
pub struct Filter {
    pub pattern: Option<Pattern>,
    pub name: Option<String>,
    pub participant: Option<ParticipantName>,
}

impl Filter {
    fn lets_through(&self, event: &RenderedEvent) -> bool {
        let Self { pattern, name, participant } = self;
        (pattern.is_none() || *pattern == event.pattern)
            && name
                .as_ref()
                .is_none_or(|name| event.name.as_ref().is_some_and(|own| own.as_str() == name))
            && participant
                .as_ref()
                .is_none_or(|name| event.participants.iter().flatten().any(|own| own == name))
    }
}

pub struct Listener {
    subscription: Subscription,
    topic: Topic,
    /// The last event that was sent or filtered out.
    last: Option<EventId>,
    /// Events from the log that are not sent yet.
    ready: std::vec::IntoIter<Arc<RenderedEvent>>,
    /// The block to send before those: some events were trimmed before they were read.
    trimmed: Option<Bytes>,
    /// The position up to which the log was read.
    read_up_to: EventId,
    /// The reader of the log, while the stream is behind.
    behind: Option<Box<Feed>>,
    keep_alive_at: Instant,
    ended: bool,
}

impl Listener {
    /// A stream of all transactions, from after `last` on.
    pub fn to_all(subscription: Subscription, filter: Filter, last: EventId) -> Self {
        let behind = Some(Box::new(subscription.coordinator().feed(Some(last))));
        Self { behind, ..Self::new(subscription, Topic::All(filter), Some(last), Vec::new()) }
    }

    /// A stream of one transaction, whose client has everything up to `last`; `history` is the rest
    /// that the log holds.
    pub fn to_one(
        subscription: Subscription,
        id: TransactionId,
        last: Option<EventId>,
        history: Vec<Arc<RenderedEvent>>,
    ) -> Self {
        Self::new(subscription, Topic::One(id), last, history)
    }

    fn new(
        subscription: Subscription,
        topic: Topic,
        last: Option<EventId>,
        ready: Vec<Arc<RenderedEvent>>,
    ) -> Self {
        let keep_alive_at = Instant::now() + KEEP_ALIVE;
        let ready = ready.into_iter();
        let (trimmed, read_up_to, behind) = (None, EventId::default(), None);
        Self {
            subscription,
            topic,
            last,
            ready,
            trimmed,
            read_up_to,
            behind,
            keep_alive_at,
            ended: false,
        }
    }

    /// The stream's blocks, after `opening`.
    pub fn into_stream(
        self,
        opening: Bytes,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold((Some(opening), self), async |(opening, mut listener)| {
            let block = match opening {
                Some(opening) => opening,
                None => listener.next().await?,
            };
            Some((Ok(block), (None, listener)))
        })
    }

    /// The next block; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            if let Some(trimmed) = self.trimmed.take() {
                self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                return Some(trimmed);
            }
            if let Some(event) = self.ready.next() {
                if let Some(block) = self.take(&event) {
                    self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                    return Some(block);
                }
                continue;
            }
            // An idle stream keeps no buffer.
            self.ready = Vec::new().into_iter();
            if self.behind.is_some() {
                // If this fails the client reconnects, and goes on after its last event.
                self.read_log().await.ok()?;
                continue;
            }
            let Ok(received) =
                timeout_at(self.keep_alive_at, self.subscription.receiver()?.recv()).await
            else {
                self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                return Some(self.keep_alive_block());
            };
            match received {
                Ok(event) => self.ready = vec![event].into_iter(),
                Err(RecvError::Lagged(_)) => self.fall_behind().await.ok()?,
                Err(RecvError::Closed) => return None,
            }
        }
        None
    }

    /// A block without an event. In a stream of all transactions it carries the position to
    /// reconnect from: the events since the last one were filtered out, and may be trimmed in time.
    fn keep_alive_block(&self) -> Bytes {
        match (&self.topic, self.last) {
            (Topic::All(_), Some(last)) => format!("id: {}\n\n", last.max(self.read_up_to)).into(),
            (Topic::All(_), None) | (Topic::One(_), _) => KEEP_ALIVE_BLOCK,
        }
    }

    /// The event's block, if it is to be sent and was not yet.
    fn take(&mut self, event: &RenderedEvent) -> Option<Bytes> {
        if self.last.is_some_and(|last| event.id <= last) {
            return None;
        }
        self.last = Some(event.id);
        let asked_for = match &self.topic {
            Topic::One(_) => {
                self.ended = event.settled;
                true
            }
            Topic::All(filter) => filter.lets_through(event),
        };
        asked_for.then(|| event.block.clone())
    }

    async fn fall_behind(&mut self) -> Result<(), GetError> {
        match &self.topic {
            Topic::One(id) => {
                let events = self.subscription.coordinator().events_of(*id).await?;
                self.ready = history(events, self.last).into_iter();
            }
            Topic::All(_) => {
                self.behind = Some(Box::new(self.subscription.coordinator().feed(self.last)));
            }
        }
        Ok(())
    }

    async fn read_log(&mut self) -> Result<(), GetError> {
        let Some(feed) = &mut self.behind else { return Ok(()) };
        let page = feed.read(|_| true).await?;
        self.trimmed = page.trimmed.map(view::trimmed);
        self.ready = history(page.events, self.last).into_iter();
        if !page.more {
            self.read_up_to = feed.position();
            self.behind = None;
        }
        Ok(())
    }
}

/// The events after the last one that the client has.
pub fn history(events: Vec<wholly::FeedEvent>, last: Option<EventId>) -> Vec<Arc<RenderedEvent>> {
    let after = |event: &wholly::FeedEvent| last.is_none_or(|last| event.id > last);
    events.into_iter().filter(after).map(|event| Arc::new(RenderedEvent::new(event))).collect()
}
