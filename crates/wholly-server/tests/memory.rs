//! More is unsettled than there is memory for: the real server, under a limit of the system's.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use common::Server;
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The number of transactions, and the bytes of each.
const COUNT: usize = 10_000;
const BYTES: usize = 64 * 1_000;
/// Submissions at once.
const AT_ONCE: usize = 64;

const SAGA: &str = r#"{"name": "deliver", "version": 1, "deadline_millis": 72000000, "steps": [
    {"name": "send", "participant": "courier", "compensation": "recall",
     "payload": {"$from": "/input"}}]}"#;

/// The number of times that each transaction was asked to send.
#[derive(Clone, Default)]
struct Courier {
    sent: Arc<Mutex<HashMap<String, u32>>>,
}

impl Courier {
    async fn comes_to(&self, address: SocketAddr) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let send = async |State(courier): State<Self>, headers: HeaderMap| {
            let id = headers["wholly-transaction"].to_str().unwrap().to_owned();
            *courier.sent.lock().unwrap().entry(id).or_default() += 1;
            StatusCode::OK
        };
        let app = Router::new().route("/send", post(send)).with_state(self.clone());
        let app = app.route("/recall", post(StatusCode::OK));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
}

fn configure(directory: &Path, courier: SocketAddr, settings: &str) {
    std::fs::create_dir_all(directory.join("sagas")).unwrap();
    std::fs::write(directory.join("sagas/deliver.json"), SAGA).unwrap();
    let text = format!(
        "listen = '127.0.0.1:0'\n[settings]\nbackoff_cap = '2s'\n{settings}\n\
         [participants.courier]\nurl = 'http://{courier}'\n"
    );
    std::fs::write(directory.join("wholly.toml"), text).unwrap();
}

fn order(number: usize) -> String {
    let input = json!({"number": number, "goods": "x".repeat(BYTES)});
    json!({"pattern": "saga", "saga": {"name": "deliver"}, "input": input}).to_string()
}

async fn submit(server: &Server, number: usize) -> common::Reply {
    let key = number.to_string();
    let headers = [("prefer", "respond-async"), ("idempotency-key", key.as_str())];
    server.submit(&headers, &order(number)).await
}

/// The private memory of a process, in bytes.
fn data_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

async fn gauge(server: &Server, name: &str) -> f64 {
    let metrics = server.get("/metrics").await.text;
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.next().unwrap().parse().unwrap()
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_up_what_fits_and_all_of_it_settles_once() {
    let directory = TempDir::new().unwrap();
    let address = nobody();
    configure(directory.path(), address, "in_flight_limit_bytes = 4000000000");
    let server = Server::start_by(directory.path(), &[]).await;
    let ids: Vec<String> = stream::iter(0..COUNT)
        .map(|number| {
            let server = &server;
            async move {
                let reply = submit(server, number).await;
                assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
                reply.json()["id"].as_str().unwrap().to_owned()
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let taken = data_bytes(&server);
    let payloads = (COUNT * BYTES) as f64;
    assert!(gauge(&server, "wholly_in_flight_bytes").await > payloads, "they are counted");
    server.kill().await;

    // By the limit of the process, not by a setting.
    configure(directory.path(), address, "");
    let half = taken / 2;
    let messages = directory.path().join("messages");
    let server = Server::start_limited(directory.path(), half, &messages).await;
    let oldest = server.get(&format!("/v1/transactions/{}", ids[0])).await.json();
    assert_eq!((&oldest["unloaded"], &oldest["state"]), (&Value::Null, &json!("running")));
    let limit = gauge(&server, "wholly_in_flight_limit_bytes").await;
    assert!(limit < half as f64 / 4.0, "{limit} of {half}");
    assert!(gauge(&server, "wholly_in_flight_bytes").await <= limit);
    assert_eq!(gauge(&server, "wholly_transactions_in_flight").await, COUNT as f64);
    let unloaded = gauge(&server, "wholly_transactions_unloaded").await;
    assert!(unloaded > payloads / BYTES as f64 / 2.0, "{unloaded}");

    // The youngest is not loaded: it is shown, found by its key, and not begun again.
    let youngest = ids.last().unwrap();
    let shown = server.get(&format!("/v1/transactions/{youngest}")).await.json();
    assert_eq!((&shown["unloaded"], &shown["state"]), (&json!(true), &json!("running")));
    let again = submit(&server, COUNT - 1).await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::ACCEPTED, &json!(youngest)));
    // An operator's word reaches it.
    let (second, reason) = (&ids[COUNT - 2], r#"{"reason": "not wanted"}"#);
    let aborted = server.post(&format!("/v1/transactions/{second}/abort"), reason).await;
    assert!(aborted.status.is_success(), "{aborted:?}");
    let courier = Courier::default();
    courier.comes_to(address).await;
    let done = async {
        let mut turn = tokio::time::interval(Duration::from_millis(200));
        while gauge(&server, "wholly_transactions_in_flight").await > 0.0 {
            turn.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), done).await.expect("all of them settle");
    {
        let sent = courier.sent.lock().unwrap();
        let wrong = ids.iter().filter(|id| (sent.get(*id) == Some(&1)) == (*id == second)).count();
        assert_eq!(
            (wrong, sent.len()),
            (0, COUNT - 1),
            "each is sent once, but for the aborted one"
        );
    }
    assert_eq!(gauge(&server, "wholly_transactions_unloaded").await, 0.0);
    let listed: Value = server.get("/v1/transactions?settled=false&limit=1").await.json();
    assert!(listed["transactions"].as_array().unwrap().is_empty(), "{listed}");
    let messages = std::fs::read_to_string(messages).unwrap();
    assert!(messages.contains("wait for free memory"), "{messages}");
}
