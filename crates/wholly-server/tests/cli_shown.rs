//! How the command line's answers look, and what it asks, with a server that says what it is told.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use common::{Told, wholly};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Minted in 2100, for what has not happened yet is 0 seconds old.
const ID: &str = "03bb2cc3d80070008000000000000001-0123456789abcdef";
const AT: u64 = 4_102_444_800_000;

/// A server with one answer to each path.
struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn says(answers: Vec<(&str, String)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let answers: Vec<_> =
            answers.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect();
        let record = Arc::clone(&asked);
        let app = Router::new().fallback(async move |request: Request| {
            let who = request.headers().get("authorization").map(|who| who.to_str().unwrap());
            let who = who.map_or(String::new(), |who| format!(" by {who}"));
            record.lock().unwrap().push(format!("{}{who}", request.uri()));
            let known = answers.iter().find(|(path, _)| path == request.uri().path());
            match known {
                Some((_, answer)) if answer.contains("\"type\"") => {
                    let status = serde_json::from_str::<Value>(answer).unwrap()["status"].clone();
                    let status = u16::try_from(status.as_u64().unwrap()).unwrap();
                    (StatusCode::from_u16(status).unwrap(), answer.clone()).into_response()
                }
                Some((_, answer)) => answer.clone().into_response(),
                None => (StatusCode::NOT_FOUND, "nothing here").into_response(),
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    async fn wholly(&self, arguments: &[&str]) -> Told {
        wholly(&self.url, arguments, "").await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn two_phase() -> Value {
    json!({
        "id": ID, "name": "place order", "key": "ORD001", "pattern": "two-phase",
        "state": "committed", "settled": false, "stuck": true, "deadline": AT + 30_000,
        "branches": [
            {"participant": "orders", "state": "committed", "payload": {"order_id": "ORD001"}},
            {"participant": "payments", "state": "prepared", "payload": {"amount": 1000},
             "stuck": "after 10 tries: http://payments:8082/commit answered 500"}],
        "history": [
            {"at": AT, "record": {"started": {"name": "place order", "deadline": 1, "branches": []}}},
            {"at": AT + 3, "record": {"vote": [0, "yes"]}},
            {"at": AT + 4, "record": {"lost": 1}},
            {"at": AT + 1_300, "record": {"vote": [1, "read-only"]}},
            {"at": AT + 1_300, "record": "committed"},
            {"at": AT + 1_301, "record": {"acknowledged": 0}},
            {"at": AT + 65_000, "record": {"heuristic": [1, "rolled back\u{1b}[2J by hand"]}},
            {"at": AT + 65_000, "record": {"stuck": [1, "after 10 tries: answered 500"]}},
            {"at": AT + 65_001, "record": {"new_in_2027": {"what": "ever"}}}],
    })
}

fn saga() -> Value {
    json!({
        "id": ID, "name": "create order", "version": 3, "pattern": "saga",
        "state": "compensated", "settled": true, "stuck": false,
        "reason": "charge was refused: no money", "deadline": AT + 30_000, "payloads_removed": true,
        "steps": [
            {"name": "reserve-inventory", "participant": "inventory", "state": "compensated"},
            {"name": "charge", "participant": "payment", "state": "failed", "pivot": true},
            {"name": "confirm", "participant": "order", "state": "pending"}],
        "history": [
            {"at": AT, "record": {"started": {}}},
            {"at": AT + 3, "record": {"completed": [0, {"secret": 1}]}},
            {"at": AT + 9, "record": {"refused": [1, "no money"]}},
            {"at": AT + 9, "record": {"turned_back": {"refused": {"step": "charge", "reason": "no money"}}}},
            {"at": AT + 12, "record": {"compensated": 0}},
            {"at": AT + 12, "record": "settled"}],
    })
}

fn path(rest: &str) -> String {
    format!("/v1/transactions{rest}")
}

#[tokio::test]
async fn a_stuck_transaction() {
    let one = path(&format!("/{ID}"));
    let fake = Fake::says(vec![(&one, two_phase().to_string())]).await;
    assert_snapshot!(fake.wholly(&["get", ID]).await.exits(4), @r#"
    transaction  03bb2cc3d80070008000000000000001-0123456789abcdef
    name         place order
    pattern      two-phase
    state        committed, stuck
    key          ORD001
    started      2100-01-01 00:00:00 UTC, 0s ago

    Branches
      orders    committed
      payments  prepared
                stuck: after 10 tries: http://payments:8082/commit answered 500

    History
      +0ms      started
      +3ms      vote orders: yes
      +4ms      lost payments
      +1.3s     vote payments: read-only
      +1.3s     committed
      +1.3s     acknowledged orders
      +1m 5s    heuristic payments: rolled back�[2J by hand
      +1m 5s    stuck payments: after 10 tries: answered 500
      +1m 5s    new in 2027 {"what":"ever"}
    "#);
    let colour = fake.wholly(&["get", ID, "--color", "always"]).await.exits(4);
    assert!(colour.contains("\x1b[1;31mcommitted, stuck\x1b[0m"), "{colour}");
    assert!(!colour.contains("\x1b[2J"), "a participant's word moves the cursor");
}

#[tokio::test]
async fn a_saga_that_was_taken_back() {
    let one = path(&format!("/{ID}"));
    let fake = Fake::says(vec![(&one, saga().to_string())]).await;
    assert_snapshot!(fake.wholly(&["get", ID]).await.exits(1), @r#"
    transaction  03bb2cc3d80070008000000000000001-0123456789abcdef
    name         create order, version 3
    pattern      saga
    state        compensated
    reason       charge was refused: no money
    started      2100-01-01 00:00:00 UTC, 0s ago
    took         12ms
    payloads     removed, as the server's retention says

    Steps
      reserve-inventory  compensated  inventory
      charge             failed       payment, the pivot
      confirm            pending      order

    History
      +0ms      started
      +3ms      completed reserve-inventory
      +9ms      refused charge: no money
      +9ms      turned back because charge was refused: no money
      +12ms     compensated reserve-inventory
      +12ms     settled
    "#);
    let json: Value =
        serde_json::from_str(&fake.wholly(&["get", ID, "--json"]).await.exits(1)).unwrap();
    assert_eq!(json, saga());
}

fn row(pattern: &str, state: &str, settled: bool, stuck: bool, name: &str) -> Value {
    json!({"id": ID, "name": name, "pattern": pattern, "state": state, "settled": settled,
        "stuck": stuck, "started": AT})
}

#[tokio::test]
async fn a_list() {
    let rows = [
        row("two-phase", "committed", true, false, "place order"),
        row("two-phase", "aborted", false, true, "place order"),
        row("two-phase", "committed", false, false, "place order"),
        row("saga", "compensated", true, false, "create order"),
        row("saga", "running", false, false, "create order"),
    ];
    let list = json!({"transactions": rows}).to_string();
    let fake = Fake::says(vec![(&path(""), list)]).await;
    assert_snapshot!(fake.wholly(&["list"]).await.exits(0), @r#"
    ID                                                 STATE                    AGE  NAME
    03bb2cc3d80070008000000000000001-0123456789abcdef  committed                 0s  place order
    03bb2cc3d80070008000000000000001-0123456789abcdef  aborted, stuck            0s  place order
    03bb2cc3d80070008000000000000001-0123456789abcdef  committed, unsettled      0s  place order
    03bb2cc3d80070008000000000000001-0123456789abcdef  compensated               0s  create order
    03bb2cc3d80070008000000000000001-0123456789abcdef  running                   0s  create order
    "#);
    assert_eq!(fake.asked(), [path("?limit=21")]);
    let lines = fake.wholly(&["list", "--json", "--limit", "2"]).await.exits(0);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, rows[..2]);
    assert_eq!(fake.asked(), [path("?limit=3")]);
}

#[tokio::test]
async fn a_list_is_filtered_by_the_server() {
    let fake = Fake::says(vec![(&path(""), r#"{"transactions":[]}"#.to_owned())]).await;
    for (arguments, query) in [
        (vec!["--state", "aborted"], "state=aborted&limit=21"),
        (
            vec!["--pattern", "saga", "--name", "create order"],
            "pattern=saga&name=create%20order&limit=21",
        ),
        (vec!["--participant", "payments", "--all"], "participant=payments&limit=500"),
        (vec!["--settled", "--stuck"], "settled=true&stuck=true&limit=21"),
        (vec!["--unsettled"], "settled=false&limit=21"),
        (
            vec!["--since", "2026-11-23", "--until", "2026-11-24T00:00:01Z"],
            "since=1795392000000&until=1795478401000&limit=21",
        ),
    ] {
        let told = fake.wholly(&[&["list"], &arguments[..]].concat()).await;
        assert_eq!(told.exits(0), "");
        assert_eq!(fake.asked(), [path(&format!("?{query}"))]);
    }
}

/// What the branch is called that a record names by its place.
fn branch(record: &Value) -> Option<&'static str> {
    let body = record.as_object()?.values().next()?;
    let place = body.get(0).unwrap_or(body).as_u64()?;
    Some(["orders", "payments"][usize::try_from(place).unwrap()])
}

/// The events of a transaction with two branches: its start, its votes and then these.
fn events(last: &[(&str, Value, &str, bool)]) -> String {
    let first = [
        ("started", json!({"started": {"branches": ["orders", "payments"]}}), "init", false),
        ("vote", json!({"vote": [0, "yes"]}), "init", false),
        ("vote", json!({"vote": [1, {"no": "no stock"}]}), "init", false),
    ];
    let event = |(nth, (event, record, state, settled)): (usize, &(&str, Value, &str, bool))| {
        let data = json!({"transaction": ID, "at": AT + nth as u64, "name": "place order",
            "pattern": "two-phase", "state": state, "settled": settled, "stuck": false,
            "branch": branch(record), "record": record});
        format!("id: {nth}\nevent: {event}\ndata: {data}\n\n")
    };
    first.iter().chain(last).enumerate().map(event).collect::<String>() + ": still here\n\n"
}

#[tokio::test]
async fn a_transaction_live() {
    let live = path(&format!("/{ID}/events"));
    let reason = json!({"aborted": {"refused": {"participant": "payments", "reason": "no stock"}}});
    let stream = events(&[
        ("aborted", reason, "aborted", false),
        ("acknowledged", json!({"acknowledged": 0}), "aborted", false),
        ("settled", json!("settled"), "aborted", true),
    ]);
    let fake = Fake::says(vec![(&live, stream)]).await;
    assert_snapshot!(fake.wholly(&["watch", ID]).await.exits(1), @r#"
    00:00:00.000  init          started
    00:00:00.001  init          vote orders: yes
    00:00:00.002  init          vote payments: no, no stock
    00:00:00.003  aborted       aborted because payments refused: no stock
    00:00:00.004  aborted       acknowledged orders
    00:00:00.005  aborted       settled
    "#);
    let lines = fake.wholly(&["watch", ID, "--json"]).await.exits(1);
    let seen: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[2]["record"], json!({"vote": [1, {"no": "no stock"}]}));
    assert_eq!((&seen[5]["event"], &seen[5]["id"]), (&json!("settled"), &json!("5")));
}

#[tokio::test]
async fn a_transaction_live_exits_as_it_ended() {
    let live = path(&format!("/{ID}/events"));
    let done = events(&[("settled", json!("settled"), "committed", true)]);
    let fake = Fake::says(vec![(&live, done)]).await;
    fake.wholly(&["watch", ID]).await.exits(0);
    let broken = Fake::says(vec![(&live, events(&[]))]).await;
    let told = broken.wholly(&["watch", ID, "--retry-for", "1ms"]).await;
    assert!(told.stderr.contains("ended before the transaction had settled"), "{told:?}");
    told.exits(5);
}

#[tokio::test]
async fn the_participants() {
    let answer = json!({"participants": [
        {"name": "orders", "url": "http://127.0.0.1:8081/wholly", "health": "up", "calls": 1_204_331,
         "errors": 3, "in_progress": 2, "waiting": 0, "in_flight": 14,
         "in_flight_limit": 15_000,
         "slots": {"total": 64, "reserved_for_second_phase": 16}, "last_error": {"at": AT, "why": "old"}},
        {"name": "payments", "url": "http://payments:8082", "health": "failing", "calls": 12,
         "errors": 12, "in_progress": 0, "waiting": 40, "in_flight": 15_000,
         "in_flight_limit": 15_000,
         "slots": {"total": 64, "reserved_for_second_phase": 16},
         "last_error": {"at": AT, "why": "connection refused"}},
        {"name": "stock", "health": "unknown"}]});
    let fake = Fake::says(vec![("/v1/participants", answer.to_string())]).await;
    assert_snapshot!(fake.wholly(&["participants"]).await.exits(0), @r#"
    NAME      HEALTH       CALLS   ERRORS     BUSY  WAITING      IN FLIGHT  URL
    orders    up         1204331        3     2/64        0       14/15000  http://127.0.0.1:8081/wholly
    payments  failing         12       12     0/64       40    15000/15000  http://payments:8082
      0s ago: connection refused
    stock     unknown          -        -        0        0              0
    "#);
}

#[tokio::test]
async fn a_token_comes_from_a_file_and_a_no_says_what_to_do() {
    let problem = |status: u16, kind: &str| {
        json!({"type": format!("/problems/{kind}"), "title": "t", "status": status,
            "detail": "the token is not known"})
        .to_string()
    };
    let list = path("");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "wholly_secret\n").unwrap();
    let arguments = ["list", "--token-file", file.to_str().unwrap()];
    for (status, kind, says) in [
        (401, "unauthenticated", "the token is not known; name a token with WHOLLY_TOKEN"),
        (403, "forbidden", "the token is not known\n"),
    ] {
        let fake = Fake::says(vec![(&list, problem(status, kind))]).await;
        fake.wholly(&arguments).await.fails(5, says);
        assert_eq!(fake.asked(), [format!("{list}?limit=21 by Bearer wholly_secret")]);
    }
    let other = Fake::says(Vec::new()).await;
    other.wholly(&["list"]).await.fails(5, "not as Wholly's server does");
}

#[tokio::test]
async fn shells_are_told_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = wholly("", &["completions", shell], "").await.exits(0);
        for word in ["submit", "resolve", "no-wait", "token-file", "compensated"] {
            assert!(script.contains(word), "{shell} is not told {word}");
        }
    }
}

#[tokio::test]
async fn every_command_shows_how_it_is_used() {
    for command in [
        "submit",
        "get",
        "list",
        "watch",
        "abort",
        "retry",
        "end",
        "resolve",
        "participants",
        "sagas",
        "define",
        "completions",
    ] {
        let help = wholly("", &[command, "--help"], "").await.exits(0);
        let example = format!("Examples:\n  wholly {command}");
        assert!(help.contains(&example), "{help}");
    }
}
