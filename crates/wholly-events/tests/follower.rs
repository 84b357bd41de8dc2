//! A service as a follower of feeds that do not behave.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{database, eventually};
use rusqlite::Connection;
use wholly_events::feed::{Ask, Feed, FeedError, FeedInfo, Page};
use wholly_events::wire::Placed;
use wholly_events::{Choreography, Cursor, Failure, Incoming, NewEvent, Reacted, ServiceName};

/// A feed that gives the same page so often, and is away from then on.
struct OnePage {
    page: Page,
    times: AtomicU32,
}

impl OnePage {
    fn new(events: u32, times: u32) -> Self {
        let source = ServiceName::new("orders").unwrap();
        let event = |n: u32| NewEvent::new("OrderCreated", n.to_string(), &n).unwrap();
        let placed =
            |n: u32| Placed { position: n.into(), event: event(n).from_source(source.clone()) };
        let events: Vec<_> = (1..=events).map(placed).collect();
        let last = events.last().unwrap();
        let (cursor, head) = (Cursor::at(last.position, last.event.id.clone()), last.position);
        let page = Page { events, set_aside: Vec::new(), cursor, head };
        Self { page, times: AtomicU32::new(times) }
    }
}

impl Feed for OnePage {
    async fn read(&self, _: Ask) -> Result<(FeedInfo, Page), FeedError> {
        let once_less = |times: u32| times.checked_sub(1);
        match self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, once_less) {
            Ok(_) => {
                let source = ServiceName::new("orders").unwrap();
                let retention = Duration::from_secs(60);
                Ok((FeedInfo { source, retention }, self.page.clone()))
            }
            Err(_) => Err(FeedError::Unreachable("it is away".to_owned())),
        }
    }
}

fn count(db: &Connection, order: Incoming<u32>) -> Result<Reacted<u32>, Failure> {
    db.execute("INSERT INTO seen VALUES (?1)", [order.data])?;
    Ok(Reacted::Done(order.data))
}

/// Follows this feed until its last event is dealt with, and the place in the feed is behind it.
async fn follow(feed: OnePage) {
    let events = i64::try_from(feed.page.head).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE seen (n INTEGER PRIMARY KEY)";
    let database = database(&directory.path().join("payment.db"), schema).await;
    let choreography = Choreography::new("payment")
        .on("OrderCreated", count)
        .emits("PaymentTaken")
        .follow("orders", feed);
    let _service = choreography.start(database.clone()).await.unwrap();
    let is_done = async || {
        let done = "SELECT (SELECT count(*) FROM seen), (SELECT max(position) FROM wholly_cursor)";
        let read = move |db: &rusqlite::Transaction<'_>| {
            Ok(db.query_row(done, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
            })?)
        };
        database.transaction(read).await.unwrap() == (events, Some(events))
    };
    eventually(is_done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_dealt_with_while_its_feed_is_away() {
    follow(OnePage::new(300, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_again_while_it_is_dealt_with_does_not_hold_up_the_place_in_the_feed() {
    follow(OnePage::new(1_000, 3)).await;
}
