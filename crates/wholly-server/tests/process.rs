//! The server as a process: bad starts, crashes, and its end.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;

use common::{Connection, Little, Reply, Said, Server, eventually, start_fails};
use hyper::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;

async fn shop() -> (TempDir, Little, Little, Server) {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let server = Server::start(directory.path(), &participants).await;
    (directory, orders, payments, server)
}

#[tokio::test]
async fn a_committed_transaction_commits_after_a_kill() {
    let (_directory, orders, payments, server) = shop().await;
    payments.says("commit", Said::Broken);
    let reply = server.submit(&[("prefer", "respond-async")], ORDER).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    eventually("the commit is out", async || {
        payments.asked(&id).contains(&"commit".to_owned()).then_some(())
    })
    .await;
    let server = server.kill_and_restart().await;
    payments.says("commit", Said::Done);
    let transaction = server.settled(reply.header("location")).await;
    assert_eq!(transaction["state"], "committed");
    for asked in [orders.asked(&id), payments.asked(&id)] {
        assert_eq!(asked[0], "prepare");
        assert!(asked[1..].iter().all(|operation| operation == "commit"), "{asked:?}");
    }
}

#[tokio::test]
async fn an_undecided_transaction_aborts_after_a_kill() {
    let (_directory, orders, payments, server) = shop().await;
    payments.says("prepare", Said::Broken);
    let key = [("idempotency-key", "ORD001"), ("prefer", "respond-async")];
    let reply = server.submit(&key, ORDER).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    eventually("the other has voted", async || {
        (!orders.asked(&id).is_empty() && !payments.asked(&id).is_empty()).then_some(())
    })
    .await;
    let server = server.kill_and_restart().await;
    payments.says("prepare", Said::Done);
    let transaction = server.settled(reply.header("location")).await;
    assert_eq!(transaction["state"], "aborted");
    assert_eq!(transaction["reason"], "the coordinator restarted before it had decided");
    for asked in [orders.asked(&id), payments.asked(&id)] {
        assert_eq!(asked.last().map(String::as_str), Some("abort"), "{asked:?}");
        assert!(!asked.contains(&"commit".to_owned()), "{asked:?}");
    }
    // The key still belongs to it.
    let again = server.submit(&key[..1], ORDER).await.json();
    assert_eq!(again["id"], id.as_str());
    assert_eq!(again["state"], "aborted");
}

#[tokio::test]
async fn what_is_in_flight_settles_before_the_server_ends() {
    let (_directory, _, payments, server) = shop().await;
    payments.says("commit", Said::Broken);
    let submitted = server.submit(&[], ORDER);
    let ending = async {
        let id = eventually("the commit is out", async || {
            payments.asked_to("commit").first().map(|(id, _)| id.clone())
        })
        .await;
        server.signal(Signal::INT);
        payments.says("commit", Said::Done);
        id
    };
    let (reply, id) = tokio::join!(submitted, ending);
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.json()["state"], "committed");
    assert_eq!(reply.json()["id"], id.as_str());
    assert_eq!(server.terminate().await, (Some(0), String::new()));
}

/// Submits on a connection, without waiting for the end.
async fn submits(connection: &mut Connection) -> Reply {
    connection.send(Method::POST, "/v1/transactions", ORDER).await
}

#[tokio::test]
async fn a_server_that_is_to_stop_takes_transactions_until_load_balancers_know() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    // It goes on until the second signal, and until what is in flight has settled.
    let settings = "[shutdown]\ngrace = '10m'\nsettle = '10m'";
    let server = Server::start_with(directory.path(), &participants, settings).await;
    let (mut kept, mut idle) = (server.connection().await, server.connection().await);
    for connection in [&mut kept, &mut idle] {
        let ready = connection.send(Method::GET, "/readyz", "").await;
        assert_eq!((ready.status, ready.json()), (StatusCode::OK, json!({"status": "ready"})));
    }

    server.signal(Signal::TERM);
    eventually("the server says that it stops", async || {
        let ready = server.get("/readyz").await;
        assert_eq!(ready.header("connection"), "", "it is not refused yet");
        (ready.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let stopping = json!({"status": "stopping"});
    for (path, status) in [("/readyz", 503), ("/healthz", 200)] {
        let told = kept.send(Method::GET, path, "").await;
        assert_eq!((told.status.as_u16(), told.json()), (status, stopping.clone()), "{path}");
    }
    // On a connection that is kept, and on a new one.
    payments.says("commit", Said::Broken);
    for connection in [&mut kept, &mut server.connection().await] {
        let taken = submits(connection).await;
        assert_eq!(taken.status, StatusCode::ACCEPTED, "{taken:?}");
        assert_eq!(taken.header("connection"), "", "{taken:?}");
    }
    let decided = async || (payments.asked_to("commit").len() >= 2).then_some(());
    eventually("both are decided", decided).await;

    server.signal(Signal::TERM);
    eventually("new ones are refused", async || {
        let refused = submits(&mut server.connection().await).await;
        (refused.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let refused = submits(&mut kept).await;
    refused.problem(503, "shutting-down");
    assert_eq!(refused.header("connection"), "close", "{refused:?}");
    kept.closed().await;
    // Reads go on, and close their connection, too.
    let read = idle.send(Method::GET, "/v1/transactions", "").await;
    assert_eq!((read.status, read.header("connection")), (StatusCode::OK, "close"), "{read:?}");
    idle.closed().await;
    payments.says("commit", Said::Done);
    assert_eq!(server.ended().await, (Some(0), String::new()));
}

#[tokio::test]
async fn the_grace_ends_by_itself() {
    let directory = tempdir().unwrap();
    let settings = "[shutdown]\ngrace = '1ms'";
    let server = Server::start_with(directory.path(), &[], settings).await;
    let mut kept = server.connection().await;
    assert_eq!(kept.send(Method::GET, "/readyz", "").await.status, StatusCode::OK);
    server.signal(Signal::TERM);
    kept.closed().await;
    assert_eq!(server.ended().await, (Some(0), String::new()));
}

#[tokio::test]
async fn who_waits_is_told_that_an_unsettled_transaction_goes_on() {
    let (directory, orders, payments, server) = shop().await;
    payments.says("commit", Said::Broken);
    let submitted = server.submit(&[], ORDER);
    let ending = async {
        eventually("the commit is out", async || payments.asked_to("commit").pop()).await;
        server.signal(Signal::INT);
    };
    let (reply, ()) = tokio::join!(submitted, ending);
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    assert_eq!(server.terminate().await, (Some(0), String::new()));
    payments.says("commit", Said::Done);
    let participants = [("orders", &orders), ("payments", &payments)];
    let server = Server::start(directory.path(), &participants).await;
    let transaction = server.settled(reply.header("location")).await;
    assert_eq!(transaction["state"], "committed");
}

#[tokio::test]
async fn what_is_stuck_or_has_no_answer_does_not_keep_the_server_and_is_there_again() {
    let directory = tempdir().unwrap();
    let (orders, broken, silent) =
        (Little::start().await, Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("broken", &broken), ("silent", &silent)];
    // A call without an answer is one call, however long the end takes.
    let settings = "stuck_after_tries = 3\ncall_timeout = '1h'";
    let server = Server::start_with(directory.path(), &participants, settings).await;
    broken.says("commit", Said::Broken);
    silent.says("commit", Said::Nothing);
    let submit = async |with: &str| {
        let order = ORDER.replace("payments", with);
        let reply = server.submit(&[("prefer", "respond-async")], &order).await;
        reply.header("location").to_owned()
    };
    let (stuck, unanswered) = (submit("broken").await, submit("silent").await);
    eventually("both wait for their other branch only", async || {
        let both = [stands(&server, &stuck).await, stands(&server, &unanswered).await];
        let waits = |it: &Value| it["branches"][0]["state"] == "committed";
        (both.iter().all(waits) && both[0]["stuck"] == true).then_some(())
    })
    .await;
    eventually("it is asked, and says nothing", async || silent.asked_to("commit").pop()).await;
    let before = [stands(&server, &stuck).await, stands(&server, &unanswered).await];
    for (it, stuck) in before.iter().zip([true, false]) {
        assert_eq!((&it["state"], &it["settled"]), (&"committed".into(), &false.into()));
        assert_eq!(it["stuck"], stuck);
    }
    assert_eq!(server.terminate().await, (Some(0), String::new()));

    let server = Server::start_with(directory.path(), &participants, settings).await;
    let after = [stands(&server, &stuck).await, stands(&server, &unanswered).await];
    assert_eq!(after, before);
    for silenced in [&broken, &silent] {
        silenced.says("commit", Said::Done);
    }
    for location in [stuck, unanswered] {
        assert_eq!(server.settled(&location).await["state"], "committed");
    }
}

/// A transaction as a client sees it, without its history.
async fn stands(server: &Server, location: &str) -> Value {
    let mut transaction = server.get(location).await.json();
    transaction.as_object_mut().unwrap().remove("history").unwrap();
    // A restart forgets how often somebody was asked.
    for branch in transaction["branches"].as_array_mut().unwrap() {
        branch.as_object_mut().unwrap().remove("attempts");
    }
    transaction
}

#[tokio::test]
async fn an_idle_server_ends_at_once_and_starts_again() {
    for signal in [Signal::TERM, Signal::INT] {
        let (directory, orders, payments, server) = shop().await;
        let id = server.submit(&[], ORDER).await.json()["id"].clone();
        server.signal(signal);
        assert_eq!(server.terminate().await, (Some(0), String::new()));
        let participants = [("orders", &orders), ("payments", &payments)];
        let server = Server::start(directory.path(), &participants).await;
        let listed = server.get("/v1/transactions").await.json();
        assert_eq!(listed["transactions"][0]["id"], id);
    }
}

/// Starts on this configuration, which must fail with one line that says this.
async fn refused(config: &Path, extra: &[&str], code: i32, says: &[&str]) {
    let arguments = [&["serve", "--config", config.to_str().unwrap()], extra].concat();
    let (exit, said) = start_fails(&arguments).await;
    assert_eq!(exit, Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("wholly: "), "{said}");
    for part in says {
        assert!(said.contains(part), "{said} does not say {part}");
    }
    for noise in ["Error {", "panicked", "Os {", "backtrace"] {
        assert!(!said.contains(noise), "{said}");
    }
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_its_place() {
    let directory = tempdir().unwrap();
    let config = directory.path().join("wholly.toml");
    let name = config.to_str().unwrap();
    refused(&config, &[], 2, &["there is no configuration", name, "--config"]).await;
    refused(directory.path(), &[], 2, &["cannot be read", "directory"]).await;

    std::fs::write(&config, "listen = '127.0.0.1:0'\nlgo = 'x'\n").unwrap();
    refused(&config, &[], 2, &[&format!("{name}:2:1: "), "no key `lgo` here", "`log`"]).await;
    std::fs::write(&config, "listen = '0.0.0.0:7400'\n").unwrap();
    refused(&config, &[], 2, &[&format!("{name}:1:10: "), "add a token"]).await;
    std::fs::write(&config, b"listen = '\xff'").unwrap();
    refused(&config, &[], 2, &["cannot be read", "UTF-8"]).await;
}

#[tokio::test]
async fn a_bad_command_line_is_refused() {
    let (exit, said) = start_fails(&["serve", "--listen", "localhost"]).await;
    assert_eq!(exit, Some(2));
    assert!(said.contains("write it like 127.0.0.1:7400"), "{said}");
    let (exit, said) = start_fails(&["srve"]).await;
    assert_eq!(exit, Some(2));
    assert!(said.contains("serve"), "{said}");
}

#[tokio::test]
async fn a_log_that_cannot_be_used_is_refused() {
    let directory = tempdir().unwrap();
    let config = directory.path().join("wholly.toml");
    std::fs::write(&config, "listen = '127.0.0.1:0'\nlog = 'a.db'\n").unwrap();
    let log = directory.path().join("a.db");
    let name = log.to_str().unwrap();

    std::fs::write(&log, "this is a letter, and not a log at all\n".repeat(100)).unwrap();
    refused(&config, &[], 1, &[name, "is no log of Wholly"]).await;
    let letter = std::fs::read_to_string(&log).unwrap();
    assert!(letter.starts_with("this is a letter"), "the file was harmed");

    let missing = directory.path().join("missing/a.db");
    let missing = missing.to_str().unwrap();
    refused(&config, &["--log", missing], 1, &[missing]).await;
    let itself = directory.path().to_str().unwrap();
    refused(&config, &["--log", itself], 1, &[itself]).await;
    let log = directory.path().join("b.db");
    let mut init = std::process::Command::new(env!("CARGO_BIN_EXE_wholly"));
    assert!(init.args(["log", "init"]).arg(&log).status().unwrap().success());
    let arguments = ["--log", log.to_str().unwrap(), "--audit", itself];
    refused(&config, &arguments, 1, &["the audit", itself, "cannot be written"]).await;
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_refused() {
    let (directory, _, _, server) = shop().await;
    assert_eq!(server.terminate().await.0, Some(0));
    let log = directory.path().join("wholly.db");
    let mut bytes = std::fs::read(&log).unwrap();
    // SQLite keeps its user_version, the log's format, here.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&log, bytes).unwrap();
    let config = directory.path().join("wholly.toml");
    refused(&config, &[], 1, &["wholly.db", "has format 99", "or a newer one"]).await;
}

#[tokio::test]
async fn a_log_or_a_port_in_use_is_refused() {
    let (directory, _, _, server) = shop().await;
    let config = directory.path().join("wholly.toml");
    refused(&config, &[], 1, &["wholly.db", "is open in another coordinator"]).await;
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let log = directory.path().join("other.db");
    let extra = ["--listen", &address, "--log", log.to_str().unwrap()];
    refused(&config, &extra, 1, &["cannot listen on", &address]).await;
    assert!(!log.exists(), "a start that failed left a log behind");
}
