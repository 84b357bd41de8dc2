//! The log's disk is full, for real: the system refuses every write of the server's process until
//! it may write again. The signal that it sends with the refusal ends nothing.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fs::File;
use std::process::Command;

use common::{Little, Server, eventually, run};
use hyper::StatusCode;
use rustix::process::{Resource, Rlimit, prlimit};
use tempfile::tempdir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;

#[tokio::test]
async fn reads_go_on_the_rest_waits_and_it_goes_on_when_space_is_free() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    // Its messages go to a file on the same disk.
    let messages = directory.path().join("messages");
    let server = Server::start_logging(directory.path(), &participants, "", None, &messages).await;
    let before = server.submit(&[("idempotency-key", "before")], ORDER).await;
    assert_eq!(before.status, StatusCode::OK, "{before:?}");
    let id = before.json()["id"].as_str().unwrap().to_owned();
    // Reading makes durable what is known; from then on nothing need be written.
    let settled = server.get(&format!("/v1/transactions/{id}")).await.json();
    assert_eq!(settled["settled"], true, "{settled}");

    let files_may_have = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(server.pid()), Resource::Fsize, limit).unwrap();
    };
    files_may_have(Some(1));
    let during = [("idempotency-key", "during")];
    let refused = server.submit(&during, ORDER).await;
    refused.problem(503, "unavailable");
    assert_ne!(refused.header("retry-after"), "", "{refused:?}");
    // Again and again, also after it has tried to open the log anew.
    let ready = eventually("it says that it is not ready", async || {
        let ready = server.get("/readyz").await;
        (ready.status == StatusCode::SERVICE_UNAVAILABLE).then_some(ready)
    })
    .await;
    assert!(ready.text.contains("log-failed"), "{ready:?}");
    // It lives: to end it would not mend the disk.
    let health = server.get("/healthz").await;
    assert_eq!((health.status, health.text), (StatusCode::OK, ready.text));
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\nwholly_log_up 0\n"), "{metrics}");
    server.submit(&during, ORDER).await.problem(503, "unavailable");
    let read = server.get(&format!("/v1/transactions/{id}")).await;
    assert_eq!((read.status, read.json()), (StatusCode::OK, settled));

    files_may_have(None);
    let after = eventually("it goes on", async || {
        let reply = server.submit(&during, ORDER).await;
        (reply.status != StatusCode::SERVICE_UNAVAILABLE).then_some(reply)
    })
    .await;
    assert_eq!((after.status, &after.json()["state"]), (StatusCode::OK, &"committed".into()));
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\nwholly_log_up 1\n"), "{metrics}");
    let again = server.submit(&[("idempotency-key", "before")], ORDER).await;
    assert_eq!(again.json()["id"], id.as_str());
}

#[test]
fn a_backup_that_may_not_be_written_leaves_nothing() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (code, _, wrong) = run(&["log", "init", &path("wholly.db")]);
    assert_eq!(code, Some(0), "{wrong}");
    // Two blocks: far less than the copy needs.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 2; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_wholly")])
        .args(["backup", "--log", &path("wholly.db"), "--to", &path("copy.db")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}: {said}", output.status);
    assert!(said.contains("cannot be copied"), "{said}");
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| !name.starts_with("wholly.db")).count(), 0);
}

/// Neither a panic nor success, whatever it is that cannot be written.
#[test]
fn a_command_whose_answer_cannot_be_written_says_so() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (code, _, wrong) = run(&["log", "init", &path("wholly.db")]);
    assert_eq!(code, Some(0), "{wrong}");
    std::fs::write(path("wholly.toml"), "").unwrap();
    std::fs::write(path("order.json"), ORDER).unwrap();
    for words in [
        vec!["--help"],
        vec!["completions", "bash"],
        vec!["token"],
        vec!["events", "schema", "sqlite"],
        vec!["config", "check", &path("wholly.toml")],
        vec!["check", &path("order.json")],
        vec!["diagram", &path("order.json")],
        vec!["log", "verify", &path("wholly.db")],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
        let output = command.args(&words).stdout(File::create("/dev/full").unwrap()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("cannot write to the standard output"), "{words:?}: {said}");
        // A reader that goes away has read what it wanted.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{words:?}");
    }
}
