//! What is wrong is refused with a clear word, and harms nothing.

use wholly::{CancelError, InvalidName, Payload, Settings, StartError, SubmitError};

use super::*;

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, SubmitError>, word: &str) {
    let message = result.expect_err("it was accepted").to_string();
    assert!(message.contains(word), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_makes_no_sense_is_refused() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let empty = coordinator.two_phase("empty");
    refused(empty.execute().await, "no branches");
    let twice = order(&coordinator).branch("orders", &2).unwrap();
    refused(twice.execute().await, "the participant orders twice");
    let unknown = order(&coordinator).branch("nobody", &1).unwrap();
    refused(unknown.execute().await, "no participant is registered as nobody");
    let many = (0..=Settings::BRANCH_LIMIT)
        .fold(coordinator.two_phase("many"), |t, n| t.branch(&format!("p{n}"), &1).unwrap());
    refused(many.execute().await, "65 branches; the limit is 64");
    assert!(coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap().ids().is_empty());
    assert!(shop.orders.received().is_empty());
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn names_keys_and_payloads_have_limits() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    for (name, word) in
        [("", "must not be empty"), (&*"n".repeat(129), "the limit is 128"), ("a\nb", "'\\n'")]
    {
        refused(both(coordinator.two_phase(name)).execute().await, word);
    }
    for (key, word) in
        [("", "must not be empty"), (&*"k".repeat(201), "the limit is 200"), ("é", "'é'")]
    {
        refused(order(&coordinator).key(key).execute().await, word);
    }
    for (name, word) in
        [("", "must not be empty"), (&*"p".repeat(65), "the limit is 64"), ("A", "'A'")]
    {
        refused(coordinator.two_phase("t").branch(name, &1).map(drop), word);
    }
    let long = "x".repeat(Payload::LIMIT);
    refused(coordinator.two_phase("t").branch("orders", &long).map(drop), "the limit is 65536");
    let no_json = std::collections::HashMap::from([((1, 2), 3)]);
    refused(coordinator.two_phase("t").branch("orders", &no_json).map(drop), "orders");
    assert!(coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap().ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_neither_zero_nor_absurd() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let too_long = Settings::LONGEST_DEADLINE + Duration::from_millis(1);
    for deadline in [Duration::ZERO, Duration::from_micros(999), too_long, Duration::MAX] {
        refused(order(&coordinator).deadline(deadline).execute().await, "out of range");
    }
    let longest = order(&coordinator).deadline(Settings::LONGEST_DEADLINE);
    assert!(committed(&longest.patience(Duration::MAX).execute().await.unwrap()));
    let shortest = order(&coordinator).deadline(Settings::SHORTEST_DEADLINE);
    let aborted = reason(shortest.execute().await.unwrap());
    assert!(matches!(aborted, AbortReason::Deadline { .. }), "{aborted}");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_no_transactions_is_not_found() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let id: TransactionId = "00000000000170008000000000000001-0000000000000009".parse().unwrap();
    assert!(coordinator.get(id).await.unwrap().is_none());
    assert!(coordinator.outcome(id, LONG).await.unwrap().is_none());
    assert!(matches!(coordinator.abort(id, "").await, Err(CancelError::NotFound { .. })));
    let gone = coordinator.retry(id).await;
    assert!(matches!(gone, Err(wholly::ResolveError::NotInFlight { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn participants_have_names_of_their_own() {
    let mut harness = Harness::new();
    harness.stand_in("orders");
    harness.stand_in("orders");
    let twice = harness.start().await.err().unwrap();
    assert!(matches!(twice, StartError::ParticipantTwice { .. }), "{twice}");
    let mut harness = Harness::new();
    harness.stand_in("Orders");
    let invalid = harness.start().await.err().unwrap();
    assert!(matches!(invalid, StartError::Participant { .. }), "{invalid}");
    let shop = Shop::open().await;
    let invalid = shop.coordinator().register("", shop.orders.clone(), Default::default()).await;
    assert!(matches!(invalid, Err(InvalidName::Empty { .. })));
}
