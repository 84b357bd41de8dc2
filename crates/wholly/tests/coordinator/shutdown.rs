//! The end of a coordinator, and its limits.

use wholly::Operation::{Commit, Prepare};
use wholly::log::Log;
use wholly::test::Act;
use wholly::{Health, Record, SubmitError, Vote, two_phase};

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_settles_and_nothing_new_is_taken() {
    let shop = Shop::open().await;
    shop.payments.nth(Commit, 0, Act::LateAnswer(Duration::from_secs(2)));
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        order(&coordinator).submit().await
    };
    let ((), late) = tokio::join!(coordinator.shutdown(LONG), late);
    assert!(matches!(late, Err(SubmitError::ShuttingDown)), "{late:?}");
    assert_eq!(coordinator.health(), Health::Stopped);
    // What is durable can still be read.
    let snapshot = coordinator.get(id).await.unwrap().unwrap();
    assert!(snapshot.settled);
    let later = order(&coordinator).submit().await;
    assert!(matches!(later, Err(SubmitError::ShuttingDown)), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_settle_in_time_goes_on_at_the_next_start() {
    let mut shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    let began = tokio::time::Instant::now();
    coordinator.shutdown(Duration::from_secs(3)).await;
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(!coordinator.get(id).await.unwrap().unwrap().settled);
    shop.payments.behave();
    shop.start().await;
    assert!(committed(&shop.outcome(id).await));
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_person_is_not_waited_for_and_the_others_are() {
    let mut shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let stuck = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(LONG).await;
    assert!(shop.snapshot(stuck).await.stuck);
    // The other one takes two seconds.
    let next = shop.orders.count(Commit) as u64;
    shop.orders.nth(Commit, next, Act::LateAnswer(Duration::from_secs(2)));
    let coordinator = shop.coordinator();
    let other = coordinator.two_phase("other").branch("orders", &1).unwrap();
    let other = other.submit().await.unwrap();
    let began = tokio::time::Instant::now();
    shop.coordinator().shutdown(HOUR).await;
    assert!(began.elapsed() < HOUR, "{:?}", began.elapsed());
    assert!(shop.coordinator().get(other).await.unwrap().unwrap().settled);
    shop.payments.behave();
    shop.start().await;
    assert!(committed(&shop.outcome(stuck).await));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_here_is_not_waited_for() {
    let mut shop = Shop::open().await;
    shop.orders.always(Commit, Act::Hang);
    shop.payments.always(Commit, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.coordinator().shutdown(Duration::ZERO).await;
    let alone = wholly::Coordinator::builder(shop.harness.log().clone()).start().await.unwrap();
    let began = tokio::time::Instant::now();
    // On the system's time, while its pauses are virtual.
    let grace = Duration::from_secs(5);
    alone.shutdown(grace).await;
    assert!(began.elapsed() < grace, "{:?}", began.elapsed());
    shop.orders.behave();
    shop.payments.behave();
    shop.start().await;
    assert!(committed(&shop.outcome(id).await));
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_looked_up_than_may_be_in_flight() {
    let mut shop = Shop::closed();
    let settings = shop.harness.settings();
    (settings.in_flight_limit, settings.in_flight_limit_per_participant) = (2, Some(2));
    let coordinator = shop.start().await;
    let keyed = |key: &str| order(&coordinator).key(key).submit();
    let (first, second, third) = tokio::join!(keyed("1"), keyed("2"), keyed("3"));
    let (first, _) = (first.unwrap(), second.unwrap());
    // None of them had begun yet when the third one came.
    assert!(matches!(third, Err(SubmitError::Overloaded { in_flight: 0 })), "{third:?}");
    assert_eq!(keyed("1").await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn too_many_are_refused_and_none_is_dropped() {
    let mut shop = Shop::closed();
    let settings = shop.harness.settings();
    (settings.in_flight_limit, settings.in_flight_limit_per_participant) = (2, Some(2));
    let coordinator = shop.start().await;
    shop.payments.nth(Prepare, 0, Act::LateAnswer(Duration::from_secs(1)));
    let first = order(&coordinator).submit().await.unwrap();
    shop.payments.nth(Prepare, 1, Act::LateAnswer(Duration::from_secs(1)));
    let second = order(&coordinator).submit().await.unwrap();
    let third = order(&coordinator).submit().await;
    assert!(matches!(third, Err(SubmitError::Overloaded { in_flight: 2 })), "{third:?}");
    assert!(committed(&shop.outcome(first).await) && committed(&shop.outcome(second).await));
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}

/// A transaction of which one participant has voted and the other does not answer: nothing but the
/// vote is to be written, and nobody waits for that.
async fn one_vote_in(shop: &Shop) -> TransactionId {
    shop.payments.always(Prepare, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    // Calls travel for some milliseconds of virtual time; votes are held back for longer.
    tokio::time::sleep(Duration::from_millis(10)).await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_read_makes_durable_what_was_held_back_and_shows_it() {
    let shop = Shop::open().await;
    let id = one_vote_in(&shop).await;
    let snapshot = shop.snapshot(id).await;
    let is_yes =
        |record: &Record| matches!(record, Record::TwoPhase(two_phase::Record::Vote(0, Vote::Yes)));
    assert!(snapshot.history.iter().any(|e| is_yes(&e.record)));
}

#[tokio::test(start_paused = true)]
async fn the_end_writes_what_was_held_back() {
    let shop = Shop::open().await;
    let id = one_vote_in(&shop).await;
    shop.coordinator().shutdown(Duration::ZERO).await;
    let stored = shop.harness.log().open().unwrap().reader.history(id).unwrap().unwrap();
    assert!(stored.entries.iter().any(|entry| entry.text.contains("vote")), "{stored:?}");
}
