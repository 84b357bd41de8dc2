//! A log's life beyond appending: backup, restore, retention, and who asks what was decided.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;

use common::{Little, Said, Server, eventually, run, start_fails};
use hyper::StatusCode;
use tempfile::tempdir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": "SECRET"}, {"participant": "payments", "payload": 2}]}"#;
const WHY: &str = r#"{"reason": "the original is lost"}"#;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn id_of(reply: &common::Reply) -> String {
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_backup_in_the_midst_of_traffic_is_restored_and_sends_nothing_until_a_person_says_so() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let original = Server::start(directory.path(), &participants).await;
    let settled = id_of(&original.submit(&[], ORDER).await);

    // One is undecided, one is committed and not acknowledged, and others come and go.
    let asynchronous = [("prefer", "respond-async")];
    payments.says("commit", Said::Broken);
    let committed = id_of(&original.submit(&asynchronous, ORDER).await);
    eventually("the commit is out", async || {
        payments.asked(&committed).contains(&"commit".to_owned()).then_some(())
    })
    .await;
    payments.says("prepare", Said::Broken);
    let undecided = id_of(&original.submit(&asynchronous, ORDER).await);
    eventually("the other has voted", async || {
        (!orders.asked(&undecided).is_empty() && !payments.asked(&undecided).is_empty())
            .then_some(())
    })
    .await;
    let (log, copy) = (directory.path().join("wholly.db"), directory.path().join("copy.db"));
    let traffic = async {
        for _ in 0..20 {
            original.submit(&asynchronous, ORDER).await;
        }
    };
    let arguments = ["backup", "--log", text(&log), "--to", text(&copy)].map(str::to_owned);
    let backup = tokio::task::spawn_blocking(move || run(&arguments.each_ref().map(|a| &**a)));
    let ((), backup) = tokio::join!(traffic, backup);
    assert_eq!(backup.unwrap(), (Some(0), String::new(), String::new()));
    // The original goes on: it commits what the copy has undecided.
    payments.says("prepare", Said::Done);
    payments.says("commit", Said::Done);
    let path = format!("/v1/transactions/{undecided}");
    assert_eq!(original.settled(&path).await["state"], "committed");
    assert_eq!(original.terminate().await.0, Some(0));

    let (again, said) = {
        let arguments = ["backup", "--log", text(&log), "--to", text(&copy)];
        let (code, _, said) = run(&arguments);
        (code, said)
    };
    assert_eq!(again, Some(1));
    assert!(said.contains("exists already"), "{said}");
    let config = directory.path().join("wholly.toml");
    let config = ["serve", "--config", text(&config), "--log", text(&copy)];
    let (code, said) = start_fails(&config).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("marked as a copy") && said.contains("--restored"), "{said}");

    let calls = || [&orders, &payments].map(|who| (who.asked(&undecided), who.asked(&committed)));
    let before = calls();
    let restored = Server::start_by(directory.path(), &["--log", text(&copy), "--restored"]).await;
    let new = restored.submit(&[], ORDER).await;
    assert_eq!((new.status, &new.json()["state"]), (StatusCode::OK, &"committed".into()));
    for (id, state) in [(&undecided, "init"), (&committed, "committed")] {
        let transaction = restored.get(&format!("/v1/transactions/{id}")).await.json();
        assert_eq!((&transaction["state"], &transaction["stuck"]), (&state.into(), &true.into()));
        let why = transaction["quarantined"].as_str().unwrap();
        assert!(why.contains("restored copy"), "{why}");
    }
    assert_eq!(restored.get(&format!("/v1/transactions/{settled}")).await.json()["settled"], true);
    assert_eq!(calls(), before, "nothing is sent for what the backup had in doubt");
    outcome(&restored, &committed, "committed").await;
    outcome(&restored, &undecided, "undecided").await;

    // A restart without the flag holds it still.
    assert_eq!(restored.terminate().await.0, Some(0));
    let restored = Server::start_by(directory.path(), &["--log", text(&copy)]).await;
    assert_eq!(calls(), before, "nothing is sent after a restart");
    let path = format!("/v1/transactions/{committed}");
    let released = restored.post(&format!("{path}/retry"), WHY).await;
    assert_eq!(released.status, StatusCode::NO_CONTENT, "{released:?}");
    let transaction = restored.settled(&path).await;
    assert_eq!(transaction["state"], "committed");
    let history = transaction["history"].to_string();
    assert!(history.contains("released") && history.contains("is lost"), "{history}");
    assert_eq!(payments.asked(&committed).last().unwrap(), "commit");
    let [orders_before, payments_before] = before.map(|(of_undecided, _)| of_undecided);
    assert_eq!(orders.asked(&undecided), orders_before, "and nothing for the other");
    assert_eq!(payments.asked(&undecided), payments_before, "and nothing for the other");
    // What the operator saw committed is resolved so, without a call.
    for branch in ["orders", "payments"] {
        let path = format!("/v1/transactions/{undecided}/branches/{branch}/resolve");
        let word = r#"{"as": "committed", "reason": "seen there"}"#;
        assert_eq!(restored.post(&path, word).await.status, StatusCode::NO_CONTENT);
    }
    outcome(&restored, &undecided, "committed").await;
    assert_eq!(orders.asked(&undecided), orders_before);
}

async fn outcome(server: &Server, id: &str, is: &str) {
    let reply = server.get(&format!("/v1/outcome/{id}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.json(), serde_json::json!({"transaction": id, "outcome": is}));
}

#[tokio::test]
async fn who_is_in_doubt_is_told_what_is_durable() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let server = Server::start(directory.path(), &participants).await;
    let committed = id_of(&server.submit(&[], ORDER).await);
    outcome(&server, &committed, "committed").await;
    payments.says("prepare", Said::Refused);
    let aborted = id_of(&server.submit(&[], ORDER).await);
    outcome(&server, &aborted, "aborted").await;
    // The same log, the same moment, and another random part: it was never durable.
    let (uuid, log) = committed.split_once('-').unwrap();
    let unknown = format!("{}{}-{log}", &uuid[..20], "0".repeat(12));
    outcome(&server, &unknown, "aborted").await;
    let future = format!("ffff{}-{log}", &uuid[4..]);
    let foreign = format!("{uuid}-{}", "0".repeat(16));
    for (id, says) in [(&future, "does not exist"), (&foreign, "another log")] {
        let reply = server.get(&format!("/v1/outcome/{id}")).await;
        let said = reply.problem(404, "no-such-transaction");
        assert!(said.contains(says), "{said}");
    }
    server.get("/v1/outcome/x").await.problem(400, "invalid-id");
}

#[tokio::test]
async fn payloads_and_then_transactions_are_removed_while_the_server_runs() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let keep = |what: &str| format!("[retention]\n{what}\n");
    let payloads = keep("payloads = '1ms'");
    let server = Server::start_with(directory.path(), &participants, &payloads).await;
    let id = id_of(&server.submit(&[("idempotency-key", "k")], ORDER).await);
    let path = format!("/v1/transactions/{id}");
    eventually("the payloads are removed", async || {
        let transaction = server.get(&path).await.json();
        (transaction["payloads_removed"] == true).then_some(())
    })
    .await;
    let transaction = server.get(&path).await;
    assert!(!transaction.text.contains("SECRET"), "{transaction:?}");
    assert_eq!(transaction.json()["state"], "committed");
    eventually("no file of the log holds them", async || {
        let holds = |name: &str| {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            bytes.windows(6).any(|window| window == b"SECRET")
        };
        (!holds("wholly.db") && !holds("wholly.db-wal")).then_some(())
    })
    .await;
    assert_eq!(id_of(&server.submit(&[("idempotency-key", "k")], ORDER).await), id);
    assert_eq!(server.terminate().await.0, Some(0));

    let history = keep("history = '1ms'");
    let server = Server::start_with(directory.path(), &participants, &history).await;
    eventually("it is trimmed", async || {
        (server.get(&path).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    let asked = server.get(&format!("/v1/outcome/{id}")).await;
    asked.problem(410, "trimmed");
    assert_ne!(id_of(&server.submit(&[("idempotency-key", "k")], ORDER).await), id);
}

#[tokio::test]
async fn a_retention_that_makes_no_sense_is_refused_with_its_place() {
    let directory = tempdir().unwrap();
    let config = directory.path().join("wholly.toml");
    std::fs::write(&config, "[retention]\nhistory = '7d'\npayloads = '30d'\n").unwrap();
    let (code, said) = start_fails(&["serve", "--config", text(&config)]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("wholly.toml:3:12: ") && said.contains("longer"), "{said}");
}

#[test]
fn a_backup_of_nothing_is_refused() {
    let directory = tempdir().unwrap();
    let (log, to) = (directory.path().join("none.db"), directory.path().join("to.db"));
    let (code, _, said) = run(&["backup", "--log", text(&log), "--to", text(&to)]);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no log"), "{said}");
    assert!(!to.exists() && !log.exists());
}
