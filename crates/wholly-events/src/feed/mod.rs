//! Feeds: how events travel from the service that published them to those that follow it.
//!
//! A feed is the publisher's outbox with positions. A publisher does not know its followers: each
//! follower stores its own [`Cursor`] in its own database.

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

/// The start of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The earliest event that the feed still has.
    Earliest,
    /// The next event to be published.
    Now,
    /// The event after this cursor.
    After(Cursor),
}

/// A page of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// The events, in the order of their positions.
    pub events: Vec<PositionedEvent>,
    /// Entries of the page that are not valid events.
    pub set_aside: Vec<SetAside>,
    /// The cursor at which the next page begins.
    pub cursor: Cursor,
    /// The position of the feed's last event.
    pub head: u64,
}

impl FeedPage {
    /// True if the page has neither events nor invalid entries.
    pub(crate) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.set_aside.is_empty()
    }

    /// True if a waiting read returns this page at once: the page is not empty, or it tells the
    /// follower its first cursor.
    pub(crate) fn ends_wait(&self, start: &StartFrom) -> bool {
        !self.is_empty() || !matches!(start, StartFrom::After(_))
    }
}

/// An entry of a feed that is not a valid event. Followers store it and continue behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The entry's position.
    pub position: u64,
    /// The entry's text, as far as it could be read.
    pub body: String,
    /// The reason why the entry is not a valid event.
    pub why: String,
}

/// The reason why a feed refuses a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorRefusal {
    /// The cursor is ahead of the last event.
    #[error(
        "the cursor is at position {position}, but the feed ends at {head}: the publisher's database \
         was restored to an earlier state, and events may be lost"
    )]
    Ahead {
        /// The cursor's position.
        position: u64,
        /// The last event's position.
        head: u64,
    },
    /// Another event is at the cursor's position.
    #[error(
        "the event at position {position} is another one than was read before: the publisher's \
         database was restored to an earlier state, and events may be lost"
    )]
    Other {
        /// The cursor's position.
        position: u64,
    },
    /// Events after the cursor were trimmed before they were read.
    #[error(
        "the cursor is at position {position}, but events up to {trimmed} were trimmed: the follower \
         was away for longer than the feed's retention, and has missed events"
    )]
    Trimmed {
        /// The cursor's position.
        position: u64,
        /// The position of the last trimmed event.
        trimmed: u64,
    },
    /// A refusal by a remote feed.
    #[error("{detail} ({kind})")]
    Said {
        /// The kind of the refusal.
        kind: String,
        /// The remote feed's explanation.
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

/// The error of a read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The feed refuses the cursor. The follower stops until an operator sets another cursor.
    #[error("{0}; set another cursor with `wholly events cursor`")]
    Refused(#[from] CursorRefusal),
    /// The feed belongs to another service.
    #[error("this is the feed of {found}, not of {expected}; correct the feed's address")]
    OtherSource {
        /// The service that was to be followed.
        expected: ServiceName,
        /// The service that answered.
        found: ServiceName,
    },
    /// The feed keeps events for longer than the follower's inbox.
    #[error(
        "the feed keeps events for {feed:?}, but the inbox only for {inbox:?}: an event read again \
         would be handled twice; set a longer retention of the inbox"
    )]
    Retention {
        /// The feed's retention.
        feed: Duration,
        /// The inbox's.
        inbox: Duration,
    },
    /// The feed was not reached, or its answer is not a page. The read is repeated.
    #[error("the feed cannot be read: {0}")]
    Unreachable(String),
}

/// A read of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRequest {
    /// The start of the page.
    pub start: StartFrom,
    /// The largest number of events.
    pub limit: u64,
    /// The longest wait for an event if there is none yet.
    pub wait: Duration,
}

impl StartFrom {
    /// The position after which the read begins; 0 if it is not known.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::After(cursor) => cursor.position,
            Self::Earliest | Self::Now => 0,
        }
    }
}

impl FeedPage {
    /// Removes events up to `start`, which a transport may repeat. A page that ends before `start`
    /// is an error: reading on from its end would never terminate.
    pub(crate) fn without_repeats(mut self, start: &StartFrom) -> Result<Self, FeedError> {
        let before = start.position();
        if self.cursor.position < before {
            let ends = self.cursor.position;
            let why = format!("its page ends at position {ends}, but should begin after {before}");
            return Err(FeedError::Unreachable(why));
        }
        self.events.retain(|placed| placed.position > before);
        self.set_aside.retain(|what| what.position > before);
        Ok(self)
    }
}

/// A feed's description of itself, sent with each page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedInfo {
    /// The publisher.
    pub source: ServiceName,
    /// The retention of events.
    pub retention: Duration,
}

/// A feed from the follower's side, implemented by each transport.
///
/// A transport delivers the committed events of a publisher in the order of their positions, each
/// at least once, from the requested cursor on, or refuses the cursor. A transport may repeat
/// events and may be unreachable, but never skips an event.
pub trait Feed: Send + Sync + 'static {
    /// Reads a page.
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
    fn repeated_events_are_removed_from_a_page() {
        let read = page(&[3, 4, 5, 6], 6).without_repeats(&StartFrom::After(place(4))).unwrap();
        assert_eq!(read.events.iter().map(|one| one.position).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(page(&[1], 1).without_repeats(&StartFrom::Earliest).unwrap().events.len(), 1);
    }

    #[test]
    fn a_page_that_ends_before_the_requested_cursor_is_an_error() {
        let read = page(&[1, 2], 2).without_repeats(&StartFrom::After(place(4)));
        assert!(matches!(read, Err(FeedError::Unreachable(_))), "{read:?}");
    }
}
