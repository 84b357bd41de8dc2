//! The streams of events of the real server.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Event, Little, Said, Server, Stream, eventually};
use hyper::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": {"card": "4711-SECRET"}},
    {"participant": "payments", "payload": "4711-SECRET"}]}"#;
/// What is recorded of one that commits.
const COMMITTED: [&str; 7] =
    ["started", "vote", "vote", "committed", "acknowledged", "acknowledged", "settled"];
const ASYNC: [(&str, &str); 1] = [("prefer", "respond-async")];

struct Shop {
    server: Server,
    orders: Little,
    payments: Little,
    _directory: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let participants = [("orders", &orders), ("payments", &payments)];
        let server = Server::start(directory.path(), &participants).await;
        Self { server, orders, payments, _directory: directory }
    }

    /// Submits an order; where its events are.
    async fn order(&self) -> String {
        let reply = self.server.submit(&ASYNC, ORDER).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        format!("{}/events", reply.header("location"))
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

fn ids(events: &[Event]) -> Vec<u128> {
    events.iter().map(|event| event.id.parse().unwrap()).collect()
}

async fn until(stream: &mut Stream, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Event| event.name != name) {
        events.push(stream.next().await.unwrap().unwrap());
    }
    events
}

#[tokio::test]
async fn one_transaction_is_told_whole_and_its_stream_ends_with_it() {
    let shop = Shop::open().await;
    let path = shop.order().await;
    let events = shop.server.listen(&path, None).await.rest().await;
    assert_eq!(names(&events), COMMITTED);
    assert!(ids(&events).is_sorted_by(|one, next| one < next), "{events:?}");
    let data = &events[6].data;
    assert_eq!(data["name"], "place order");
    assert_eq!((&data["pattern"], &data["state"]), (&"two-phase".into(), &"committed".into()));
    assert_eq!((&data["settled"], &data["stuck"]), (&true.into(), &false.into()));
    assert_eq!(data["record"], "settled");
    assert!(path.contains(data["transaction"].as_str().unwrap()));
    assert!(!format!("{events:?}").contains("SECRET"), "{events:?}");
    for nth in 0..6 {
        let mut stream = shop.server.listen(&path, Some(&events[nth].id)).await;
        assert_eq!(stream.rest().await, events[nth + 1..]);
    }
    let last = [("last-event-id", events[6].id.as_str())];
    let over = shop.server.send(hyper::Method::GET, &path, &last, "").await;
    assert_eq!(over.status, StatusCode::NO_CONTENT, "{over:?}");
}

#[tokio::test]
async fn what_comes_is_told_live() {
    let shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let path = shop.order().await;
    let mut streams =
        [shop.server.listen(&path, None).await, shop.server.listen(&path, None).await];
    for stream in &mut streams {
        assert_eq!(names(&until(stream, "committed").await), COMMITTED[..4]);
    }
    shop.payments.says("commit", Said::Done);
    for stream in &mut streams {
        let rest = stream.rest().await;
        assert_eq!(rest.last().unwrap().name, "settled", "{rest:?}");
    }
}

#[tokio::test]
async fn all_are_told_from_now_on_and_some_to_those_who_ask_for_some() {
    let shop = Shop::open().await;
    let before = shop.order().await;
    shop.server.listen(&before, None).await.rest().await;
    let mut all = shop.server.listen("/v1/events", None).await;
    let mut filtered = Vec::new();
    for which in ["participant=payments", "name=place%20order", "pattern=two-phase"] {
        filtered.push(shop.server.listen(&format!("/v1/events?{which}"), None).await);
    }
    let other = r#"{"name": "other", "branches": [{"participant": "orders", "payload": 1}]}"#;
    let other = shop.server.submit(&[], other).await.json();
    shop.order().await;
    // The end of the first may be recorded after the second has begun.
    let all = [until(&mut all, "settled").await, until(&mut all, "settled").await].concat();
    let of_other = |event: &Event| event.data["transaction"] == other["id"];
    let (others, orders): (Vec<Event>, Vec<Event>) = all.clone().into_iter().partition(of_other);
    assert_eq!(names(&orders), COMMITTED, "it is told whole");
    assert_eq!(others.last().unwrap().name, "settled", "the transaction before is not told");
    let mut any = filtered.pop().unwrap();
    let any = [until(&mut any, "settled").await, until(&mut any, "settled").await].concat();
    assert_eq!(any, all);
    for mut stream in filtered {
        assert_eq!(until(&mut stream, "settled").await, orders);
    }
}

#[tokio::test]
async fn who_comes_again_after_a_crash_misses_and_repeats_nothing() {
    let mut shop = Shop::open().await;
    let mut stream = shop.server.listen("/v1/events", None).await;
    // Before any event, too.
    let opening = stream.next();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), opening).await.is_err());
    let mut last = stream.last_id.clone().unwrap();
    let mut told: Vec<Event> = Vec::new();
    for round in 0..4 {
        // In the midst of three transactions, and more events than are read before the crash.
        let orders = [shop.order().await, shop.order().await, shop.order().await];
        for _ in 0..round * 3 {
            told.push(stream.next().await.unwrap().unwrap());
        }
        last = stream.last_id.clone().unwrap_or(last);
        shop.server = shop.server.kill_and_restart().await;
        for order in orders {
            shop.server.settled(order.strip_suffix("/events").unwrap()).await;
        }
        stream = shop.server.listen("/v1/events", Some(&last)).await;
    }
    shop.order().await;
    let everything = async |last: &str| {
        let mut stream = shop.server.listen("/v1/events", Some(last)).await;
        let mut events = Vec::new();
        while events.iter().filter(|event: &&Event| event.name == "settled").count() < 13 {
            events.push(stream.next().await.unwrap().unwrap());
        }
        events
    };
    let everything = everything("0").await;
    while told.len() < everything.len() {
        told.push(stream.next().await.unwrap().unwrap());
    }
    assert!(ids(&told).is_sorted_by(|one, next| one < next), "none is repeated: {told:?}");
    assert_eq!(told, everything, "none is missed");
}

#[tokio::test]
async fn a_past_that_was_trimmed_is_told_before_all_else() {
    let directory = tempfile::tempdir().unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let retention = "[retention]\nhistory = '1ms'\n";
    let server = Server::start_with(directory.path(), &participants, retention).await;
    let mut live = server.listen("/v1/events", None).await;
    let gone = server.submit(&[], ORDER).await.json()["id"].as_str().unwrap().to_owned();
    let told = until(&mut live, "settled").await;
    let path = format!("/v1/transactions/{gone}/events");
    eventually("it is trimmed", async || {
        let one = server.send(hyper::Method::GET, &path, &[], "").await;
        (one.status == StatusCode::GONE).then(|| one.problem(410, "trimmed"))
    })
    .await;
    payments.says("commit", Said::Broken);
    let kept = server.submit(&ASYNC, ORDER).await.json()["id"].clone();
    let last = told.last().unwrap().id.clone();
    for after in ["0", &told[0].id] {
        let mut stream = server.listen("/v1/events", Some(after)).await;
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!((first.name.as_str(), &first.data), ("trimmed", &json!({"up_to": last})));
        assert_eq!(first.id, after, "who comes again now is told it again");
        let next = stream.next().await.unwrap().unwrap();
        assert_eq!((next.name.as_str(), &next.data["transaction"]), ("started", &kept));
    }
    let mut stream = server.listen("/v1/events", Some(&last)).await;
    assert_eq!(stream.next().await.unwrap().unwrap().name, "started", "nothing was missed");
}

#[tokio::test]
async fn a_shutdown_ends_every_stream_at_once() {
    let shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let path = shop.order().await;
    let mut one = shop.server.listen(&path, None).await;
    let mut all = shop.server.listen("/v1/events", Some("0")).await;
    until(&mut one, "committed").await;
    until(&mut all, "committed").await;
    shop.server.signal(Signal::INT);
    one.rest().await;
    all.rest().await;
    // It waits for the transaction, and they did not wait with it.
    let asked = shop.payments.asked_to("commit").len();
    eventually("the participant is asked on", async || {
        Some(()).filter(|()| shop.payments.asked_to("commit").len() > asked + 1)
    })
    .await;
    shop.payments.says("commit", Said::Done);
    let (code, _) = shop.server.terminate().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_refused() {
    let shop = Shop::open().await;
    let path = shop.order().await;
    for wrong in ["x", "-1", "+1", "1.0", "99999999999999999999999999999999999999999999"] {
        for path in [path.as_str(), "/v1/events"] {
            let last = [("last-event-id", wrong)];
            let reply = shop.server.send(hyper::Method::GET, path, &last, "").await;
            reply.problem(400, "invalid-event-id");
        }
    }
    let to_come = [("last-event-id", "99999999999999999")];
    let reply = shop.server.send(hyper::Method::GET, "/v1/events", &to_come, "").await;
    assert!(reply.problem(400, "invalid-event-id").contains("is newer than this log"));
    for query in ["pattern=x", "name=", "unknown=1", "participant=A%20B"] {
        let reply = shop.server.get(&format!("/v1/events?{query}")).await;
        reply.problem(400, "invalid-request");
    }
    shop.server.get("/v1/transactions/x/events").await.problem(400, "invalid-id");
    let unknown = "/v1/transactions/00000000000170008000000000000001-0000000000000009/events";
    shop.server.get(unknown).await.problem(404, "no-such-transaction");
    eventually("the order is settled", async || {
        Some(()).filter(|()| !shop.orders.asked_to("commit").is_empty())
    })
    .await;
}
