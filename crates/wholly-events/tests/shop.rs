//! The lesson's shop by events alone: three services, each with its own database, over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{Shop, eventually};
use rusqlite::Connection;
use serde_json::{Value, json};
use wholly_events::feed::{Feed, FeedRequest, HttpFeed, StartFrom};
use wholly_events::inbox::ReactionOutcome;
use wholly_events::{Choreography, Failure, Incoming, Reacted};
use wholly_participant::sqlite::Database;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_confirmed_by_events_alone() {
    let shop = Shop::open().await;
    shop.place("ORD001", "item1", 2, 1_000).await;
    eventually(async || shop.order("ORD001").await.as_deref() == Some("confirmed")).await;
    assert_eq!(shop.stock("item1").await, 8);
    assert_eq!(shop.payments().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_payment_is_declined_is_cancelled_and_its_goods_come_back() {
    let shop = Shop::open().await;
    shop.place("ORD002", "item1", 1, 500_000).await;
    eventually(async || shop.order("ORD002").await.as_deref() == Some("cancelled")).await;
    assert_eq!(shop.stock("item1").await, 10);
    assert_eq!(shop.payments().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_more_than_there_is_is_cancelled() {
    let shop = Shop::open().await;
    shop.place("ORD003", "item2", 100, 500).await;
    eventually(async || shop.order("ORD003").await.as_deref() == Some("cancelled")).await;
    assert_eq!((shop.stock("item2").await, shop.payments().await), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_catches_up() {
    let mut shop = Shop::open().await;
    shop.stop_payment();
    for n in 0..5 {
        shop.place(&format!("ORD{n}"), "item1", 1, 100).await;
    }
    eventually(async || shop.stock("item1").await == 5).await;
    assert_eq!(shop.payments().await, 0);
    shop.start_payment().await;
    for n in 0..5 {
        let id = format!("ORD{n}");
        eventually(async || shop.order(&id).await.as_deref() == Some("confirmed")).await;
    }
    assert_eq!(shop.payments().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_of_itself_what_it_declares_how_it_stands_and_what_it_did() {
    let shop = Shop::open().await;
    shop.place("ORD004", "item1", 1, 500_000).await;
    eventually(async || shop.order("ORD004").await.as_deref() == Some("cancelled")).await;
    let (order, inventory) = (shop.feed(0), shop.feed(1));
    let declared = inventory.declaration().await.unwrap().unwrap();
    assert_eq!(&declared, shop.inventory.service.declaration());
    let status = inventory.status().await.unwrap().unwrap();
    assert_eq!((status.service.as_str(), status.feeds.len()), ("inventory", 2));
    let ask = FeedRequest { start: StartFrom::Earliest, limit: 1, wait: Duration::ZERO };
    let (info, page) = order.read(ask).await.unwrap();
    let reactions = inventory.reactions(&info.source, &page.events[0].event.id).await.unwrap();
    let outcomes: Vec<_> = reactions.unwrap().into_iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [ReactionOutcome::Done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_offers_its_feed_alone_is_one_that_says_nothing_else() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/feed", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    let feed = HttpFeed::at(&url).unwrap();
    assert_eq!(feed.declaration().await.unwrap(), None);
    assert!(feed.status().await.unwrap().is_none());
}

#[test]
fn a_service_declares_that_a_reaction_changes_nothing() {
    fn look_up(_: &Connection, _: Incoming<Value>) -> Result<Reacted<(), ()>, Failure> {
        Ok(Reacted::Done(()))
    }
    let declared = |choreography: Choreography<Database>| {
        serde_json::to_value(choreography.declaration().unwrap()).unwrap()["reactions"].clone()
    };
    let order = || Choreography::new("order").on("InventoryReserved", look_up).named("look-up");
    let reaction = json!({"name": "look-up", "on": "InventoryReserved"});
    assert_eq!(declared(order()), json!([reaction]));
    let reaction = json!({"name": "look-up", "on": "InventoryReserved", "read_only": true});
    assert_eq!(declared(order().read_only()), json!([reaction]));
    assert!(Choreography::<Database>::new("order").read_only().declaration().is_err());
}
