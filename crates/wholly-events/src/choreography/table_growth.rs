//! The tables stay small, however many events there are.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use wholly_core::Timestamp;

use super::handler::{Reacted, output};
use super::job::{JobOutput, StoreJob};
use super::plan::{ReactionIndex, RetryPolicy, ServicePlan};
use super::react::Stamp;
use crate::event::{Event, NewEvent};
use crate::names::{EventId, ServiceName};
use crate::store::{ServiceCode, SqliteFile, SqliteHandler, Store};

/// The retention of the outbox, and of the inbox: what is older is trimmed.
const OUTBOX: Duration = Duration::from_secs(600);
const INBOX: Duration = Duration::from_secs(1_200);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn code() -> Arc<ServiceCode<SqliteHandler>> {
    let declaration = r#"{"service": "inventory", "reactions": [
        {"name": "OrderCreated", "on": "OrderCreated", "emits": "Reserved"},
        {"name": "OrderCancelled", "on": "OrderCancelled", "emits": "Released",
            "undoes": ["OrderCreated"]}]}"#;
    let declaration = serde_json::from_str(declaration).unwrap();
    let handler = || -> SqliteHandler {
        Box::new(|_, delivered, reaction| {
            output(Ok(Reacted::<_, ()>::Done(delivered.event.id.as_str())), reaction)
        })
    };
    let plan = ServicePlan { declaration, retry: RetryPolicy::default() };
    Arc::new(ServiceCode { plan, handlers: vec![handler(), handler()] })
}

/// A day's events, evenly over it, each order created and cancelled; trimmed once a minute, as a
/// service does. Fails where there are ever too many rows; returns the most bytes that there were.
async fn run(events: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inventory.db");
    let peek = Connection::open(&path).unwrap();
    peek.pragma_update(None, "journal_mode", "wal").unwrap();
    let store = SqliteFile::open(&path).unwrap();
    store.forget_durability();
    let code = code();
    store.run(&code, StoreJob::Open).await.unwrap();
    let begin = Timestamp::from_millis(1_000_000_000_000);
    let (mut trimmed_at, mut rows, mut bytes) = (begin, 0, 0);
    for nth in 0..events {
        let now = begin + Duration::from_secs_f64(DAY.as_secs_f64() * nth as f64 / events as f64);
        let (index, on) = [(0, "OrderCreated"), (1, "OrderCancelled")][(nth % 2) as usize];
        let event = NewEvent::new(on, format!("ORD{}", nth / 2), &nth).unwrap();
        let source = ServiceName::new("order").unwrap();
        let id = EventId::new(format!("e{nth}")).unwrap();
        let event = Event { id, ..event.from_source(source) };
        let stamp = Stamp { now, random: u128::from(nth) };
        store.run(&code, StoreJob::Receive(ReactionIndex(index), event, stamp)).await.unwrap();
        if trimmed_at.until(now) < Duration::from_secs(60) {
            continue;
        }
        trimmed_at = now;
        let before = |age: Duration| {
            Timestamp::from_millis(now.as_millis() - u64::try_from(age.as_millis()).unwrap())
        };
        while let JobOutput::Changed(true) =
            store.run(&code, StoreJob::Trim(before(OUTBOX), before(INBOX))).await.unwrap()
        {}
        rows = rows.max(count(&peek));
        bytes = bytes.max(std::fs::metadata(&path).unwrap().len());
    }
    let most = most_rows(events);
    println!("{rows} rows of at most {most}, {bytes} bytes");
    assert!((1..=most).contains(&rows), "{rows} rows of at most {most}");
    bytes
}

fn count(db: &Connection) -> u64 {
    let sql = "SELECT (SELECT count(*) FROM wholly_outbox) + (SELECT count(*) FROM wholly_inbox)
        + (SELECT count(*) FROM wholly_effect) + (SELECT count(*) FROM wholly_parked)";
    let rows: i64 = db.query_row(sql, [], |row| row.get(0)).unwrap();
    u64::try_from(rows).unwrap()
}

/// The rows that fall into the retention, and the minute between two trimmings, of each table.
fn most_rows(events: u64) -> u64 {
    let kept = OUTBOX + 2 * INBOX + 3 * Duration::from_secs(60);
    (events as f64 * kept.as_secs_f64() / DAY.as_secs_f64()) as u64 + 100
}

#[tokio::test]
async fn twenty_thousand_events_of_a_day_leave_a_bounded_table() {
    run(20_000).await;
}

/// Minutes long: `cargo test --release -p wholly-events -- --ignored a_days_million`.
#[tokio::test]
#[ignore = "it takes minutes"]
async fn a_days_million_events_leave_a_bounded_table() {
    let bytes = run(1_000_000).await;
    assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes");
}
