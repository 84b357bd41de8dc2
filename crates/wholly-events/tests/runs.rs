//! A choreographed service as it runs: what it does while a feed is away, and what it tells.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use wholly_events::feed::{Ask, Feed, FeedError, FeedInfo, Page, Start};
use wholly_events::wire::Placed;
use wholly_events::{
    Choreography, Cursor, Event, Failure, Incoming, NewEvent, Reacted, ServiceName,
};
use wholly_participant::sqlite::Database;

/// A feed that gives these events at once, and is away from then on.
struct GoesAway(Vec<Event>);

impl GoesAway {
    fn with(events: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let order = ServiceName::new("order").unwrap();
        let event = |(kind, correlation)| NewEvent::new(kind, correlation, &Value::Null).unwrap();
        Self(events.into_iter().map(|one| event(one).from_source(order.clone())).collect())
    }
}

impl Feed for GoesAway {
    async fn read(&self, ask: Ask) -> Result<(FeedInfo, Page), FeedError> {
        let source = ServiceName::new("order").unwrap();
        if ask.start != Start::Earliest {
            return Err(FeedError::Unreachable("it is away".to_owned()));
        }
        let placed = |(position, event): (u64, &Event)| Placed { position, event: event.clone() };
        let events: Vec<_> = (1..).zip(&self.0).map(placed).collect();
        let head = events.len() as u64;
        let last = events.last().unwrap();
        let cursor = Cursor::at(last.position, last.event.id.clone());
        let retention = Duration::from_secs(60);
        Ok((FeedInfo { source, retention }, Page { events, set_aside: Vec::new(), cursor, head }))
    }
}

type Step = Result<Reacted<Value, Value>, Failure>;

fn react(_: &Connection, incoming: Incoming<Value>) -> Step {
    Ok(match incoming.event.correlation.as_str() {
        "refused" => Reacted::Refused(Value::Null),
        "silent" => Reacted::Silent,
        _ => Reacted::Done(Value::Null),
    })
}

fn undo(_: &Connection, incoming: Incoming<Value>) -> Step {
    Ok(Reacted::Done(incoming.undone[0].1.clone().into()))
}

fn service(feed: GoesAway) -> Choreography<Database> {
    Choreography::new("payment")
        .on("OrderCreated", react)
        .emits("PaymentTaken")
        .refuses("PaymentRefused")
        .on("OrderCancelled", undo)
        .undoes(react)
        .emits("PaymentRefunded")
        .follow("order", feed)
}

async fn within_10_seconds(mut is_so: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(tokio::time::Instant::now() < give_up, "it did not come to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn events_that_were_read_are_dealt_with_while_their_feed_is_away() {
    let events = (0..600).map(|n| ("OrderCreated", format!("ORD{n}")));
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("payment.db")).unwrap();
    let choreography =
        service(GoesAway::with(events)).observe(move |_| _ = count.fetch_add(1, Relaxed));
    let _service = choreography.start(database).await.unwrap();
    within_10_seconds(|| ended.load(Relaxed) == 600).await;
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
    let database = Database::open(directory.path().join("payment.db")).unwrap();
    let choreography = service(GoesAway::with(events.chain(late))).observe(move |ended| {
        let emitted = ended.emitted.map(|event| format!("{} {}", event.kind(), event.data()));
        let emitted = emitted.unwrap_or_default();
        let of = ended.event.correlation.to_string();
        telling.lock().unwrap().push((of, format!("{} {emitted}", ended.outcome)));
    });
    let _service = choreography.start(database).await.unwrap();
    within_10_seconds(|| told.lock().unwrap().len() == 8).await;
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
