//! Services built with the SDK keep the participant's contract, as the suite for every language
//! sees it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use serde_json::{Value, json};
use tokio::net::TcpListener;
use wholly::test::{Payloads, participant_conformance};
use wholly_demo::shop::{self, ServiceKind, Stock};

async fn conforms(kind: ServiceKind, good: Value, refused: Value) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("shop.db");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stock = Stock::from([("item1".to_owned(), 1_000)]);
    let routes = shop::router(kind, &database, stock).await.unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let report = participant_conformance(&url, &Payloads { good, refused }).await.unwrap();
    assert!(report.passed(), "{kind}:\n{report}");
    assert!(report.checks.len() >= 10, "the suite asked almost nothing:\n{report}");
    serving.abort();
}

#[tokio::test]
async fn the_order_service_conforms() {
    let good = json!({"order_id": "ORD001", "item": "item1"});
    conforms(ServiceKind::Order, good, json!({"item": "item1"})).await;
}

#[tokio::test]
async fn the_payment_service_conforms() {
    let good = json!({"order_id": "ORD001", "amount": 1});
    conforms(ServiceKind::Payment, good, json!({"order_id": "ORD001", "amount": -1})).await;
}

#[tokio::test]
async fn the_inventory_service_conforms() {
    let good = json!({"item_id": "item1", "quantity": 1});
    conforms(ServiceKind::Inventory, good, json!({"item_id": "item1", "quantity": 100_000})).await;
}
