//! Feeds: how events travel from the service that published them to those that follow it.
//!
//! A feed is the publisher's outbox, with positions. Who publishes knows nothing of who follows: a
//! follower keeps its own place, as a [`Cursor`], in its own database.

mod client;
mod introspection;
pub(crate) mod local;
mod server;
mod signing;
pub(crate) mod tables;
pub(crate) mod tail;

use std::time::Duration;

pub use client::{HttpFeed, InvalidFeed};
pub use local::LocalFeed;
pub use server::{bearer, router};
#[cfg(feature = "conformance")]
pub(crate) use server::{page_header, problem};
pub use tables::Sequenced;

use crate::cursor::Cursor;
use crate::names::ServiceName;
use crate::wire::PositionedEvent;

/// The place from which a feed is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The earliest event that the feed still has.
    Earliest,
    /// The first event that is not there yet.
    Now,
    /// The event behind this one.
    After(Cursor),
}

/// A part of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// The events, in the order of their positions.
    pub events: Vec<PositionedEvent>,
    /// What is between them and is no event.
    pub set_aside: Vec<SetAside>,
    /// The place to go on from.
    pub cursor: Cursor,
    /// The position of the feed's last event.
    pub head: u64,
}

impl FeedPage {
    /// True if there is nothing in it.
    pub(crate) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.set_aside.is_empty()
    }

    /// True if there is no use in waiting for more: there is something in it, or the follower learns
    /// from it where the feed begins.
    pub(crate) fn ends_wait(&self, start: &StartFrom) -> bool {
        !self.is_empty() || !matches!(start, StartFrom::After(_))
    }
}

/// Something in a feed that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its place.
    pub position: u64,
    /// What there was, as far as it could be read.
    pub body: String,
    /// The reason why it is no event.
    pub why: String,
}

/// Why a feed does not go on from a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorRefusal {
    /// The cursor lies behind the last event.
    #[error(
        "the cursor is at position {position}, and the feed's last event is {head}: the publisher's \
         database was put back to an earlier state, and events may have been lost"
    )]
    Ahead {
        /// The cursor's position.
        position: u64,
        /// The last event's.
        head: u64,
    },
    /// Another event is at the cursor's position.
    #[error(
        "the event at position {position} is not the one that was read there: the publisher's \
         database was put back to an earlier state, and events may have been lost"
    )]
    Other {
        /// The cursor's position.
        position: u64,
    },
    /// Events behind the cursor were trimmed before they were read.
    #[error(
        "the cursor is at position {position}, and all up to {trimmed} was trimmed: the follower was \
         away for longer than the feed retains, and has missed events"
    )]
    Trimmed {
        /// The cursor's position.
        position: u64,
        /// The last position that was trimmed.
        trimmed: u64,
    },
    /// A feed elsewhere said so.
    #[error("{detail} ({kind})")]
    Said {
        /// The kind of its refusal.
        kind: String,
        /// What it said.
        detail: String,
    },
}

impl CursorRefusal {
    /// The reason, as the last part of a problem's type.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Ahead { .. } => "cursor-ahead",
            Self::Other { .. } => "cursor-other-event",
            Self::Trimmed { .. } => "cursor-trimmed",
            Self::Said { kind, .. } => kind,
        }
    }
}

/// Why a feed was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// It does not go on from this cursor: nothing is read until an operator sets another.
    #[error("{0}; set a cursor with `wholly events cursor`, and say why")]
    Refused(#[from] CursorRefusal),
    /// It is the feed of another service.
    #[error("this is the feed of {found}, and not of {expected}")]
    OtherSource {
        /// The service that was to be followed.
        expected: ServiceName,
        /// The service that answered.
        found: ServiceName,
    },
    /// It keeps events for longer than the follower's inbox remembers them.
    #[error(
        "the feed keeps events for {feed:?}, and the inbox remembers for {inbox:?}: an event that is \
         read again would be dealt with twice; let the inbox remember for longer"
    )]
    Retention {
        /// The feed's retention.
        feed: Duration,
        /// The inbox's.
        inbox: Duration,
    },
    /// It was not reached, or said something that is no page. It is asked again.
    #[error("the feed cannot be read: {0}")]
    Unreachable(String),
}

/// What is asked of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRequest {
    /// The place to start from.
    pub start: StartFrom,
    /// The most events.
    pub limit: u64,
    /// The time to wait for an event where there is none.
    pub wait: Duration,
}

impl StartFrom {
    /// The position behind which everything is asked for, as far as it is known.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::After(cursor) => cursor.position,
            Self::Earliest | Self::Now => 0,
        }
    }
}

impl FeedPage {
    /// The page without what it repeats of the time before `start`. One that ends before it is no
    /// answer to what was asked: who believed it would read for ever in a circle.
    pub(crate) fn without_repeats(mut self, start: &StartFrom) -> Result<Self, FeedError> {
        let before = start.position();
        if self.cursor.position < before {
            let ends = self.cursor.position;
            let why = format!(
                "its page ends at position {ends}, and was to begin without_repeats {before}"
            );
            return Err(FeedError::Unreachable(why));
        }
        self.events.retain(|placed| placed.position > before);
        self.set_aside.retain(|what| what.position > before);
        Ok(self)
    }
}

/// What a feed says of itself, with each page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedInfo {
    /// The service that publishes.
    pub source: ServiceName,
    /// The time for which an event is kept.
    pub retention: Duration,
}

/// A feed as a follower sees it: what a transport brings.
///
/// A transport gives the committed events of a publisher in the order of their positions, each at
/// least once, from the place that a follower asks for, or refuses the place. It may repeat, and
/// may be away; it never steps over an event.
pub trait Feed: Send + Sync + 'static {
    /// Reads the next part.
    ///
    /// # Errors
    /// See [`FeedError`].
    fn read(
        &self,
        ask: FeedRequest,
    ) -> impl Future<Output = Result<(FeedInfo, FeedPage), FeedError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, NewEvent};

    fn page(positions: &[u64], ends: u64) -> FeedPage {
        let event = || {
            let event = NewEvent::new("OrderCreated", "ORD001", &1).unwrap();
            event.from_source(ServiceName::new("orders").unwrap())
        };
        let placed = |position: &u64| PositionedEvent { position: *position, event: event() };
        let events = positions.iter().map(placed).collect();
        FeedPage { events, set_aside: Vec::new(), cursor: place(ends), head: 9 }
    }

    fn place(position: u64) -> Cursor {
        Cursor::at(position, EventId::new("e").unwrap())
    }

    #[test]
    fn what_a_page_repeats_is_left_out() {
        let read = page(&[3, 4, 5, 6], 6).without_repeats(&StartFrom::After(place(4))).unwrap();
        assert_eq!(read.events.iter().map(|one| one.position).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(page(&[1], 1).without_repeats(&StartFrom::Earliest).unwrap().events.len(), 1);
    }

    #[test]
    fn a_page_from_before_the_place_that_was_asked_for_is_no_answer() {
        let read = page(&[1, 2], 2).without_repeats(&StartFrom::After(place(4)));
        assert!(matches!(read, Err(FeedError::Unreachable(_))), "{read:?}");
    }
}
