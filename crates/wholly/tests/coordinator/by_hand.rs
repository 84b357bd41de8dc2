//! Transactions that cannot go on without an operator.

use wholly::Operation::{Abort, Commit, Prepare};
use wholly::test::{Act, Standing};
use wholly::{Decision, ParticipantName, Record, ResolveError, State, two_phase};

use super::*;

fn payments() -> ParticipantName {
    ParticipantName::new("payments").unwrap()
}

/// Committed, and stuck: payments says nothing to commit.
async fn stuck() -> (Shop, TransactionId) {
    let mut shop = Shop::closed();
    shop.harness.settings().stuck_after_tries = 3;
    shop.start().await;
    shop.payments.always(Commit, Act::LoseRequest);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let snapshot = shop.snapshot(id).await;
    assert_eq!(
        (snapshot.state, snapshot.stuck, snapshot.settled),
        (Some(State::Committed), true, false)
    );
    let branch = &snapshot.branches[1];
    assert_eq!((branch.name.as_str(), branch.stuck.is_some()), ("payments", true));
    (shop, id)
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_is_asked_on() {
    let (shop, id) = stuck().await;
    shop.payments.behave();
    assert!(committed(&shop.outcome(id).await));
    assert!(!shop.snapshot(id).await.stuck);
}

#[tokio::test(start_paused = true)]
async fn a_person_may_ask_again_at_once() {
    let (shop, id) = stuck().await;
    // By now it is asked at most every quarter of a minute.
    tokio::time::sleep(Duration::from_secs(600)).await;
    shop.payments.behave();
    shop.coordinator().retry(id).await.unwrap();
    let soon = Duration::from_millis(20);
    assert!(committed(&two_phase(shop.coordinator().outcome(id, soon).await.unwrap())));
    let gone = shop.coordinator().retry(id).await;
    assert!(matches!(gone, Err(ResolveError::NotInFlight { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_person_may_resolve_a_branch_for_good() {
    let (mut shop, id) = stuck().await;
    let coordinator = shop.coordinator();
    coordinator.resolve(id, &payments(), Decision::Committed, "booked it").await.unwrap();
    assert!(committed(&shop.outcome(id).await));
    shop.restart().await;
    let snapshot = shop.snapshot(id).await;
    assert!(snapshot.settled && !snapshot.stuck);
    let said = |event: &wholly::HistoryEntry| match &event.record {
        Record::TwoPhase(two_phase::Record::Resolved(1, Decision::Committed, why)) => {
            why == "booked it"
        }
        _ => false,
    };
    assert!(snapshot.history.iter().any(said));
}

#[tokio::test(start_paused = true)]
async fn a_word_for_what_needs_none_is_refused() {
    let shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    let resolve = async |name: &str| {
        let name = ParticipantName::new(name).unwrap();
        coordinator.resolve(id, &name, Decision::Aborted, "guess").await
    };
    assert!(matches!(resolve("payments").await, Err(ResolveError::Undecided { .. })));
    shop.orders.always(Abort, Act::Hang);
    coordinator.abort(id, "no longer wanted").await.unwrap();
    assert!(matches!(resolve("nobody").await, Err(ResolveError::NoSuchBranch { .. })));
    // Past the time-out of the prepare that hangs: the abort waits for it.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(matches!(resolve("payments").await, Err(ResolveError::Over { .. })));
    resolve("orders").await.unwrap();
    assert!(matches!(resolve("orders").await, Err(ResolveError::NotInFlight { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_heuristic_is_shown_and_waits_for_a_person() {
    let mut shop = Shop::open().await;
    shop.payments.nth(Commit, 0, Act::Heuristic);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    assert_eq!(shop.outcome(id).await, Outcome::Unsettled(id));
    assert_eq!(shop.payments.standing(id), Some(Standing::Aborted));
    shop.restart().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let snapshot = shop.snapshot(id).await;
    assert!(snapshot.stuck && !snapshot.settled);
    assert_eq!(snapshot.branches[1].state, wholly::PartState::Aborted);
    let coordinator = shop.coordinator();
    coordinator.resolve(id, &payments(), Decision::Committed, "sent a bill").await.unwrap();
    assert!(committed(&shop.outcome(id).await));
}
