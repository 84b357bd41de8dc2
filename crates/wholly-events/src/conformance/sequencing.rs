//! The sequencer, where inserting an event does not give it its position: what is committed gets
//! one, once, and nothing is stepped over.

use std::pin::pin;

use super::client::{event, made};
use super::{TestClient, TestDatabase};
use crate::names::EventId;

pub(super) async fn an_event_that_is_committed_late_comes_later(database: &impl TestDatabase) {
    let mut late = TestClient::of(database).await;
    let mut client = TestClient::of(database).await;
    let [a, b, c] = ["a", "b", "c"].map(|data| event("ORD001", &data));
    late.begin().await;
    late.publish(&a).await;
    client.publish(&b).await;
    assert_eq!(client.feed().await, [(1, b.clone())]);
    late.commit().await;
    client.publish(&c).await;
    assert_eq!(client.feed().await, [(1, b), (2, a), (3, c)]);
}

pub(super) async fn an_event_of_a_prepared_transaction_is_not_skipped(
    database: &impl TestDatabase,
) {
    let mut participant = TestClient::of(database).await;
    let mut client = TestClient::of(database).await;
    // The transactions of all databases of a server have their names in common.
    let id = EventId::mint(crate::event::now(), crate::event::random_bits());
    let [a, b] = ["a", "b"].map(|data| event("ORD001", &data));
    participant.begin().await;
    participant.publish(&a).await;
    participant.batch(made(format!("PREPARE TRANSACTION '{id}'"))).await;
    client.publish(&b).await;
    assert_eq!(client.feed().await, [(1, b.clone())]);
    client.batch(made(format!("COMMIT PREPARED '{id}'"))).await;
    assert_eq!(client.feed().await, [(1, b), (2, a)]);
}

pub(super) async fn what_is_rolled_back_takes_no_position(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let one = event("ORD001", &1);
    client.publish(&one).await;
    client.begin().await;
    assert_eq!(client.lock_feed().await, 0);
    assert_eq!(client.sequence_locked(10).await, 1);
    client.roll_back().await;
    assert_eq!(client.sequenced().await, []);
    assert_eq!(client.feed().await, [(1, one)]);
}

pub(super) async fn two_sequencers_give_no_position_twice(database: &impl TestDatabase) {
    let mut first = TestClient::of(database).await;
    let mut second = TestClient::of(database).await;
    let mut watcher = TestClient::of(database).await;
    let events = ["a", "b", "c", "d", "e"].map(|data| event("ORD001", &data));
    for one in &events {
        first.publish(one).await;
    }
    // The line that both lock is there: not to insert it is what the second would wait for.
    assert_eq!(first.sequence(1).await, 1);

    first.begin().await;
    assert_eq!(first.lock_feed().await, 1);
    second.begin().await;
    let locked = {
        let mut locking = pin!(second.lock_feed());
        watcher.see_waiting(locking.as_mut()).await;
        assert_eq!(first.sequence_locked(2).await, 3);
        first.commit().await;
        locking.await
    };
    assert_eq!(locked, 3);
    assert_eq!(second.sequence_locked(10).await, 5);
    second.commit().await;
    assert_eq!(watcher.sequenced().await, (1..).zip(events).collect::<Vec<_>>());
}
