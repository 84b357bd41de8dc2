//! Transactions that wait in the log because there is no room for them in memory.

use std::collections::BTreeMap;

use wholly::Operation::Commit;
use wholly::test::Act;
use wholly::{State, SubmitError};

use super::overload::{hang, untouched};
use super::*;

/// About what one order takes.
const ORDER_BYTES: usize = 5_150;

/// Room for so many orders, for anybody; and a third participant beside the shop's two.
async fn with_room_for(orders: usize) -> Shop {
    let mut shop = Shop::closed();
    shop.harness.settings().in_flight_limit_bytes = Some(orders * ORDER_BYTES);
    let _ = shop.harness.stand_in("shelf");
    shop.start().await;
    shop
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_refused_for_who_hangs_and_for_all() {
    let shop = with_room_for(4).await;
    let coordinator = shop.coordinator();
    hang(&shop.payments);
    for _ in 0..2 {
        order(&coordinator).submit().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = order(&coordinator).submit().await;
    assert!(matches!(refused, Err(SubmitError::ParticipantOutOfRoom { .. })), "{refused:?}");
    assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
    let large = coordinator.two_phase("large").branch("shelf", &"x".repeat(60_000)).unwrap();
    let refused = large.submit().await.unwrap_err();
    assert!(matches!(refused, SubmitError::OutOfRoom { .. }), "{refused:?}");
    assert!(refused.to_string().contains("of at most 20600"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_the_room_is_taken_alone() {
    let shop = with_room_for(4).await;
    let coordinator = shop.coordinator();
    let large = coordinator.two_phase("large").branch("shelf", &"x".repeat(60_000)).unwrap();
    assert!(committed(&large.execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_loads_what_fits_and_the_rest_in_its_turn() {
    let mut shop = with_room_for(1_000).await;
    hang(&shop.payments);
    let mut ids = Vec::new();
    for number in 0..40 {
        let order = order(&shop.coordinator()).key(number.to_string()).submit().await.unwrap();
        ids.push(order);
    }
    shop.harness.settings().in_flight_limit_bytes = Some(8 * ORDER_BYTES);
    let coordinator = shop.restart().await;
    assert!(!shop.snapshot(ids[0]).await.unloaded);
    let measures = coordinator.measures();
    assert_eq!(measures.in_flight, 40);
    // Half of the room is for them, exceeded by less than the last one that was loaded.
    assert!((34..=36).contains(&measures.unloaded), "{}", measures.unloaded);
    assert!(measures.in_flight_bytes <= 5 * ORDER_BYTES, "{}", measures.in_flight_bytes);
    let youngest = ids[39];
    let shown = shop.snapshot(youngest).await;
    assert_eq!((shown.unloaded, shown.state, shown.settled), (true, Some(State::Init), false));
    // Its key leads to it, and says no other; who waits for it waits on.
    assert_eq!(order(&coordinator).key("39").submit().await.unwrap(), youngest);
    let other = untouched(&coordinator).key("39").submit().await;
    assert!(matches!(other, Err(SubmitError::KeyReused { .. })), "{other:?}");
    let late = coordinator.outcome(youngest, Duration::from_secs(1)).await.unwrap();
    assert!(matches!(late, Some(AnyOutcome::TwoPhase(Outcome::Unsettled(_)))), "{late:?}");
    let waiting = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { order(&coordinator).key("39").deadline(LONG).execute().await }
    });
    shop.payments.behave();
    for id in &ids {
        assert!(matches!(shop.outcome(*id).await, Outcome::Aborted(_)), "{id}");
    }
    assert!(matches!(waiting.await.unwrap().unwrap(), Outcome::Aborted(_)));
    let measures = coordinator.measures();
    assert_eq!((measures.in_flight, measures.unloaded, measures.in_flight_bytes), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_operators_word_loads_it() {
    let mut shop = with_room_for(1_000).await;
    hang(&shop.payments);
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(order(&shop.coordinator()).submit().await.unwrap());
    }
    shop.harness.settings().in_flight_limit_bytes = Some(4 * ORDER_BYTES);
    let coordinator = shop.restart().await;
    let youngest = ids[7];
    assert!(shop.snapshot(youngest).await.unloaded);
    coordinator.abort(youngest, "not wanted").await.unwrap();
    let aborted = shop.snapshot(youngest).await;
    assert_eq!((aborted.unloaded, aborted.state), (false, Some(State::Aborted)));
    shop.payments.behave();
    shop.harness.settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_gives_up_its_place_to_others() {
    let mut shop = Shop::closed();
    let settings = shop.harness.settings();
    (settings.in_flight_limit, settings.in_flight_limit_per_participant) = (2, Some(2));
    let _ = shop.harness.stand_in("shelf");
    let coordinator = shop.start().await;
    shop.payments.always(Commit, Act::LoseRequest);
    let mut stuck = Vec::new();
    for key in ["1", "2"] {
        stuck.push(order(&coordinator).key(key).submit().await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refused = untouched(&coordinator).submit().await;
    assert!(matches!(refused, Err(SubmitError::Overloaded { .. })), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(coordinator.stuck().borrow().len(), 2);
    let taken = untouched(&coordinator).submit().await.unwrap();
    // One of them has given up its place, and is not forgotten.
    let shown = [shop.snapshot(stuck[0]).await, shop.snapshot(stuck[1]).await];
    assert_eq!(shown.iter().filter(|shown| shown.unloaded).count(), 1);
    assert!(shown.iter().all(|shown| shown.stuck));
    assert_eq!(coordinator.stuck().borrow().len(), 2);
    let refused = order(&coordinator).submit().await;
    let owes = matches!(&refused, Err(SubmitError::ParticipantOverloaded { owed: 2, .. }));
    assert!(owes, "its share stays taken: {refused:?}");
    for (key, id) in ["1", "2"].into_iter().zip(&stuck) {
        assert_eq!(order(&coordinator).key(key).submit().await.unwrap(), *id);
    }
    assert!(committed(&shop.outcome(taken).await));
    shop.payments.behave();
    for id in stuck {
        assert!(committed(&shop.outcome(id).await));
    }
    coordinator.stuck().wait_for(BTreeMap::is_empty).await.unwrap();
}
