//! Feeds that are away, that are put back, and in which there is what is no event; and a store that
//! is lost.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{MINUTE, alert, alerts, once, settled, told, webhook};
use crate::common::{Publisher, Server, eventually};
use crate::shop::Shop;

const STORE: &str = "wholly.db-choreographies";

fn has_events(count: usize) -> impl Fn(&Value) -> bool {
    move |found| found["events"].as_array().unwrap().len() == count
}

async fn metric(server: &Server, line: &str) {
    eventually(line, async || server.get("/metrics").await.text.contains(line).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_that_are_away_at_the_start_and_for_a_while_are_followed_when_they_are_there() {
    let directory = tempdir().unwrap();
    let mut shop = Shop::closed(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    metric(&server, "wholly_feed_unreachable{feed=\"order\"} 1").await;
    shop.start_order().await;
    shop.start_others().await;
    shop.place("ORD1", 1_000).await;
    let done = once(&server, "ORD1", settled).await;
    assert_eq!(told(&done).len(), 4);
    metric(&server, "wholly_feed_unreachable{feed=\"order\"} 0").await;
    metric(&server, "wholly_feed_lag_events{feed=\"order\"} 0").await;

    shop.stop_order();
    metric(&server, "wholly_feed_unreachable{feed=\"order\"} 1").await;
    shop.start_order().await;
    shop.place("ORD2", 1_000).await;
    once(&server, "ORD2", settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_lost_or_of_no_use_is_made_good_from_the_feeds() {
    let directory = tempdir().unwrap();
    let shop = Shop::open(MINUTE).await;
    let server = Server::start_with(directory.path(), &[], &shop.sections()).await;
    shop.place("ORD1", 1_000).await;
    shop.place("ORD2", 500_000).await;
    let (first, second) =
        (once(&server, "ORD1", settled).await, once(&server, "ORD2", settled).await);
    let without_revision = |mut found: Value| {
        found.as_object_mut().unwrap().remove("revision");
        found
    };
    let store = directory.path().join(STORE);
    let remove = || {
        for more in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(directory.path().join(format!("{STORE}{more}"))));
        }
    };
    assert_eq!(server.terminate().await.0, Some(0));
    assert!(store.exists());
    remove();
    let server = Server::start_by(directory.path(), &[]).await;
    let again = once(&server, "ORD1", settled).await;
    assert_eq!(without_revision(again), without_revision(first.clone()));
    assert_eq!(server.terminate().await.0, Some(0));

    remove();
    std::fs::write(&store, "no database at all, but a text of some length".repeat(100)).unwrap();
    let server = Server::start_by(directory.path(), &[]).await;
    let again = once(&server, "ORD2", settled).await;
    assert_eq!(without_revision(again), without_revision(second));
    assert!(directory.path().join(format!("{STORE}-set-aside")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_passed_over_and_a_feed_that_is_put_back_is_read_again() {
    let directory = tempdir().unwrap();
    let feed = Publisher::start("order").await;
    feed.publishes("OrderCreated", "ORD1");
    feed.says(r#"{"specversion": "0.3", "id": "x"}"#);
    feed.says("[1, 2, 3]");
    feed.publishes("OrderConfirmed", "ORD1");
    let messages = directory.path().join("messages");
    let section = feed.section("order");
    let server =
        Server::start_logging(directory.path(), &[], &section, Some("warn"), &messages).await;
    let found = once(&server, "ORD1", has_events(2)).await;
    // The service declares nothing, so nobody knows of an end.
    assert_eq!((&found["state"], &found["stuck"]), (&"running".into(), &false.into()));
    let said = || std::fs::read_to_string(&messages).unwrap();
    assert_eq!(
        said().matches("an entry of a feed is not a valid event, and is left out").count(),
        2,
        "{}",
        said()
    );

    feed.is_put_back();
    feed.publishes("OrderCreated", "ORD2");
    once(&server, "ORD2", has_events(1)).await;
    assert!(said().contains("it is read again from its earliest event"), "{}", said());
    // What was seen before is still shown, once.
    once(&server, "ORD1", has_events(2)).await;
    feed.publishes("OrderConfirmed", "ORD2");
    once(&server, "ORD2", has_events(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_service_stands_is_measured_as_long_as_it_says_so() {
    let directory = tempdir().unwrap();
    let feed = Publisher::start("payment").await;
    let parked = |number: u64, stuck: bool| {
        json!({
            "number": number, "reaction": "charge", "source": "order", "id": number.to_string(),
            "type": "OrderCreated", "correlation": "ORD1", "state": "failing", "stuck": stuck,
            "tries": 1, "since": 0
        })
    };
    feed.stands(Some(json!({
        "service": "payment",
        "feeds": [
            {"source": "order", "position": 3, "head": 10},
            {"source": "inventory", "position": 5, "head": 5, "error": "it is refused"},
        ],
        "parked": [parked(1, true), parked(2, false)],
    })));
    let server = Server::start_with(directory.path(), &[], &feed.section("payment")).await;
    for line in [
        "wholly_service_feed_lag_events{service=\"payment\",feed=\"order\"} 7",
        "wholly_service_feed_lag_events{service=\"payment\",feed=\"inventory\"} 0",
        "wholly_service_feed_unreachable{service=\"payment\",feed=\"order\"} 0",
        "wholly_service_feed_unreachable{service=\"payment\",feed=\"inventory\"} 1",
        "wholly_service_parked_events{service=\"payment\"} 2",
        "wholly_service_stuck_events{service=\"payment\"} 1",
    ] {
        metric(&server, line).await;
    }
    feed.stands(None);
    eventually("nothing is said of it any more", async || {
        let metrics = server.get("/metrics").await.text;
        (!metrics.contains("service=\"payment\"")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_another_service_is_refused_and_told_and_a_token_is_sent() {
    let directory = tempdir().unwrap();
    let (feed, other) = (Publisher::start("order").await, Publisher::start("stranger").await);
    feed.publishes("OrderCreated", "ORD1");
    other.publishes("OrderCreated", "ORD2");
    feed.asks_for("hunter2");
    let secret = directory.path().join("token");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let (url, got) = webhook().await;
    let settings = format!(
        "{}{}token = 'file:{}'\n{}",
        other.section("payment"),
        feed.section("order"),
        secret.display(),
        alerts(directory.path(), &url)
    );
    let server = Server::start_with(directory.path(), &[], &settings).await;
    once(&server, "ORD1", has_events(1)).await;
    let data = alert(&got, "feed.refused").await;
    assert_eq!((&data["feed"], &data["trouble"]), (&"payment".into(), &"refused".into()));
    server.get("/v1/choreographies/ORD2").await.problem(404, "no-such-choreography");
    let port = other.port();
    drop(other);
    let right = eventually("the address is free", async || {
        let free = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_ok();
        match free {
            true => Some(Publisher::start_at("payment", port).await),
            false => None,
        }
    })
    .await;
    right.publishes("PaymentTaken", "ORD2");
    once(&server, "ORD2", has_events(1)).await;
    alert(&got, "feed.recovered").await;
}
