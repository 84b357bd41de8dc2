//! The lesson's shop by events alone: three services, each with its own database, over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Shop, eventually};

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
