//! A service as a follower of feeds that do not behave.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{database, eventually};
use rusqlite::Connection;
use wholly_events::feed::{Ask, Feed, FeedError, FeedInfo, Page};
use wholly_events::wire::Placed;
use wholly_events::{Choreography, Cursor, Failure, Incoming, NewEvent, Reacted, ServiceName};

/// A feed that gives one page, and is away from then on.
struct OnePage {
    events: u32,
    given: AtomicBool,
}

impl Feed for OnePage {
    async fn read(&self, _: Ask) -> Result<(FeedInfo, Page), FeedError> {
        if self.given.swap(true, Ordering::Relaxed) {
            return Err(FeedError::Unreachable("it is away".to_owned()));
        }
        let source = ServiceName::new("orders").unwrap();
        let event = |n: u32| NewEvent::new("OrderCreated", n.to_string(), &n).unwrap();
        let placed =
            |n: u32| Placed { position: n.into(), event: event(n).from_source(source.clone()) };
        let events: Vec<_> = (1..=self.events).map(placed).collect();
        let cursor = Cursor::at(self.events.into(), events.last().unwrap().event.id.clone());
        let page = Page { events, set_aside: Vec::new(), cursor, head: self.events.into() };
        Ok((FeedInfo { source, retention: Duration::from_secs(60) }, page))
    }
}

fn count(db: &Connection, order: Incoming<u32>) -> Result<Reacted<u32>, Failure> {
    db.execute("INSERT INTO seen VALUES (?1)", [order.data])?;
    Ok(Reacted::Done(order.data))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_dealt_with_while_its_feed_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE seen (n INTEGER PRIMARY KEY)";
    let database = database(&directory.path().join("payment.db"), schema).await;
    let feed = OnePage { events: 300, given: AtomicBool::new(false) };
    let choreography = Choreography::new("payment")
        .on("OrderCreated", count)
        .emits("PaymentTaken")
        .follow("orders", feed);
    let _service = choreography.start(database.clone()).await.unwrap();
    let seen = async || {
        let count = |db: &rusqlite::Transaction<'_>| {
            Ok(db.query_row("SELECT count(*) FROM seen", [], |row| row.get::<_, i64>(0))?)
        };
        database.transaction(count).await.unwrap() == 300
    };
    eventually(seen).await;
}
