//! The configuration, read again by a server that runs.

use rustix::process::Signal;
use serde_json::json;

use super::common::{configure, eventually};
use super::*;

const REFUND: &str =
    r#"{"name": "refund", "branches": [{"participant": "payments", "payload": 1}]}"#;

#[tokio::test]
async fn participants_and_tokens_are_taken_up() {
    let guarded = Guarded::start(&three_tokens()).await;
    let submitted = async |token| guarded.send(token, "POST", "/v1/transactions", REFUND).await;
    submitted("submit").await.problem(422, "unknown-participant");

    let (payments, moved) = (Little::start().await, Little::start().await);
    let tokens = format!("{}{}", token("operate", "'operate'"), token("shop", "'submit'"));
    let both = [("orders", &moved), ("payments", &payments)];
    configure(guarded.directory.path(), &both, &tokens);
    let reply = guarded.send("operate", "POST", "/v1/reload", "").await;
    let expected = json!({"new_participants": ["payments"], "changed_participants": ["orders"],
        "needs_restart": []});
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    submitted("submit").await.problem(401, "unauthenticated");
    assert_eq!(submitted("shop").await.status, StatusCode::OK);
    assert_eq!(payments.asked_to("prepare").len(), 1);
    guarded.send("shop", "POST", "/v1/transactions", ORDER).await;
    assert_eq!((moved.asked_to("prepare").len(), guarded.orders.asked_to("prepare").len()), (1, 0));

    // Nothing more to do, and what stays is said.
    configure(
        guarded.directory.path(),
        &[("orders", &moved)],
        &format!("patience = '1s'\n{tokens}"),
    );
    let reply = guarded.send("operate", "POST", "/v1/reload", "").await;
    let expected = json!({"new_participants": [], "changed_participants": [],
        "needs_restart": ["participants.payments", "settings"]});
    assert_eq!(reply.json(), expected);
    assert_eq!(submitted("shop").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_is_told() {
    let guarded = Guarded::start(&three_tokens()).await;
    let payments = Little::start().await;
    let both = [("orders", &guarded.orders), ("payments", &payments)];
    configure(guarded.directory.path(), &both, "[limits]\nconections = 3");
    let reply = guarded.send("operate", "POST", "/v1/reload", "").await;
    let detail = reply.problem(422, "invalid-configuration");
    assert!(detail.contains("wholly.toml:6:1: ") && detail.contains("`connections`"), "{detail}");
    let reply = guarded.send("submit", "POST", "/v1/transactions", REFUND).await;
    reply.problem(422, "unknown-participant");
}

#[tokio::test]
async fn a_server_that_others_reach_is_never_opened() {
    let directory = tempdir().unwrap();
    let text = format!("listen = '0.0.0.0:0'\n{}", three_tokens());
    let server = Server::start_configured(directory.path(), &text).await;
    let config = directory.path().join("wholly.toml");
    // It would listen elsewhere after a restart, but listens there now.
    std::fs::write(config, "listen = '127.0.0.1:0'").unwrap();
    let operator = [("authorization", "Bearer operate"), ("content-type", "application/json")];
    let reply = server.send(Method::POST, "/v1/reload", &operator, "").await;
    assert!(reply.problem(422, "invalid-configuration").contains("add a token"));
    server.get("/v1/transactions").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_signal_has_it_read_again_and_is_in_the_audit() {
    let guarded = Guarded::start("").await;
    let payments = Little::start().await;
    let both = [("orders", &guarded.orders), ("payments", &payments)];
    configure(guarded.directory.path(), &both, "");
    guarded.server.signal(Signal::HUP);
    eventually("the participant is there", async || {
        let reply = guarded.server.submit(&[], REFUND).await;
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
    let audited = eventually("the audit says it", async || {
        let entries = guarded.server.get("/v1/audit").await.json()["entries"].clone();
        (entries[0]["outcome"] == "done").then_some(entries)
    });
    let audited = audited.await;
    assert_eq!((&audited[0]["who"], &audited[0]["what"]), (&json!("SIGHUP"), &json!("reload")));
    assert_eq!(audited[1]["outcome"], "asked");
}
