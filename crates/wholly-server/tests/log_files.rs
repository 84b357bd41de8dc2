//! The log's files in an operator's hands, and in others': moved, gone, put back, copied, damaged.
//! On the real binary, under load.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Little, Server, eventually, start_fails};
use hyper::StatusCode;
use tempfile::{TempDir, tempdir};

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;
const FILES: [&str; 4] = ["wholly.db", "wholly.db-wal", "wholly.db-shm", "wholly.db-side"];

async fn shop() -> (TempDir, Little, Little, Server) {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let server =
        Server::start(directory.path(), &[("orders", &orders), ("payments", &payments)]).await;
    (directory, orders, payments, server)
}

fn wholly(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholly")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Submits under this key, and returns the id and the state, where it was accepted.
async fn submit(server: &Server, key: &str) -> Option<(String, String)> {
    let reply = server.submit(&[("idempotency-key", key)], ORDER).await;
    let word = |name: &str| reply.json()[name].as_str().unwrap().to_owned();
    match reply.status {
        StatusCode::SERVICE_UNAVAILABLE => None,
        _ => Some((word("id"), word("state"))),
    }
}

/// Moves the log's files from one folder to the other.
fn move_files(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        fs::rename(from.join(name), to.join(name)).unwrap();
    }
}

async fn ready(server: &Server) -> Option<()> {
    (server.get("/readyz").await.status == StatusCode::OK).then_some(())
}

/// While clients submit, the files vanish and come back, or are replaced. What was told still holds,
/// and no key runs twice.
#[tokio::test]
async fn a_log_that_vanishes_under_load_is_no_new_log() {
    let (directory, orders, _payments, server) = shop().await;
    let home = directory.path();
    let away = home.join("away");
    fs::create_dir(&away).unwrap();
    let mut told = BTreeMap::new();
    for round in 0..3 {
        let asked = || orders.asked_to("prepare").len();
        let before = asked();
        let loading = async {
            let mut accepted = Vec::new();
            for nth in 0..40 {
                let key = format!("round {round}, {nth}");
                accepted.extend(submit(&server, &key).await.map(|known| (key, known)));
            }
            accepted
        };
        let vanishing = async {
            // In the midst of them.
            eventually("some are accepted", async || (asked() >= before + 10).then_some(())).await;
            match round {
                0 => move_files(home, &away, &FILES),
                1 => move_files(home, &away, &FILES[..1]),
                // Another file lies there meanwhile.
                _ => {
                    move_files(home, &away, &FILES[..1]);
                    fs::write(home.join("wholly.db"), "").unwrap();
                }
            }
        };
        let (accepted, ()) = tokio::join!(loading, vanishing);
        told.extend(accepted);
        // One that nobody submitted before finds out, if none of these did.
        assert_eq!(submit(&server, &format!("probe {round}")).await, None);
        let not_ready = eventually("it is not ready", async || {
            let reply = server.get("/readyz").await;
            (reply.status == StatusCode::SERVICE_UNAVAILABLE).then_some(reply)
        })
        .await;
        assert!(not_ready.text.contains("wholly.db"), "it says which file: {}", not_ready.text);
        match round {
            0 => move_files(&away, home, &FILES),
            1 => move_files(&away, home, &FILES[..1]),
            _ => {
                fs::remove_file(home.join("wholly.db")).unwrap();
                move_files(&away, home, &FILES[..1]);
            }
        }
        eventually("it goes on", async || ready(&server).await).await;
    }
    assert!(told.len() > 20, "{} were told", told.len());
    let before = orders.asked_to("prepare").len();
    for (key, (id, state)) in &told {
        let again = submit(&server, key).await.unwrap();
        assert_eq!((&again.0, &again.1), (id, state), "{key}");
    }
    assert_eq!(orders.asked_to("prepare").len(), before, "nothing is run twice");
    assert_eq!(server.terminate().await.0, Some(0));
}

#[tokio::test]
async fn a_log_that_is_not_there_is_made_only_where_that_is_wanted() {
    let (directory, orders, payments, server) = shop().await;
    assert!(submit(&server, "one").await.is_some());
    assert_eq!(server.terminate().await.0, Some(0));
    let (home, config) = (directory.path(), directory.path().join("wholly.toml"));
    let log = home.join("wholly.db");
    let kept = fs::read(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let (code, why) = start_fails(&["serve", "--config", text(&config)]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("is gone") && why.contains("wholly.db-side"), "{why}");
    assert!(!log.exists(), "nothing is made");
    // Put back with `cat`, it is another file.
    fs::write(&log, kept).unwrap();
    let (_, why) = start_fails(&["serve", "--config", text(&config)]).await;
    assert!(why.contains("moved to another disk") && why.contains("--moved"), "{why}");
    let server = Server::start_by(home, &["--moved"]).await;
    assert!(submit(&server, "one").await.is_some());
    assert_eq!(server.terminate().await.0, Some(0));

    // Nothing is there at all, as where a disk is not mounted.
    FILES.iter().for_each(|name| drop(fs::remove_file(home.join(name))));
    let mut without = fs::read_to_string(&config).unwrap();
    without.insert_str(0, "create_log = false\n");
    fs::write(&config, without).unwrap();
    let (code, why) = start_fails(&["serve", "--config", text(&config)]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("there is no log") && why.contains("wholly log init"), "{why}");
    let made = wholly(&["log", "init", text(&log)]);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(wholly(&["log", "init", text(&log)]).status.code(), Some(2), "only once");
    let server = Server::start_by(home, &[]).await;
    assert!(submit(&server, "one").await.is_some());
    drop((orders, payments));
}

/// An older copy, put back in the very file: it is told from the log, whatever is said of it.
#[tokio::test]
async fn an_older_copy_in_the_place_of_the_log_is_refused() {
    let (directory, _orders, _payments, server) = shop().await;
    let (home, config) = (directory.path(), directory.path().join("wholly.toml"));
    let (log, backup) = (home.join("wholly.db"), home.join("backup.db"));
    assert!(submit(&server, "one").await.is_some());
    let made = wholly(&["backup", "--log", text(&log), "--to", text(&backup)]);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(server.terminate().await.0, Some(0));
    let older = fs::read(&log).unwrap();
    let server = Server::start_by(home, &[]).await;
    assert!(submit(&server, "two").await.is_some());
    assert_eq!(server.terminate().await.0, Some(0));
    for copy in [older, fs::read(&backup).unwrap()] {
        fs::write(&log, copy).unwrap();
        for more in [&[][..], &["--moved"]] {
            let arguments = [&["serve", "--config", text(&config)][..], more].concat();
            let (code, why) = start_fails(&arguments).await;
            assert_eq!(code, Some(1), "{why}");
            assert!(why.contains("--restored") && !why.contains("--moved"), "{why}");
        }
    }
}

/// One byte of one payload, as a disk may lose it.
fn flip(log: &Path, of: &str) {
    let mut bytes = fs::read(log).unwrap();
    let at = bytes.windows(of.len()).position(|window| window == of.as_bytes()).unwrap();
    bytes[at + of.len() - 1] ^= 1;
    fs::write(log, bytes).unwrap();
}

#[tokio::test]
async fn damage_is_named_and_what_is_whole_is_saved() {
    let (directory, orders, payments, server) = shop().await;
    let (home, log) = (directory.path(), directory.path().join("wholly.db"));
    let order = |amount: u32| {
        format!(
            r#"{{"name": "place order", "branches": [
            {{"participant": "orders", "payload": {{"amount": {amount}}}}},
            {{"participant": "payments", "payload": {{"amount": {amount}}}}}]}}"#
        )
    };
    let mut ids = Vec::new();
    for amount in [1_200, 3_400, 5_600] {
        let reply = server.submit(&[], &order(amount)).await;
        ids.push(reply.json()["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        server.settled(&format!("/v1/transactions/{id}")).await;
    }
    let whole = wholly(&["log", "verify", text(&log)]);
    assert!(whole.status.success(), "beside a running server: {}", said(&whole));
    assert_eq!(server.terminate().await.0, Some(0));
    flip(&log, "3400");

    let damaged = wholly(&["log", "verify", text(&log)]);
    assert_eq!(damaged.status.code(), Some(1));
    let words = said(&damaged);
    assert!(words.contains("is not what was written"), "{words}");
    assert!(words.contains(&format!("in doubt   {}, and no other", ids[1])), "{words}");

    let server = Server::start_by(home, &[]).await;
    let read = server.get(&format!("/v1/transactions/{}", ids[1])).await.json();
    let why = read["quarantined"].as_str().unwrap_or_default();
    assert!(why.contains("is not what was written"), "{read}");
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.text.contains("is not what was written"), "{}", ready.text);
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\nwholly_log_damaged_total 1\n"), "{metrics}");
    let others = server.get(&format!("/v1/transactions/{}", ids[0])).await.json();
    assert_eq!(others["state"], "committed");
    let in_use = wholly(&["log", "salvage", text(&log), text(&home.join("saved.db"))]);
    assert!(said(&in_use).contains("is open in another coordinator"), "{}", said(&in_use));
    assert_eq!(server.terminate().await.0, Some(0));

    let saved: PathBuf = home.join("saved.db");
    let salvaged = wholly(&["log", "salvage", text(&log), text(&saved)]);
    assert!(salvaged.status.success(), "{}", said(&salvaged));
    assert!(said(&salvaged).contains("damaged    1 of them"), "{}", said(&salvaged));
    let config = home.join("wholly.toml");
    let (_, why) = start_fails(&["serve", "--config", text(&config), "--log", text(&saved)]).await;
    assert!(why.contains("marked as a copy"), "{why}");
    let server = Server::start_by(home, &["--log", text(&saved), "--restored"]).await;
    for id in [&ids[0], &ids[2]] {
        let saved = server.get(&format!("/v1/transactions/{id}")).await.json();
        assert_eq!((&saved["state"], &saved["settled"]), (&"committed".into(), &true.into()));
    }
    drop((orders, payments));
}
