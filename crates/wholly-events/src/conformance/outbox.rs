//! The outbox: an event is there with its transaction, once and as it was given, or not at all.

use std::pin::pin;

use serde_json::json;

use super::client::{event, name};
use super::{Dialect, TestClient, TestDatabase};
use crate::event::{DATA_LIMIT, NewEvent};
use crate::sql;

pub(super) async fn tables_are_made_twice_with_nothing_lost(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    client.publish(&event("ORD001", &1)).await;
    client.create_tables().await;
    TestClient::of(database).await;
    assert_eq!(client.feed().await.len(), 1);
}

/// A service starts while another instance of it works.
pub(super) async fn tables_that_are_there_are_made_without_a_lock(database: &impl TestDatabase) {
    let mut working = TestClient::of(database).await;
    working.begin().await;
    working.publish(&event("ORD001", &1)).await;
    working.receive("reserve", "orders", "1").await;
    let mut starting = TestClient::without_tables(database).await;
    starting.wait_for_nobody().await;
    starting.create_tables().await;
    working.commit().await;
}

pub(super) async fn tables_are_made_by_two_at_once(database: &impl TestDatabase) {
    let mut first = TestClient::without_tables(database).await;
    let mut second = TestClient::without_tables(database).await;
    first.begin().await;
    first.create_tables().await;
    match first.dialect() {
        Dialect::Sqlite => first.commit().await,
        Dialect::Postgres => {
            let mut watcher = TestClient::without_tables(database).await;
            let mut made = pin!(second.create_tables());
            watcher.see_waiting(made.as_mut()).await;
            first.commit().await;
            made.await;
        }
    }
    second.publish(&event("ORD001", &1)).await;
    assert_eq!(first.feed().await.len(), 1);
}

pub(super) async fn what_is_rolled_back_is_not_published(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    client.begin().await;
    client.publish(&event("ORD001", &1)).await;
    client.roll_back().await;
    assert_eq!(client.feed().await, []);

    client.begin().await;
    client.publish(&event("ORD002", &2)).await;
    drop(client);
    let mut client = TestClient::of(database).await;
    assert_eq!(client.feed().await, []);
}

pub(super) async fn what_is_committed_is_published_once_with_all_its_fields(
    database: &impl TestDatabase,
) {
    let mut client = TestClient::of(database).await;
    let bare = event("ORD001", &json!({ "amount": 1000 }));
    let traced = bare.clone().in_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let caused = traced.clone().caused_by(&name("some:cause"));
    let events = [bare.clone(), traced, caused, bare];
    for one in &events {
        client.begin().await;
        client.publish(one).await;
        client.commit().await;
    }
    // Another connection sees the same.
    let mut other = TestClient::of(database).await;
    for feed in [client.feed().await, other.feed().await] {
        assert!(feed.into_iter().map(|(_, event)| event).eq(events.iter().cloned()));
    }
}

pub(super) async fn data_is_kept_as_it_is(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let texts = [
        String::new(),
        r#"'; DROP TABLE wholly_outbox; -- " \ $1 ? :a @b %s"#.to_owned(),
        "line\r\nline\ttab \0 nothing \u{7f}".to_owned(),
        "Straße, 東京, 👩‍👩‍👧, e\u{301}, \u{feff}, \u{202e}, \u{10ffff}".to_owned(),
        "ß".repeat((DATA_LIMIT - 2) / 2),
    ];
    for text in &texts {
        client.publish(&event("ORD001", text)).await;
    }
    let feed = client.feed().await;
    let read = feed.iter().map(|(_, event)| serde_json::from_str::<String>(&event.data).unwrap());
    assert!(read.eq(texts));
}

pub(super) async fn a_transaction_keeps_the_order_of_its_events(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    // Neither the ids nor the times ascend.
    let mut events: Vec<NewEvent> = (0..20).map(|number| event("ORD001", &number)).collect();
    events.reverse();
    client.begin().await;
    for one in &events {
        client.publish(one).await;
    }
    client.commit().await;
    assert_eq!(client.feed().await, (1..).zip(events).collect::<Vec<_>>());
}

/// The outbox does not compare ids: the receiver's inbox does.
pub(super) async fn an_id_is_published_as_often_as_the_caller_says(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let one = event("ORD001", &1);
    for _ in 0..2 {
        client.publish(&one).await;
    }
    assert_eq!(client.feed().await, [(1, one.clone()), (2, one)]);
}

pub(super) async fn a_position_is_not_given_again_after_all_was_trimmed(
    database: &impl TestDatabase,
) {
    let mut client = TestClient::of(database).await;
    for number in 0..3 {
        client.publish(&event("ORD001", &number)).await;
    }
    assert_eq!(client.sequence(10).await, 3);
    assert_eq!(client.execute(sql::TRIM, &[3.into()]).await, 3);
    assert_eq!(client.feed().await, []);
    let next = event("ORD001", &3);
    client.publish(&next).await;
    assert_eq!(client.feed().await, [(4, next)]);
}
