//! A service as a follower: feeds that are away or repeat themselves, and an observer of its
//! reactions.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{database, eventually};
use rusqlite::Connection;
use serde_json::Value;
use wholly_events::feed::{Feed, FeedError, FeedInfo, FeedPage, FeedRequest};
use wholly_events::wire::PositionedEvent;
use wholly_events::{Choreography, Cursor, Failure, Incoming, NewEvent, Reacted, ServiceName};
use wholly_participant::sqlite::Database;

/// A feed that gives the same page so often, and is away from then on.
struct OnePage {
    page: FeedPage,
    times: AtomicU32,
}

impl OnePage {
    fn new<'a>(times: u32, events: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let event = |(kind, correlation)| NewEvent::new(kind, correlation, &Value::Null).unwrap();
        let placed = |(position, one)| {
            let event = event(one).from_source(ServiceName::new("order").unwrap());
            PositionedEvent { position, event }
        };
        let events: Vec<_> = (1..).zip(events).map(placed).collect();
        let last = events.last().unwrap();
        let (cursor, head) = (Cursor::at(last.position, last.event.id.clone()), last.position);
        let page = FeedPage { events, set_aside: Vec::new(), cursor, head };
        Self { page, times: AtomicU32::new(times) }
    }
}

impl Feed for OnePage {
    async fn read(&self, _: FeedRequest) -> Result<(FeedInfo, FeedPage), FeedError> {
        let once_less = |times: u32| times.checked_sub(1);
        match self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, once_less) {
            Ok(_) => {
                let source = ServiceName::new("order").unwrap();
                let retention = Duration::from_secs(60);
                Ok((FeedInfo { source, retention }, self.page.clone()))
            }
            Err(_) => Err(FeedError::Unreachable("it is away".to_owned())),
        }
    }
}

type Step = Result<Reacted<Value, Value>, Failure>;

fn react(db: &Connection, incoming: Incoming<Value>) -> Step {
    db.execute("INSERT INTO seen VALUES (?1)", [incoming.event.correlation.as_str()])?;
    Ok(match incoming.event.correlation.as_str() {
        "refused" => Reacted::Refused(Value::Null),
        "silent" => Reacted::Silent,
        _ => Reacted::Done(Value::Null),
    })
}

fn undo(_: &Connection, incoming: Incoming<Value>) -> Step {
    Ok(Reacted::Done(incoming.undone[0].1.clone().into()))
}

fn service(feed: OnePage) -> Choreography<Database> {
    Choreography::new("payment")
        .on("OrderCreated", react)
        .emits("PaymentTaken")
        .refuses("PaymentRefused")
        .on("OrderCancelled", undo)
        .undoes(react)
        .emits("PaymentRefunded")
        .follow("order", feed)
}

/// Follows this feed until its last event is dealt with, and the place in the feed is behind it.
async fn follow(events: u32, times: u32) {
    let orders = (1..=events).map(|n| ("OrderCreated", format!("ORD{n}")));
    let events = i64::from(events);
    let directory = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE seen (correlation TEXT PRIMARY KEY)";
    let database = database(&directory.path().join("payment.db"), schema).await;
    let choreography = service(OnePage::new(times, orders));
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
    follow(600, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_again_while_it_is_dealt_with_does_not_hold_up_the_place_in_the_feed() {
    follow(1_000, 3).await;
}

#[tokio::test]
async fn an_observer_is_told_of_each_end_and_of_what_was_emitted() {
    let cases = ["done", "refused", "silent"];
    let events = cases
        .into_iter()
        .flat_map(|one| [("OrderCreated", one.to_owned()), ("OrderCancelled", one.to_owned())]);
    let late = ["OrderCancelled", "OrderCreated"].map(|kind| (kind, "late".to_owned()));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let directory = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE seen (correlation TEXT)";
    let database = database(&directory.path().join("payment.db"), schema).await;
    let choreography = service(OnePage::new(1, events.chain(late))).observe(move |ended| {
        let emitted = ended.emitted.map(|event| format!("{} {}", event.kind(), event.data()));
        let emitted = emitted.unwrap_or_default();
        let of = ended.event.correlation.to_string();
        telling.lock().unwrap().push((of, format!("{} {emitted}", ended.outcome)));
    });
    let _service = choreography.start(database).await.unwrap();
    eventually(async || told.lock().unwrap().len() == 8).await;
    let told = told.lock().unwrap();
    let of = |case: &str| {
        told.iter().filter(|(of, _)| of == case).map(|(_, what)| what.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("done"), ["done PaymentTaken null", "done PaymentRefunded \"null\""]);
    assert_eq!(of("refused"), ["refused PaymentRefused null", "done PaymentRefunded null"]);
    // It took effect, so there is something to take back, but nothing that it had emitted.
    assert_eq!(of("silent"), ["done ", "done PaymentRefunded \"null\""]);
    assert_eq!(of("late"), ["done PaymentRefunded null", "suppressed "]);
}
