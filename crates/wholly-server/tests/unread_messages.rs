//! A standard error that nobody reads: the server goes on, and counts what it could not say.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::Command;

use common::{Little, Said, Server, eventually, within};
use hyper::StatusCode;
use tempfile::tempdir;
use wholly::Operation;

const ORDER: &str = r#"{"name": "place order",
    "branches": [{"participant": "orders", "payload": 1}]}"#;

/// Each try of these is a message at the level debug.
const BROKEN: &str = r#"{"name": "in vain", "deadline_millis": 100,
    "branches": [{"participant": "broken", "payload": 1}]}"#;

#[tokio::test]
async fn a_standard_error_that_nobody_reads_stops_nothing() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("messages");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open, so that the server has a reader, who reads nothing yet.
    let reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let (orders, broken) = (Little::start().await, Little::start().await);
    for operation in Operation::TWO_PHASE {
        broken.says(operation.as_str(), Said::Broken);
    }
    let participants = [("orders", &orders), ("broken", &broken)];
    let server =
        Server::start_logging(directory.path(), &participants, "", Some("debug"), &pipe).await;
    for _ in 0..50 {
        let reply = server.submit(&[("prefer", "respond-async")], BROKEN).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    }
    let goes_on = async || {
        assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
        assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
    };
    eventually("messages are dropped", async || {
        goes_on().await;
        (dropped(&server).await > 0).then_some(())
    })
    .await;
    goes_on().await;
    // Who reads again is told.
    let reading = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(reader);
        let mut line = String::new();
        while !line.contains("log messages were dropped") {
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        lines
    });
    // The pipe stays open, and fills again.
    let _reader = within("it is said", reading).await.unwrap();
    let before = dropped(&server).await;
    eventually("messages are dropped again", async || {
        (dropped(&server).await > before).then_some(())
    })
    .await;
    let (code, _) = server.terminate().await;
    assert_eq!(code, Some(0));
}

async fn dropped(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.text;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("wholly_log_messages_dropped_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}
