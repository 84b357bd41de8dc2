//! The inbox: of all transactions that receive an event, one that is committed was the first.

use std::pin::pin;

use futures_util::future::join_all;

use super::{Dialect, TestClient, TestDatabase};
use crate::inbox::Received::{Again, First};
use crate::sql;

pub(super) async fn an_event_is_first_and_then_again(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    client.begin().await;
    assert_eq!(client.receive("reserve", "orders", "1").await, First);
    assert_eq!(client.receive("reserve", "orders", "1").await, Again);
    client.commit().await;
    assert_eq!(client.receive("reserve", "orders", "1").await, Again);
    let mut other = TestClient::of(database).await;
    assert_eq!(other.receive("reserve", "orders", "1").await, Again);
}

pub(super) async fn each_reaction_and_each_source_has_its_own(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let all = [
        ("reserve", "orders", "1"),
        ("reserve", "orders", "2"),
        ("reserve", "payments", "1"),
        ("notify", "orders", "1"),
        // The same text, were the parts of the key only joined.
        ("reserve", "orders1", "1"),
        ("reserve", "orders", "11"),
    ];
    for expected in [First, Again] {
        for (reaction, source, id) in all {
            assert_eq!(client.receive(reaction, source, id).await, expected, "{source} {id}");
        }
    }
}

pub(super) async fn ids_are_compared_by_their_bytes(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let all =
        ["ab", "AB", "Ab", "a-b", "a_b", "a.b", "a%", "ab'", "ab\"", "ab\\", "01", "1", "1.0"];
    for expected in [First, Again] {
        for id in all {
            assert_eq!(client.receive("reserve", "orders", id).await, expected, "{id}");
        }
    }
    for (reaction, source) in [("Reserve", "orders"), ("reserve", "Orders")] {
        assert_eq!(client.receive(reaction, source, "ab").await, First, "{reaction} {source}");
    }
}

pub(super) async fn what_is_rolled_back_was_not_received(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    client.begin().await;
    assert_eq!(client.receive("reserve", "orders", "1").await, First);
    client.roll_back().await;
    assert_eq!(client.receive("reserve", "orders", "1").await, First);
}

pub(super) async fn the_second_of_two_at_once_comes_again(database: &impl TestDatabase) {
    two_at_once(database, "COMMIT", Again).await;
}

pub(super) async fn the_second_of_two_at_once_is_first_where_the_first_rolls_back(
    database: &impl TestDatabase,
) {
    two_at_once(database, "ROLLBACK", First).await;
}

async fn two_at_once(
    database: &impl TestDatabase,
    end_of_first: &'static str,
    expected: crate::inbox::Received,
) {
    let mut first = TestClient::of(database).await;
    let mut second = TestClient::of(database).await;
    first.begin().await;
    assert_eq!(first.receive("reserve", "orders", "1").await, First);
    let received = match first.dialect() {
        // One writes, and the other is refused until then; as a rule it tries for some seconds.
        Dialect::Sqlite => {
            second.wait_for_nobody().await;
            second.batch("BEGIN").await;
            second.try_receive("reserve", "orders", "1").await.unwrap_err();
            first.batch(end_of_first).await;
            second.receive("reserve", "orders", "1").await
        }
        Dialect::Postgres => {
            let mut watcher = TestClient::of(database).await;
            second.begin().await;
            let mut receiving = pin!(second.receive("reserve", "orders", "1"));
            watcher.see_waiting(receiving.as_mut()).await;
            first.batch(end_of_first).await;
            receiving.await
        }
    };
    assert_eq!(received, expected);
    second.commit().await;
    assert_eq!(first.receive("reserve", "orders", "1").await, Again);
}

pub(super) async fn one_of_many_at_once_is_first(database: &impl TestDatabase) {
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(TestClient::of(database).await);
    }
    for id in ["1", "2", "3", "4"] {
        let answers = clients.iter_mut().map(async |client| {
            client.begin().await;
            let answer = client.receive("reserve", "orders", id).await;
            client.commit().await;
            answer
        });
        let answers = join_all(answers).await;
        assert_eq!(answers.iter().filter(|answer| **answer == First).count(), 1, "{answers:?}");
    }
}

pub(super) async fn the_longest_names_fit(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let (name, id) = ("n".repeat(100), "~".repeat(200));
    assert_eq!(client.receive(&name, &name, &id).await, First);
    assert_eq!(client.receive(&name, &name, &id).await, Again);
    assert_eq!(client.receive(&name, &name, &id[1..]).await, First);

    let correlation = "ä".repeat(100);
    let event = super::client::event(&correlation, &1).caused_by(&id.parse().unwrap());
    client.publish(&event).await;
    assert_eq!(client.feed().await, [(1, event)]);
    let values = [correlation.as_str(), name.as_str(), "done"].map(crate::SqlValue::Text);
    let values: Vec<_> = values.into_iter().chain([crate::SqlValue::Null, 1.into()]).collect();
    assert_eq!(client.execute(sql::SET_EFFECT, &values).await, 1);
}
