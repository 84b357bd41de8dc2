//! The tables stay small, however many events there are.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use wholly_core::Timestamp;

use super::handle::{Reacted, output};
use super::job::{Job, Reply};
use super::plan::{Plan, ReactionIndex, Retry};
use super::react::Stamp;
use crate::declaration::{Declaration, Reaction};
use crate::event::{Event, NewEvent};
use crate::names::{EventId, EventType, ReactionName, ServiceName};
use crate::store::{Code, SqliteFile, SqliteHandler, Store};

/// The retention of the outbox, and of the inbox: what is older is trimmed.
const OUTBOX: Duration = Duration::from_secs(600);
const INBOX: Duration = Duration::from_secs(1_200);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn code() -> Arc<Code<SqliteHandler>> {
    let name = |text: &str| ReactionName::new(text).unwrap();
    let kind = |text: &str| EventType::new(text).unwrap();
    let reaction = |on: &str, emits: &str, undoes: &[&str]| Reaction {
        name: name(on),
        on: kind(on),
        emits: Some(kind(emits)),
        refuses: None,
        undoes: undoes.iter().map(|one| name(one)).collect(),
        calls: false,
        read_only: false,
    };
    let declaration = Declaration {
        service: ServiceName::new("inventory").unwrap(),
        begins: Vec::new(),
        reactions: vec![
            reaction("OrderCreated", "Reserved", &[]),
            reaction("OrderCancelled", "Released", &["OrderCreated"]),
        ],
        timeouts: Vec::new(),
        ends: Vec::new(),
        within: None,
    };
    let handler = || -> SqliteHandler {
        Box::new(|_, delivered, reaction| {
            output(Ok(Reacted::<_, ()>::Done(delivered.event.id.as_str())), reaction)
        })
    };
    let plan = Plan { declaration, retry: Retry::default() };
    Arc::new(Code { plan, handlers: vec![handler(), handler()] })
}

/// A day's events, evenly over it, each order created and cancelled; trimmed once a minute, as a
/// service does. Returns the most rows and the most bytes that there were.
async fn run(events: u64) -> (u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inventory.db");
    let peek = Connection::open(&path).unwrap();
    peek.pragma_update(None, "journal_mode", "wal").unwrap();
    let store = SqliteFile::open(&path).unwrap();
    store.forget_durability();
    let code = code();
    store.run(&code, Job::Open).await.unwrap();
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
        store.run(&code, Job::Receive(ReactionIndex(index), event, stamp)).await.unwrap();
        if trimmed_at.until(now) < Duration::from_secs(60) {
            continue;
        }
        trimmed_at = now;
        let before = |age: Duration| {
            Timestamp::from_millis(now.as_millis() - u64::try_from(age.as_millis()).unwrap())
        };
        while let Reply::Changed(true) =
            store.run(&code, Job::Trim(before(OUTBOX), before(INBOX))).await.unwrap()
        {}
        rows = rows.max(count(&peek));
        bytes = bytes.max(std::fs::metadata(&path).unwrap().len());
    }
    (rows, bytes)
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
    let events = 20_000;
    let (rows, _) = run(events).await;
    assert!(
        (1..=most_rows(events)).contains(&rows),
        "{rows} rows of at most {}",
        most_rows(events)
    );
}

/// Minutes long: `cargo test --release -p wholly-events -- --ignored a_days_million`.
#[tokio::test]
#[ignore = "it takes minutes"]
async fn a_days_million_events_leave_a_bounded_table() {
    let events = 1_000_000;
    let (rows, bytes) = run(events).await;
    println!("at most {rows} rows and {bytes} bytes");
    assert!(
        (1..=most_rows(events)).contains(&rows),
        "{rows} rows of at most {}",
        most_rows(events)
    );
    assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes");
}
