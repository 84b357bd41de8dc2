//! `wholly events`: the tables of a choreographed service in an operator's hands, by the real binary.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tokio::net::TcpListener;
use wholly_events::feed::{self, HttpFeed};
use wholly_events::{Choreography, Failure, Incoming, NewEvent, Reacted, Service};
use wholly_participant::sqlite::Database;

fn wholly(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholly")).args(arguments).output().unwrap()
}

/// The standard output of a command that is done.
fn done(arguments: &[&str]) -> String {
    let output = wholly(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the standard error of a command that is not done.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = wholly(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} should be refused");
    (output.status.code().unwrap(), errors)
}

fn tables(db: &Connection) -> Vec<(String, Option<String>)> {
    let sql = "SELECT name, sql FROM sqlite_master ORDER BY name";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made.db");
    done(&["events", "init", made.to_str().unwrap()]);
    // To make them again is no mistake.
    done(&["events", "init", made.to_str().unwrap()]);
    let printed = Connection::open_in_memory().unwrap();
    printed.execute_batch(&done(&["events", "schema", "sqlite"])).unwrap();
    assert_eq!(tables(&Connection::open(&made).unwrap()), tables(&printed));
    assert!(tables(&printed).iter().any(|(name, _)| name == "wholly_outbox"));
    assert!(done(&["events", "schema", "postgres"]).contains("wholly_outbox"));
}

/// Refuses what it is told to refuse, and fails for the rest.
fn pack(_: &Connection, order: Incoming<serde_json::Value>) -> Result<Reacted<(), ()>, Failure> {
    match order.data["fails"].as_bool() {
        Some(true) => Err("the printer is on fire".into()),
        _ => Ok(Reacted::Done(())),
    }
}

fn depot(order_feed: HttpFeed) -> Choreography<Database> {
    Choreography::new("depot")
        .on("OrderCreated", pack)
        .emits("OrderPacked")
        .refuses("OrderNotPacked")
        .follow("order", order_feed)
}

async fn serve(service: &Service<Database>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = feed::router(service.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}/feed")
}

async fn publish(database: &Database, service: &Service<Database>, correlation: &str, fails: bool) {
    let event = NewEvent::new("OrderCreated", correlation, &json!({ "fails": fails })).unwrap();
    let publish =
        move |db: &rusqlite::Transaction<'_>| Ok(wholly_events::rusqlite::publish(db, &event)?);
    database.transaction(publish).await.unwrap();
    service.wake();
}

async fn eventually<T>(mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < give_up, "it did not come to pass within a minute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn count(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_listed_tried_and_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (orders, path) = (directory.path().join("order.db"), directory.path().join("depot.db"));
    let database = Database::open(&orders).unwrap();
    let order = Choreography::new("order").begins("OrderCreated").start(database.clone()).await;
    let order = order.unwrap();
    let url = serve(&order).await;
    let depot = depot(HttpFeed::at(&url).unwrap());
    let declaration = directory.path().join("depot.json");
    let declared = serde_json::to_string(depot.declaration().unwrap()).unwrap();
    std::fs::write(&declaration, declared).unwrap();
    let depot = depot.start(Database::open(&path).unwrap()).await.unwrap();
    publish(&database, &order, "ORD1", true).await;
    publish(&database, &order, "ORD1", false).await;
    eventually(async || (depot.status().await.unwrap().parked.len() == 2).then_some(())).await;

    let file = path.to_str().unwrap();
    let listed = done(&["events", "parked", file]);
    assert!(listed.contains("failing") && listed.contains("waiting"), "{listed}");
    assert!(listed.contains("the printer is on fire"), "{listed}");
    let lines = done(&["events", "parked", file, "--json"]);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["correlation"], "ORD1");
    let number = first["number"].to_string();
    let tries = first["tries"].as_u64().unwrap();
    done(&["events", "retry", file, &number]);
    eventually(async || {
        let parked = depot.status().await.unwrap().parked;
        (parked[0].tries > tries).then_some(())
    })
    .await;

    let (code, error) = refused(&["events", "retry", file, "999"]);
    assert_eq!((code, error.contains("no event 999 is parked")), (2, true), "{error}");
    let (_, error) = refused(&["events", "drop", file, &number, "--reason", "r"]);
    assert!(error.contains("--silent"), "{error}");
    done(&[
        "events",
        "drop",
        file,
        &number,
        "--reason",
        "ticket 4711",
        "--refusal",
        "{\"id\": 1}",
        "--declaration",
        declaration.to_str().unwrap(),
    ]);
    eventually(async || depot.status().await.unwrap().parked.is_empty().then_some(())).await;
    let refusals = "SELECT count(*) FROM wholly_outbox WHERE type = 'OrderNotPacked'";
    let packed = "SELECT count(*) FROM wholly_outbox WHERE type = 'OrderPacked'";
    let dropped = "SELECT count(*) FROM wholly_inbox WHERE reason = 'ticket 4711'";
    assert_eq!([refusals, packed, dropped].map(|sql| count(&path, sql)), [1, 1, 1]);
    // As docs/operations.md prints it, of another event.
    publish(&database, &order, "ORD2", true).await;
    eventually(async || (depot.status().await.unwrap().parked.len() == 1).then_some(())).await;
    let waits = depot.status().await.unwrap().parked[0].number.to_string();
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    let section = page.split_once("## Look after a choreographed service").unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(block.lines().count(), 4);
    for line in block.lines() {
        let line = line.replace("inventory.db", file).replace(" 17", &format!(" {waits}"));
        let line = line.replacen("wholly", env!("CARGO_BIN_EXE_wholly"), 1);
        let ran = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    assert!(depot.status().await.unwrap().parked.is_empty());

    let (code, error) = refused(&["events", "drop", file, &number, "--reason", "r", "--silent"]);
    assert_eq!((code, error.contains("no event is parked")), (1, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_feed_refuses_is_set_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let (orders, path) = (directory.path().join("order.db"), directory.path().join("depot.db"));
    let database = Database::open(&orders).unwrap();
    let order = Choreography::new("order").begins("OrderCreated").start(database.clone()).await;
    let order = order.unwrap();
    let url = serve(&order).await;
    publish(&database, &order, "ORD1", false).await;
    let file = path.to_str().unwrap();
    done(&["events", "init", file]);
    assert_eq!(
        done(&["events", "cursor", file, "--feed", "order"]).trim(),
        "nothing of order was read yet"
    );
    let set = ["events", "cursor", file, "--feed", "order", "--to", "7.unknown", "--reason", "r"];
    assert_eq!(done(&set).trim(), "7.unknown");

    let depot = depot(HttpFeed::at(&url).unwrap());
    let depot = depot.start(Database::open(&path).unwrap()).await.unwrap();
    let error = eventually(async || depot.status().await.unwrap().feeds[0].error.clone()).await;
    assert!(error.contains("wholly events cursor"), "{error}");
    assert_eq!(count(&path, "SELECT count(*) FROM wholly_inbox"), 0);

    let set = ["events", "cursor", file, "--feed", "order", "--to", "earliest", "--reason", "r"];
    let (code, error) = refused(&set);
    assert_eq!((code, error.contains("--url")), (2, true), "{error}");
    done(&[&set[..], &["--url", &url]].concat());
    eventually(async || (count(&path, "SELECT count(*) FROM wholly_inbox") == 1).then_some(()))
        .await;
    let reasons = "SELECT count(*) FROM wholly_cursor WHERE reason = 'r'";
    assert_eq!(count(&path, reasons), 1);
}

#[test]
fn a_database_that_is_not_there_is_said() {
    let (code, error) = refused(&["events", "parked", "/nowhere/orders.db"]);
    assert_eq!((code, error.contains("/nowhere/orders.db")), (1, true), "{error}");
    let nobody = "postgres://nobody@127.0.0.1:1/nothing";
    let (code, error) = refused(&["events", "parked", nobody]);
    assert_eq!((code, error.contains("database failed")), (1, true), "{error}");
}
