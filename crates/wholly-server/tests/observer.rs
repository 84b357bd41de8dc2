//! The observer of the real server, over three services that react to each other's events.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

#[path = "observer/feeds.rs"]
mod feeds;
#[path = "observer/shop.rs"]
mod shop;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Server, eventually};
use serde_json::Value;
use shop::Shop;
use tempfile::tempdir;

const MINUTE: Duration = Duration::from_secs(60);

/// The choreography, once it is so.
async fn once(server: &Server, correlation: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually("the choreography is so", async || {
        let reply = server.get(&format!("/v1/choreographies/{correlation}")).await;
        (reply.status == 200).then(|| reply.json()).filter(|found| is(found))
    })
    .await
}

/// Places an order and waits until it is over, and until it is known what each service declares.
async fn opened(server: &Server, shop: &Shop) {
    shop.place("FIRST", 1_000).await;
    once(server, "FIRST", |found| {
        let mut reactions = found["events"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|event| event["reactions"].as_array().unwrap());
        settled(found) && reactions.all(|reaction| reaction["reaction"].is_string())
    })
    .await;
}

fn settled(found: &Value) -> bool {
    found["settled"] == true
}

/// The events and what was made of each, in words.
fn told(found: &Value) -> Vec<String> {
    let events = found["events"].as_array().unwrap().iter().map(|event| {
        let reactions = event["reactions"].as_array().unwrap().iter().map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or("?").to_owned();
            format!(" {} {}", text("service"), text("outcome"))
        });
        format!("{}:{}", event["type"].as_str().unwrap(), reactions.collect::<String>())
    });
    events.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_confirmed_and_one_that_is_cancelled_are_shown_as_they_went() {
    let directory = tempdir().unwrap();
    let shop = Shop::open(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    shop.place("ORD 1/ü", 1_000).await;
    shop.place("ORD2", 500_000).await;
    let confirmed = once(&server, "ORD%201%2F%C3%BC", settled).await;
    assert_eq!(confirmed["correlation"], "ORD 1/ü");
    assert_eq!(
        (&confirmed["state"], &confirmed["pattern"]),
        (&"completed".into(), &"choreography".into())
    );
    assert_eq!(
        told(&confirmed),
        [
            "OrderCreated: inventory done",
            "InventoryReserved: payment done",
            "PaymentTaken: order done",
            "OrderConfirmed:",
        ]
    );
    let first = &confirmed["events"][0];
    assert_eq!(first["data"]["amount"], 1_000);
    assert_eq!(first["reactions"][0]["emitted"], confirmed["events"][1]["id"]);
    assert_eq!(confirmed["started"], first["at"]);
    let within = confirmed["deadline"].as_u64().unwrap() - confirmed["started"].as_u64().unwrap();
    assert_eq!(within, 60_000);

    let cancelled = once(&server, "ORD2", settled).await;
    assert_eq!(cancelled["state"], "compensated");
    let all = told(&cancelled);
    assert_eq!(all[1], "InventoryReserved: payment refused");
    assert_eq!(all[2], "PaymentRefused: inventory done");
    assert_eq!(cancelled["events"][2]["refusal"], true);

    let list = server.get("/v1/choreographies?state=compensated&limit=1").await.json();
    assert_eq!(list["choreographies"][0]["correlation"], "ORD2");
    assert_eq!(list["choreographies"].as_array().unwrap().len(), 1);
    let page = server.get("/v1/choreographies?limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = server.get(&format!("/v1/choreographies?limit=1&cursor={next}")).await.json();
    assert_eq!(rest["next"], Value::Null);
    assert_ne!(rest["choreographies"][0], page["choreographies"][0]);
    let metric = "wholly_choreographies{state=\"compensated\"} 1";
    eventually("it is counted", async || {
        server.get("/metrics").await.text.contains(metric).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_gets_and_watches_them() {
    let directory = tempdir().unwrap();
    let mut shop = Shop::open(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    opened(&server, &shop).await;
    shop.stop_payment();
    shop.place("ORD1", 1_000).await;
    once(&server, "ORD1", |found| found["events"].as_array().unwrap().len() == 2).await;
    // What is not over exits with 3.
    let shown = server.wholly(&["get", "ORD1"]).await.exits(3);
    assert!(shown.contains("payment: not seen"), "{shown}");
    let mut watching = server.wholly_lives(&["watch", "ORD1"]);
    let mut lines = vec![watching.line().await.unwrap(), watching.line().await.unwrap()];
    shop.start_payment().await;
    while let Some(line) = watching.line().await {
        lines.push(line);
    }
    // A time of day, and the state. Feeds are read side by side, so the last may come in any order.
    let mut events: Vec<_> = lines.iter().map(|line| line[28..].to_owned()).collect();
    assert_eq!(events[..2], ["OrderCreated by order", "InventoryReserved by inventory"]);
    events.sort();
    assert_eq!(events[2..], ["OrderCreated by order", "PaymentTaken by payment"]);
    assert_eq!(events[1], "OrderConfirmed by order");
    assert_eq!(lines[0][14..28].trim(), "running");
    assert_eq!(lines[3][14..28].trim(), "completed");

    let shown = server.wholly(&["get", "ORD1"]).await.exits(0);
    println!("{shown}");
    for says in ["choreography  ORD1", "state         completed", "OrderConfirmed by order"] {
        assert!(shown.contains(says), "{shown}");
    }
    let again = server.wholly(&["get", "ORD1", "--pattern", "choreography"]).await.exits(0);
    assert_eq!(again.lines().count(), shown.lines().count());
    let json: Value =
        serde_json::from_str(&server.wholly(&["get", "ORD1", "--json"]).await.exits(0)).unwrap();
    assert_eq!(json["events"][0]["data"]["amount"], 1_000);
    let listed = server.wholly(&["list", "--pattern", "choreography", "--settled"]).await.exits(0);
    println!("{listed}");
    assert!(listed.starts_with("CORRELATION") && listed.contains("\nORD1 "), "{listed}");
    let listed = server.wholly(&["list", "--pattern", "choreography", "--stuck", "--json"]).await;
    assert_eq!(listed.exits(0), "");
    let wrong = server.wholly(&["list", "--pattern", "choreography", "--name", "x"]).await;
    wrong.fails(2, "neither a name nor participants");
    server.wholly(&["get", "ORD9"]).await.fails(2, "no choreography's correlation");

    // As docs/operations.md prints it.
    shop.place("ORD001", 1_000).await;
    once(&server, "ORD001", settled).await;
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    let section = page.split_once("## Observe choreographies").unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(block.lines().count(), 3);
    for line in block.lines() {
        server.as_printed(line, directory.path()).await.exits(0);
    }
    server.wholly(&["watch", "ORD9"]).await.fails(2, "no choreography's correlation");
}

/// Where alerts go; all that was taken, in order.
async fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let got: Arc<Mutex<Vec<Value>>> = Arc::default();
    let taken = Arc::clone(&got);
    let take = move |body: String| async move {
        taken.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, got)
}

fn alerts(directory: &std::path::Path, url: &str) -> String {
    let file = directory.join("secret");
    std::fs::write(&file, format!("whsec_{}", STANDARD.encode([7; 32]))).unwrap();
    format!("[alerts]\nurl = '{url}'\nsecret = 'file:{}'\n", file.display())
}

/// Waits for an alert of this type; its data.
async fn alert(got: &Mutex<Vec<Value>>, kind: &str) -> Value {
    eventually(kind, async || {
        let got = got.lock().unwrap();
        Some(got.iter().find(|one| one["type"] == kind)?["data"].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_half_way_is_stuck_after_its_time_until_it_goes_on() {
    let directory = tempdir().unwrap();
    let mut shop = Shop::open(Duration::from_secs(1)).await;
    let (url, got) = webhook().await;
    let settings = format!("{}{}", shop.sections(), alerts(directory.path(), &url));
    let server = Server::start_with(directory.path(), &[], &settings).await;
    opened(&server, &shop).await;
    shop.stop_payment();
    shop.place("ORD1", 1_000).await;
    let stuck = once(&server, "ORD1", |found| found["stuck"] == true).await;
    assert_eq!((&stuck["state"], &stuck["settled"]), (&"running".into(), &false.into()));
    let reason = stuck["reasons"][0].as_str().unwrap();
    assert_eq!(reason, "no end of it came within 1s of its first event, as order declares");
    assert_eq!(told(&stuck)[1], "InventoryReserved: payment not seen");
    let data = alert(&got, "choreography.stuck").await;
    assert_eq!((&data["correlation"], &data["stuck"]), (&"ORD1".into(), &true.into()));
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\nwholly_choreographies_stuck 1\n"), "{metrics}");
    let shown = server.wholly(&["get", "ORD1"]).await.exits(4);
    println!("{shown}");
    assert!(shown.contains("running, stuck"), "{shown}");
    let listed = server.wholly(&["list", "--pattern", "choreography", "--stuck"]).await.exits(0);
    assert!(listed.contains("ORD1") && !listed.contains("FIRST"), "{listed}");

    // A restart of the server knows it still; then the service is back.
    let server = server.kill_and_restart().await;
    once(&server, "ORD1", |found| found["stuck"] == true).await;
    shop.start_payment().await;
    let done = once(&server, "ORD1", settled).await;
    assert_eq!((&done["state"], done.get("reasons")), (&"completed".into(), None));
    alert(&got, "choreography.unstuck").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_is_stuck_is_stuck_before_the_time_is_over() {
    let directory = tempdir().unwrap();
    let shop = Shop::open(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    shop.place("ORD1", 13).await;
    let stuck = once(&server, "ORD1", |found| found["stuck"] == true).await;
    let reason = stuck["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("InventoryReserved is failing at payment"), "{reason}");
    assert!(reason.ends_with("the card's machine is broken"), "{reason}");
    let reaction = &stuck["events"][1]["reactions"][0];
    assert_eq!((&reaction["outcome"], &reaction["stuck"]), (&"failing".into(), &true.into()));
    eventually("it is counted", async || {
        let metrics = server.get("/metrics").await.text;
        let stuck = metrics.contains("\nwholly_service_stuck_events{service=\"payment\"} 1\n");
        let lag = "\nwholly_service_feed_lag_events{service=\"payment\",feed=\"inventory\"} 0\n";
        (stuck && metrics.contains(lag)).then_some(())
    })
    .await;
    let shown = server.wholly(&["get", "ORD1"]).await.exits(4);
    println!("{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_change_is_answered_when_the_server_ends() {
    let directory = tempdir().unwrap();
    let mut shop = Shop::open(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    opened(&server, &shop).await;
    shop.stop_payment();
    shop.place("ORD1", 1_000).await;
    let now = once(&server, "ORD1", |found| found["events"].as_array().unwrap().len() == 2).await;
    let path = format!("/v1/choreographies/ORD1?revision={}&wait_ms=30000", now["revision"]);
    let wait = async {
        let reply = server.get(&path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["revision"].clone()),
            (200, now["revision"].clone())
        );
    };
    let end = async {
        let asked = "wholly_http_request_seconds_count";
        eventually("others are answered", async || {
            server.get("/metrics").await.text.contains(asked).then_some(())
        })
        .await;
        server.signal(rustix::process::Signal::INT);
    };
    tokio::join!(wait, end);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_feeds_there_is_nothing_to_show() {
    let directory = tempdir().unwrap();
    let server = Server::start_with(directory.path(), &[], "").await;
    let list = server.get("/v1/choreographies").await;
    assert_eq!(list.text, r#"{"choreographies":[]}"#);
    server.get("/v1/choreographies/ORD1").await.problem(404, "no-such-choreography");
    assert!(!server.get("/metrics").await.text.contains("wholly_choreographies"));
    assert!(!directory.path().join("wholly.db-choreographies").exists());
}
