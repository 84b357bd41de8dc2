//! What an operator sees of the real server: metrics, participants, log messages, alerts.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Little, Said, Server, eventually};
use hyper::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::tempdir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": "marked-payload"},
    {"participant": "payments", "payload": {"marked-member": "marked-payload"}}]}"#;

/// What no message and no metric may hold.
const MARKS: [&str; 3] = ["marked-payload", "marked-member", "marked-key"];

#[track_caller]
fn assert_unmarked(text: &str) {
    for mark in MARKS {
        let at = text.lines().find(|line| line.contains(mark));
        assert_eq!(at, None, "this shows {mark}");
    }
}

/// The value of a metric, by its name and labels as they are written.
#[track_caller]
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("there is no {series} in\n{metrics}"));
    line.parse().unwrap()
}

#[tokio::test]
async fn the_metrics_tell_what_happened_by_pattern_participant_outcome_and_route() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let server = Server::start(directory.path(), &participants).await;
    let id = server.submit(&[], ORDER).await.json()["id"].as_str().unwrap().to_owned();
    payments.says("prepare", Said::Refused);
    server.submit(&[], ORDER).await;
    server.get(&format!("/v1/transactions/{id}")).await;
    server.get("/nowhere/at/all").await;
    server.send(Method::from_bytes(b"MADE-UP").unwrap(), "/healthz", &[], "").await;

    // As Prometheus asks.
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    let reply = server.send(Method::GET, "/metrics", &[("accept", accept)], "").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"), "{reply:?}");
    let metrics = reply.text;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let older = server.send(Method::GET, "/metrics", &[("accept", "text/plain")], "").await;
    assert!(older.header("content-type").starts_with("text/plain; version=0.0.4"), "{older:?}");
    assert_eq!(value(&older.text, "wholly_transactions_begun_total{pattern=\"two-phase\"}"), 2.0);
    assert!(older.text.contains("\n# TYPE wholly_transactions_begun_total counter\n"), "{older:?}");
    assert!(!older.text.contains("# EOF") && !older.text.contains("# UNIT"), "{older:?}");
    for (series, expected) in [
        (r#"wholly_transactions_begun_total{pattern="two-phase"}"#, 2.0),
        (r#"wholly_transactions_begun_total{pattern="saga"}"#, 0.0),
        (r#"wholly_transactions_ended_total{pattern="two-phase",outcome="committed"}"#, 1.0),
        (r#"wholly_transactions_ended_total{pattern="two-phase",outcome="aborted"}"#, 1.0),
        (r#"wholly_transaction_seconds_count{pattern="two-phase",outcome="aborted"}"#, 1.0),
        ("wholly_transactions_in_flight", 0.0),
        ("wholly_transactions_stuck", 0.0),
        ("wholly_oldest_undecided_seconds", 0.0),
        ("wholly_oldest_unsettled_seconds", 0.0),
        ("wholly_log_up", 1.0),
        ("wholly_log_failures_total", 0.0),
        ("wholly_commands_waiting", 0.0),
        (r#"wholly_calls_waiting{participant="payments"}"#, 0.0),
        (r#"wholly_calls_in_progress{participant="payments"}"#, 0.0),
        (r#"wholly_call_slots{participant="payments"}"#, 256.0),
        (r#"wholly_participant_in_flight{participant="payments"}"#, 0.0),
        (r#"wholly_participant_in_flight_limit{participant="payments"}"#, 100_000.0),
        (r#"wholly_participant_up{participant="payments"}"#, 1.0),
        (
            r#"wholly_call_seconds_count{participant="payments",operation="prepare",answer="refused"}"#,
            1.0,
        ),
        (
            r#"wholly_call_seconds_bucket{le="+Inf",participant="payments",operation="commit",answer="done"}"#,
            1.0,
        ),
        (
            r#"wholly_http_request_seconds_count{method="POST",route="/v1/transactions",status="200"}"#,
            2.0,
        ),
        (
            r#"wholly_http_request_seconds_count{method="GET",route="/v1/transactions/{id}",status="200"}"#,
            1.0,
        ),
        (r#"wholly_http_request_seconds_count{method="GET",route="other",status="404"}"#, 1.0),
        (r#"wholly_http_request_seconds_count{method="other",route="/healthz",status="405"}"#, 1.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series} in\n{metrics}");
    }
    for series in [
        "wholly_log_syncs_total",
        "wholly_log_written_bytes_total",
        "wholly_log_append_seconds_count",
        "wholly_log_batch_entries_count",
        "wholly_loop_lag_seconds_count",
    ] {
        assert!(value(&metrics, series) > 0.0, "{series} in\n{metrics}");
    }
    for text in [id.as_str(), "nowhere", "MADE-UP", "place order", "# EOF\n#"] {
        assert!(!metrics.contains(text), "{text} in\n{metrics}");
    }
    assert_unmarked(&metrics);
}

#[tokio::test]
async fn the_participants_are_shown_as_they_answered() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let server = Server::start(directory.path(), &participants).await;
    let shown = async || server.get("/v1/participants").await.json()["participants"].clone();
    let slots = json!({"total": 256, "reserved_for_second_phase": 64});
    let share = 100_000;
    let untouched = |name: &str, little: &Little| {
        json!({
            "name": name, "url": little.url(), "health": "unknown", "calls": 0, "errors": 0,
            "in_progress": 0, "waiting": 0, "in_flight": 0, "in_flight_limit": share, "slots": slots,
            "unanswered": 0
        })
    };
    assert_eq!(
        shown().await,
        json!([untouched("orders", &orders), untouched("payments", &payments)])
    );

    payments.says("commit", Said::Broken);
    server.submit(&[("prefer", "respond-async")], ORDER).await;
    let failing = eventually("a commit fails", async || {
        let payments = shown().await[1].clone();
        (payments["health"] == "failing").then_some(payments)
    })
    .await;
    assert!(failing["errors"].as_u64() > Some(0), "{failing}");
    assert_eq!((&failing["in_flight"], &failing["in_flight_limit"]), (&json!(1), &json!(share)));
    let metrics = server.get("/metrics").await.text;
    let owes = r#"wholly_participant_in_flight{participant="payments"} 1"#;
    assert!(metrics.contains(owes), "{metrics}");
    assert!(failing["last_error"]["at"].is_u64(), "{failing}");
    assert!(failing["last_error"]["why"].as_str().unwrap().contains("500"), "{failing}");
    assert_eq!(shown().await[0]["health"], "up");
    payments.says("commit", Said::Done);
    eventually("it is up again", async || (shown().await[1]["health"] == "up").then_some(())).await;
    eventually("it owes nothing", async || (shown().await[1]["in_flight"] == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn neither_messages_nor_metrics_hold_a_payload_or_a_key() {
    let directory = tempdir().unwrap();
    let messages = directory.path().join("messages");
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let settings = "stuck_after_tries = 2\n";
    let filter = Some("trace");
    let server =
        Server::start_logging(directory.path(), &participants, settings, filter, &messages).await;
    payments.says("commit", Said::Broken);
    let headers = [("idempotency-key", "marked-key"), ("prefer", "respond-async")];
    let reply = server.submit(&headers, ORDER).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    server
        .submit(&headers, &ORDER.replace("order", "marked-payload"))
        .await
        .problem(422, "key-reused");
    server
        .submit(&headers, r#"{"marked-member": "marked-payload"}"#)
        .await
        .problem(400, "invalid-request");
    server.submit(&headers, "marked-payload").await.problem(400, "malformed-json");
    eventually("it is stuck", async || {
        let messages = std::fs::read_to_string(&messages).unwrap();
        messages.contains("the transaction is stuck").then_some(())
    })
    .await;
    let metrics = server.get("/metrics").await.text;
    assert_eq!(value(&metrics, "wholly_transactions_stuck"), 1.0);
    assert_unmarked(&metrics);
    payments.says("commit", Said::Done);
    let retry = format!("/v1/transactions/{id}/retry");
    server.post(&retry, r#"{"reason": "it is up again"}"#).await;
    server.settled(reply.header("location")).await;
    server.terminate().await;

    let messages = std::fs::read_to_string(&messages).unwrap();
    // It is all there, down to what the libraries say.
    assert!(messages.contains("TRACE"), "{messages}");
    let stuck = messages.lines().find(|line| line.contains("the transaction is stuck")).unwrap();
    assert!(stuck.contains(&id) && stuck.contains("transaction"), "{stuck}");
    assert_unmarked(&messages);
}

#[tokio::test]
async fn the_messages_are_lines_of_json_where_the_configuration_says_so() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let said = async |logs: &str, filter: Option<&str>| {
        let messages = directory.path().join("messages");
        drop(std::fs::remove_file(&messages));
        let server =
            Server::start_logging(directory.path(), &participants, logs, filter, &messages).await;
        let id = server.submit(&[], ORDER).await.json()["id"].as_str().unwrap().to_owned();
        let retry = format!("/v1/transactions/{id}/retry");
        server.post(&retry, r#"{"reason": "for a message"}"#).await;
        server.terminate().await;
        (id, std::fs::read_to_string(&messages).unwrap())
    };
    let (id, messages) = said("[logs]\nformat = 'json'", None).await;
    let lines: Vec<Value> =
        messages.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let by_hand =
        lines.iter().find(|line| line["message"] == "an operator retries a transaction").unwrap();
    assert_eq!(by_hand["transaction"], id.as_str());
    assert_eq!(by_hand["level"], "INFO");

    let (_, messages) = said("[logs]\nlevel = 'error'", None).await;
    assert_eq!(messages, "");
    let (_, messages) = said("[logs]\nlevel = 'error'", Some("info")).await;
    assert!(
        messages.contains("an operator retries a transaction"),
        "the variable counts first: {messages}"
    );
}

/// A webhook that verifies what it gets and answers as it is told; then it accepts.
#[derive(Clone)]
struct Receiver {
    url: String,
    key: hmac::Key,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

#[derive(Clone, Debug)]
struct Got {
    id: String,
    body: Value,
    answered: StatusCode,
}

impl Receiver {
    async fn start(secret: &[u8], answers: &[StatusCode]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            got: Arc::default(),
        };
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// All that came, once so many have been accepted.
    async fn accepted(&self, count: usize) -> Vec<Got> {
        eventually("the webhook is told", async || {
            let got = self.got.lock().unwrap().clone();
            let accepted = got.iter().filter(|got| got.answered.is_success()).count();
            (accepted >= count).then_some(got)
        })
        .await
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let signature = header("webhook-signature");
    let signature = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
    let signed = format!("{id}.{time}.{body}");
    let genuine = hmac::verify(&receiver.key, signed.as_bytes(), &signature).is_ok();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let recent = now.abs_diff(time.parse().unwrap()) < 300;
    let answered = match genuine && recent {
        true => receiver.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::NO_CONTENT),
        false => StatusCode::UNAUTHORIZED,
    };
    assert_eq!(header("content-type"), "application/json");
    let body = serde_json::from_str(&body).unwrap();
    receiver.got.lock().unwrap().push(Got { id, body, answered });
    answered
}

fn with_alerts(directory: &Path, receiver: &Receiver, secret: &[u8]) -> String {
    let file = directory.join("secret");
    std::fs::write(&file, format!("whsec_{}\n", STANDARD.encode(secret))).unwrap();
    let (url, file) = (&receiver.url, file.display());
    format!("stuck_after_tries = 2\n[alerts]\nurl = '{url}'\nsecret = 'file:{file}'\n")
}

#[tokio::test]
async fn the_webhook_is_told_of_what_is_stuck_until_it_accepts_and_again_after_a_restart() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let secret = [7; 32];
    let refusals = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST];
    let receiver = Receiver::start(&secret, &refusals).await;
    let settings = with_alerts(directory.path(), &receiver, &secret);
    let server = Server::start_with(directory.path(), &participants, &settings).await;
    payments.says("commit", Said::Broken);
    let reply = server.submit(&[("prefer", "respond-async")], ORDER).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();

    let got = receiver.accepted(1).await;
    let answers: Vec<_> = got.iter().map(|got| got.answered.as_u16()).collect();
    assert_eq!(answers, [500, 400, 204]);
    assert!(got.iter().all(|again| again.id == got[0].id), "{got:?}");
    let body = &got[2].body;
    assert_eq!(body["type"], "transaction.stuck");
    let data = &body["data"];
    assert_eq!((&data["transaction"], &data["name"]), (&json!(id), &json!("place order")));
    assert_eq!((&data["state"], &data["stuck"]), (&json!("committed"), &json!(true)));
    assert_eq!(data["branches"], json!([{"name": "payments", "participant": "payments"}]));
    assert_eq!(body["timestamp"], data["since"]);
    assert_unmarked(&body.to_string());

    let server = server.kill_and_restart().await;
    let got = receiver.accepted(2).await;
    assert_eq!((&got[3].id, &got[3].body), (&got[2].id, &got[2].body));

    payments.says("commit", Said::Done);
    server.settled(reply.header("location")).await;
    let got = receiver.accepted(3).await;
    let unstuck = &got[4];
    assert_eq!(unstuck.body["type"], "transaction.unstuck");
    assert_eq!(unstuck.body["data"]["transaction"], id.as_str());
    assert_ne!(unstuck.id, got[3].id);
    assert_eq!(got.len(), 5, "{got:?}");
    // It is told of nothing else.
    server.submit(&[], ORDER).await;
    assert_eq!(server.terminate().await.0, Some(0));
    assert_eq!(receiver.accepted(3).await.len(), 5);
}

#[tokio::test]
async fn a_webhook_that_hangs_holds_up_nothing() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    // It takes the connection, and never answers.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secret = [9; 24];
    let mut receiver = Receiver::start(&secret, &[]).await;
    receiver.url = format!("http://{}/hook", hanging.local_addr().unwrap());
    let settings = with_alerts(directory.path(), &receiver, &secret);
    let server = Server::start_with(directory.path(), &participants, &settings).await;
    payments.says("commit", Said::Broken);
    let reply = server.submit(&[("prefer", "respond-async")], ORDER).await;
    let connection = common::within("it is told", hanging.accept()).await.unwrap();
    payments.says("commit", Said::Done);
    server.settled(reply.header("location")).await;
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
    assert_eq!(server.terminate().await.0, Some(0));
    drop(connection);
}

#[tokio::test]
async fn nothing_is_counted_where_metrics_are_turned_off() {
    let directory = tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let off = "[metrics]\nenabled = false";
    let server = Server::start_with(directory.path(), &participants, off).await;
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
    let detail = server.get("/metrics").await.problem(404, "no-such-route");
    assert!(detail.contains("[metrics]"), "{detail}");
    // How they are is known all the same.
    let one = server.get("/v1/participants").await.json()["participants"][0].clone();
    assert_eq!((&one["health"], one.get("calls"), one.get("errors")), (&json!("up"), None, None));
    let told = server.wholly(&["participants"]).await.exits(0);
    assert!(told.contains("orders    up               -        -"), "{told}");
}
