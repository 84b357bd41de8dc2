//! One who listens: first what the log has, then what comes, and the log again where it was too
//! slow for that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use wholly::{EventId, Feed, GetError, ParticipantName, Pattern, TransactionId};

use super::hub::{Seat, Told};
use super::view;

/// How long a stream may be silent. Whatever is between here and its reader takes longer silence
/// for an end.
const SILENCE: Duration = Duration::from_secs(15);
const STILL_HERE: Bytes = Bytes::from_static(b": \n\n");

/// To what one listens.
pub enum Topic {
    /// One transaction: its stream ends with it.
    One(TransactionId),
    /// All of them that this lets through.
    All(Filter),
}

/// Which of all events are asked for.
#[derive(Default)]
pub struct Filter {
    pub pattern: Option<Pattern>,
    pub name: Option<String>,
    pub participant: Option<ParticipantName>,
}

impl Filter {
    fn lets_through(&self, told: &Told) -> bool {
        let Self { pattern, name, participant } = self;
        (pattern.is_none() || *pattern == told.pattern)
            && name
                .as_ref()
                .is_none_or(|name| told.name.as_ref().is_some_and(|told| told.as_str() == name))
            && participant
                .as_ref()
                .is_none_or(|name| told.participants.iter().flatten().any(|told| told == name))
    }
}

pub struct Listener {
    seat: Seat,
    topic: Topic,
    /// The last event that it has, or was not to have.
    last: Option<EventId>,
    /// What it has from the log and has not told yet.
    ready: std::vec::IntoIter<Arc<Told>>,
    /// The block that comes before those: some of what was to be read was trimmed.
    trimmed: Option<Bytes>,
    /// Up to here the log was read, events or not.
    read_up_to: EventId,
    /// Where it reads the log, while it is behind.
    behind: Option<Box<Feed>>,
    silent_until: Instant,
    ended: bool,
}

impl Listener {
    /// One that listens to all, from after `last` on.
    pub fn to_all(seat: Seat, filter: Filter, last: EventId) -> Self {
        let behind = Some(Box::new(seat.coordinator().feed(Some(last))));
        Self { behind, ..Self::new(seat, Topic::All(filter), Some(last), Vec::new()) }
    }

    /// One that listens to a transaction of which it has everything up to `last`; `history` is
    /// what the log has of it.
    pub fn to_one(
        seat: Seat,
        id: TransactionId,
        last: Option<EventId>,
        history: Vec<Arc<Told>>,
    ) -> Self {
        Self::new(seat, Topic::One(id), last, history)
    }

    fn new(seat: Seat, topic: Topic, last: Option<EventId>, ready: Vec<Arc<Told>>) -> Self {
        let silent_until = Instant::now() + SILENCE;
        let ready = ready.into_iter();
        let (trimmed, read_up_to, behind) = (None, EventId::default(), None);
        Self { seat, topic, last, ready, trimmed, read_up_to, behind, silent_until, ended: false }
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
                self.silent_until = Instant::now() + SILENCE;
                return Some(trimmed);
            }
            if let Some(told) = self.ready.next() {
                if let Some(block) = self.take(&told) {
                    self.silent_until = Instant::now() + SILENCE;
                    return Some(block);
                }
                continue;
            }
            // Its memory is not kept for what may never come.
            self.ready = Vec::new().into_iter();
            if self.behind.is_some() {
                // Who listens comes again, and goes on after what it has.
                self.read_log().await.ok()?;
                continue;
            }
            let Ok(received) = timeout_at(self.silent_until, self.seat.receiver()?.recv()).await
            else {
                self.silent_until = Instant::now() + SILENCE;
                return Some(self.still_here());
            };
            match received {
                Ok(told) => self.ready = vec![told].into_iter(),
                Err(RecvError::Lagged(_)) => self.falls_behind().await.ok()?,
                Err(RecvError::Closed) => return None,
            }
        }
        None
    }

    /// A block that tells nothing. To one who listens to all it gives the place to come again from: the
    /// events since the last one were not asked for, and may be trimmed in time.
    fn still_here(&self) -> Bytes {
        match (&self.topic, self.last) {
            (Topic::All(_), Some(last)) => format!("id: {}\n\n", last.max(self.read_up_to)).into(),
            (Topic::All(_), None) | (Topic::One(_), _) => STILL_HERE,
        }
    }

    /// The event's block, if it is to be told and was not yet.
    fn take(&mut self, told: &Told) -> Option<Bytes> {
        if self.last.is_some_and(|last| told.id <= last) {
            return None;
        }
        self.last = Some(told.id);
        let asked_for = match &self.topic {
            Topic::One(_) => {
                self.ended = told.settled;
                true
            }
            Topic::All(filter) => filter.lets_through(told),
        };
        asked_for.then(|| told.block.clone())
    }

    async fn falls_behind(&mut self) -> Result<(), GetError> {
        match &self.topic {
            Topic::One(id) => {
                let events = self.seat.coordinator().events_of(*id).await?;
                self.ready = history(events, self.last).into_iter();
            }
            Topic::All(_) => {
                self.behind = Some(Box::new(self.seat.coordinator().feed(self.last)));
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

/// The events that come after the last one that a listener has.
pub fn history(events: Vec<wholly::FeedEvent>, last: Option<EventId>) -> Vec<Arc<Told>> {
    let after = |event: &wholly::FeedEvent| last.is_none_or(|last| event.id > last);
    events.into_iter().filter(after).map(|event| Arc::new(Told::new(event))).collect()
}
