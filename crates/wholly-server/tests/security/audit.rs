//! What is done by hand is in the audit, or is not done.

use serde_json::{Value, json};

use super::common::{Said, eventually};
use super::*;

async fn entries(guarded: &Guarded) -> Vec<Value> {
    let reply = guarded.send("operate", "GET", "/v1/audit", "").await;
    reply.json()["entries"].as_array().unwrap().clone()
}

/// A transaction that nobody has decided.
async fn undecided(guarded: &Guarded) -> String {
    guarded.orders.says("prepare", Said::Broken);
    let headers = [
        ("authorization", "Bearer submit"),
        ("content-type", "application/json"),
        ("prefer", "respond-async"),
    ];
    let reply = guarded.server.send(Method::POST, "/v1/transactions", &headers, ORDER);
    reply.await.header("location").to_owned()
}

#[tokio::test]
async fn an_action_is_written_down_with_who_when_what_why_and_how_it_ended() {
    let guarded = Guarded::start(&three_tokens()).await;
    let abort = format!("{}/abort", undecided(&guarded).await);
    let why = r#"{"reason": "the customer left"}"#;
    let reply = guarded.send("operate", "POST", &abort, why).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{reply:?}");
    let retry = format!("{NOBODY}/retry");
    guarded
        .send("operate", "POST", &retry, r#"{"reason": "again"}"#)
        .await
        .problem(409, "conflict");
    guarded.send("operate", "POST", "/v1/reload", "").await;

    let entries = entries(&guarded).await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!(entry["who"], "operate", "{entry}");
            assert!(entry["at"].as_u64() > Some(1_600_000_000_000), "{entry}");
            assert!(entry["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
            (&entry["what"], &entry["why"], &entry["outcome"], &entry["status"])
        })
        .collect();
    let (abort, retry) = (json!(format!("POST {abort}")), json!(format!("POST {retry}")));
    let reload = json!("POST /v1/reload");
    let (left, again, null) = (json!("the customer left"), json!("again"), json!(null));
    let (asked, done, failed) = (json!("asked"), json!("done"), json!("failed"));
    let expected = [
        (&reload, &null, &done, &json!(200)),
        (&reload, &null, &asked, &null),
        (&retry, &again, &failed, &json!(409)),
        (&retry, &again, &asked, &null),
        (&abort, &left, &done, &json!(204)),
        (&abort, &left, &asked, &null),
    ];
    assert_eq!(seen, expected);
    assert_eq!(entries[4]["action"], entries[5]["action"]);
    assert_ne!(entries[3]["action"], entries[5]["action"]);
}

#[tokio::test]
async fn a_refused_attempt_is_written_down() {
    let guarded = Guarded::start(&three_tokens()).await;
    let abort = format!("{NOBODY}/abort");
    guarded.send("guessed", "POST", &abort, WHY).await.problem(401, "unauthenticated");
    guarded.send("read", "POST", &abort, WHY).await.problem(403, "forbidden");
    eventually("both are in the audit", async || {
        let mut entries = entries(&guarded).await;
        entries.sort_by_key(|entry| entry["status"].as_u64());
        let seen: Vec<_> =
            entries.iter().map(|entry| (&entry["who"], &entry["status"], &entry["what"])).collect();
        let what = json!(format!("POST {abort}"));
        let expected = [(&json!(null), &json!(401), &what), (&json!("read"), &json!(403), &what)];
        let text = std::fs::read_to_string(guarded.directory.path().join("audit.jsonl")).unwrap();
        assert!(!text.contains("guessed"), "a token is in the audit: {text}");
        (seen == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let guarded = Guarded::start(&three_tokens()).await;
    let transaction = undecided(&guarded).await;
    let abort = format!("{transaction}/abort");
    let audit = guarded.directory.path().join("audit.jsonl");
    // What root may write, too: a file where a folder is.
    std::fs::remove_file(&audit).unwrap();
    std::fs::create_dir(&audit).unwrap();
    let reply = guarded.send("operate", "POST", &abort, WHY).await;
    reply.problem(503, "audit-failed");
    assert_eq!(reply.header("retry-after"), "1");
    guarded.send("operate", "GET", "/v1/audit", "").await.problem(503, "audit-failed");
    let state = guarded.send("read", "GET", &transaction, "").await.json()["state"].clone();
    assert_eq!(state, "init", "it was aborted all the same");
    // Submitting goes on.
    guarded.orders.says("prepare", Said::Done);
    let reply = guarded.send("submit", "POST", "/v1/transactions", ORDER).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    std::fs::remove_dir(&audit).unwrap();
    let done = guarded.send("operate", "POST", &abort, WHY).await;
    assert_ne!(done.status, StatusCode::SERVICE_UNAVAILABLE, "{done:?}");
    assert_eq!(entries(&guarded).await.len(), 2);
}

#[tokio::test]
async fn who_hangs_up_does_not_keep_the_outcome_from_the_audit() {
    let guarded = Guarded::start(&three_tokens()).await;
    let config = guarded.directory.path().join("wholly.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    // A reload takes as long as nobody writes into this.
    std::fs::remove_file(&config).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    let outcome = async |expected: &str| {
        eventually(expected, async || {
            (entries(&guarded).await.first()?["outcome"] == expected).then_some(())
        })
        .await;
    };
    tokio::select! {
        reply = guarded.send("operate", "POST", "/v1/reload", "") => panic!("{reply:?}"),
        () = outcome("asked") => {}
    }
    // On a thread that nobody waits for: it ends once the server reads.
    std::thread::spawn(move || std::fs::write(config, text));
    outcome("done").await;
}
