//! The last answer of a participant, as an operator sees it: over HTTP, on the screen and in the log
//! messages.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Little, Said, Server, eventually};
use hyper::StatusCode;
use serde_json::json;
use tempfile::tempdir;

const ORDER: &str = r#"{"name": "order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;

#[tokio::test]
async fn the_last_answer_is_shown_of_a_branch_and_of_a_participant_and_said_once() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    payments.says("commit", Said::Broken);
    let messages = directory.path().join("messages");
    let participants = [("orders", &orders), ("payments", &payments)];
    let (directory, info) = (directory.path(), Some("info"));
    let server = Server::start_logging(directory, &participants, "", info, &messages).await;
    let reply = server.submit(&[("prefer", "respond-async")], ORDER).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    let id = reply.json()["id"].as_str().unwrap().to_owned();

    let branch = eventually("payments is asked to commit again", async || {
        let shown = server.get(&format!("/v1/transactions/{id}")).await.json();
        let branch = shown["branches"][1].clone();
        let tries = branch["attempts"]["tries"].as_u64().unwrap_or(0);
        (tries > 2 && branch["attempts"]["next_at"].is_u64()).then_some(branch)
    })
    .await;
    let attempts = &branch["attempts"];
    let last = &attempts["last_answer"];
    assert_eq!((&attempts["operation"], &last["operation"]), (&json!("commit"), &json!("commit")));
    assert_eq!((&last["answer"], &last["status"]), (&json!("unknown"), &json!(500)));
    let listed = server.get("/v1/participants").await.json();
    let of = |name: &str| {
        let mut all = listed["participants"].as_array().unwrap().iter();
        all.find(|participant| participant["name"] == name).unwrap().clone()
    };
    assert_eq!(of("payments")["last_answer"]["status"], 500);
    assert!(of("payments")["unanswered"].as_u64().unwrap() > 2, "{listed}");
    assert_eq!((&of("orders")["unanswered"], &of("orders")["next_at"]), (&json!(0), &json!(null)));

    let shown = server.wholly(&["get", &id]).await.stdout;
    assert!(shown.contains(" times to commit") && shown.contains("status 500"), "{shown}");
    let shown = server.wholly(&["participants"]).await.stdout;
    assert!(shown.contains("had no final answer") && shown.contains("status 500"), "{shown}");

    payments.says("commit", Said::Done);
    let settled = server.settled(&format!("/v1/transactions/{id}")).await;
    assert_eq!(settled["branches"][1]["attempts"], json!(null));
    let (_, _) = server.terminate().await;
    let messages = std::fs::read_to_string(messages).unwrap();
    let said = messages.lines().filter(|line| line.contains("the call is repeated in")).count();
    assert_eq!(said, 1, "once for one cause: {messages}");
}
