//! What is refused where there is no room: for anybody, or for who hangs.

use std::sync::Arc;

use wholly::Operation::{Abort, Commit, Prepare};
use wholly::test::{Act, Fault};
use wholly::{
    Graph, ParticipantName, SagaOutcome, Slots, Submission, SubmitError, Target, TargetMeasures,
};

use super::sagas::graph;
use super::*;

/// Room for four transactions, two of which may wait for the same participant; a third participant
/// beside the shop's two.
async fn narrow() -> (Shop, Scripted) {
    let mut shop = Shop::closed();
    shop.harness.settings().in_flight_limit = 4;
    let shelf = shop.harness.stand_in("shelf");
    shop.start().await;
    (shop, shelf)
}

fn named(name: &str) -> Target {
    Target::Participant(ParticipantName::new(name).unwrap())
}

/// Orders and the shelf, which answer.
pub(super) fn untouched(coordinator: &Coordinator) -> Submission<TwoPhase> {
    let transaction = coordinator.two_phase("restock").branch("orders", &1).unwrap();
    transaction.branch("shelf", &1).unwrap()
}

#[track_caller]
fn overloaded(refused: Result<TransactionId, SubmitError>, name: &str, by: usize) {
    let error = refused.expect_err("it was taken");
    let SubmitError::ParticipantOverloaded { target, owed } = &error else { panic!("{error:?}") };
    assert_eq!((target, *owed), (&named(name), by));
    assert!(error.to_string().contains(&format!("the participant {name} has not")), "{error}");
}

/// Who does not hang has answered by then, and owes nothing.
async fn others_answer() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

pub(super) fn hang(participant: &Scripted) {
    for operation in [Prepare, Commit, Abort] {
        participant.always(operation, Act::Hang);
    }
    for step in ["book", "unbook", "charge", "refund", "note", "unnote"] {
        participant.always(step, Act::Hang);
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_leaves_room_for_what_does_not_touch_it() {
    let (shop, _) = narrow().await;
    let coordinator = shop.coordinator();
    hang(&shop.payments);
    let first = order(&coordinator).submit().await.unwrap();
    let second = order(&coordinator).submit().await.unwrap();
    others_answer().await;
    overloaded(order(&coordinator).submit().await, "payments", 2);
    // Before their deadline and long after it: the aborts hang, too.
    for _ in 0..10 {
        assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        overloaded(order(&coordinator).submit().await, "payments", 2);
    }
    // What was accepted settles once it answers, and then there is room.
    shop.payments.behave();
    for id in [first, second] {
        assert!(matches!(shop.outcome(id).await, Outcome::Aborted(_)));
    }
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn commits_that_hang_count_too() {
    let (shop, _) = narrow().await;
    let coordinator = shop.coordinator();
    shop.payments.always(Commit, Act::Hang);
    for _ in 0..2 {
        order(&coordinator).submit().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    overloaded(order(&coordinator).submit().await, "payments", 2);
    assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_counts_them_again() {
    let (mut shop, _) = narrow().await;
    hang(&shop.payments);
    for _ in 0..2 {
        order(&shop.coordinator()).submit().await.unwrap();
    }
    let coordinator = shop.restart().await;
    others_answer().await;
    overloaded(order(&coordinator).submit().await, "payments", 2);
    assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
    shop.payments.behave();
    shop.harness.settle().await;
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_key_finds_its_transaction_where_there_is_no_room_for_another() {
    let (shop, _) = narrow().await;
    let coordinator = shop.coordinator();
    hang(&shop.payments);
    let first = order(&coordinator).key("first").submit().await.unwrap();
    order(&coordinator).submit().await.unwrap();
    others_answer().await;
    overloaded(order(&coordinator).key("third").submit().await, "payments", 2);
    assert_eq!(order(&coordinator).key("first").submit().await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn what_is_resolved_by_hand_is_waited_for_no_longer() {
    let (shop, _) = narrow().await;
    let coordinator = shop.coordinator();
    shop.payments.always(Commit, Act::Hang);
    let first = order(&coordinator).submit().await.unwrap();
    order(&coordinator).submit().await.unwrap();
    others_answer().await;
    overloaded(order(&coordinator).submit().await, "payments", 2);
    let payments = ParticipantName::new("payments").unwrap();
    let word = wholly::Decision::Committed;
    coordinator.resolve(first, payments, word, "seen in the books").await.unwrap();
    order(&coordinator).submit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_may_have_a_limit_of_its_own() {
    let (shop, shelf) = narrow().await;
    let coordinator = shop.coordinator();
    let one = Slots::default().with_in_flight_limit(1);
    coordinator.register("payments", shop.payments.clone(), one).await.unwrap();
    hang(&shop.payments);
    hang(&shelf);
    order(&coordinator).submit().await.unwrap();
    others_answer().await;
    overloaded(order(&coordinator).submit().await, "payments", 1);
    // The loop's next incarnation begins with the same.
    shop.harness.log().fail_append(0, Fault::Fails);
    untouched(&coordinator).submit().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(2)).await;
    overloaded(order(&coordinator).submit().await, "payments", 1);
    // That of the others is as it was.
    for _ in 0..2 {
        untouched(&coordinator).submit().await.unwrap();
    }
    others_answer().await;
    overloaded(untouched(&coordinator).submit().await, "shelf", 2);
    let measures = coordinator.measures();
    let limits: Vec<_> = measures.targets.iter().map(|target| target.in_flight_limit).collect();
    assert_eq!(limits, [2, 1, 2], "{:?}", measures.targets);
}

#[tokio::test(start_paused = true)]
async fn the_meter_shows_for_how_many_each_owes_an_answer() {
    let (mut shop, _) = narrow().await;
    let mut coordinator = shop.coordinator();
    hang(&shop.payments);
    for _ in 0..2 {
        order(&coordinator).submit().await.unwrap();
    }
    let shown = |coordinator: &Coordinator| {
        let shown = |target: &TargetMeasures| (target.in_flight, target.in_flight_limit);
        coordinator.measures().targets.iter().map(shown).collect::<Vec<_>>()
    };
    // Of orders, payments and the shelf.
    for restart in [true, false] {
        others_answer().await;
        assert_eq!(shown(&coordinator), [(0, 2), (2, 2), (0, 2)]);
        if restart {
            coordinator = shop.restart().await;
        }
    }
    shop.payments.behave();
    shop.harness.settle().await;
    assert_eq!(shown(&coordinator), [(0, 2); 3]);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_as_it_is_set() {
    let mut shop = Shop::closed();
    let settings = shop.harness.settings();
    (settings.in_flight_limit, settings.in_flight_limit_per_participant) = (4, Some(3));
    let coordinator = shop.start().await;
    hang(&shop.payments);
    for _ in 0..3 {
        order(&coordinator).submit().await.unwrap();
    }
    others_answer().await;
    overloaded(order(&coordinator).submit().await, "payments", 3);
}

/// The books, which answer, and then the card, at once with a second step of the same participant.
fn sale() -> Arc<Graph> {
    graph(
        r#"{"name": "sale", "version": 1, "steps": [
            {"name": "book", "participant": "orders", "compensation": "unbook", "after": []},
            {"name": "charge", "participant": "payments", "compensation": "refund",
             "after": ["book"]},
            {"name": "note", "participant": "payments", "compensation": "unnote",
             "after": ["book"]}
        ]}"#,
    )
}

#[tokio::test(start_paused = true)]
async fn sagas_that_wait_for_who_hangs_leave_room_too() {
    let (mut shop, _) = narrow().await;
    hang(&shop.payments);
    let mut coordinator = shop.coordinator();
    let sell = |coordinator: &Coordinator| coordinator.saga(sale()).input(&1).submit();
    let mut sold = Vec::new();
    for _ in 0..2 {
        // Two steps of it hang, and it counts as one.
        sold.push(sell(&coordinator).await.unwrap());
        others_answer().await;
    }
    for round in 0..3 {
        overloaded(sell(&coordinator).await, "payments", 2);
        overloaded(order(&coordinator).submit().await, "payments", 2);
        // Orders has done its step, and its compensation waits for its turn: it owes nothing.
        assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        if round == 1 {
            coordinator = shop.restart().await;
            others_answer().await;
        }
    }
    shop.payments.behave();
    for id in sold {
        let outcome = coordinator.outcome(id, LONG).await.unwrap().unwrap();
        assert!(
            matches!(&outcome, AnyOutcome::Saga(SagaOutcome::Compensated(_))),
            "past their deadline they turned back: {outcome:?}"
        );
    }
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}

/// The card, and then the shelf.
fn shipped() -> Arc<Graph> {
    graph(
        r#"{"name": "ship", "version": 1, "steps": [
            {"name": "charge", "participant": "payments", "compensation": "refund"},
            {"name": "pack", "participant": "shelf", "compensation": "unpack"}
        ]}"#,
    )
}

#[tokio::test(start_paused = true)]
async fn whose_turn_has_not_come_owes_nothing() {
    let (shop, _) = narrow().await;
    let coordinator = shop.coordinator();
    let ship = || coordinator.saga(shipped()).input(&1).submit();
    hang(&shop.payments);
    for _ in 0..2 {
        ship().await.unwrap();
    }
    others_answer().await;
    overloaded(ship().await, "payments", 2);
    // The sagas would come to the shelf next.
    assert!(committed(&untouched(&coordinator).execute().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn what_began_while_there_was_room_is_not_dropped_where_there_is_none() {
    let mut shop = Shop::closed();
    let settings = shop.harness.settings();
    (settings.in_flight_limit, settings.in_flight_limit_per_participant) = (5, Some(2));
    shop.harness.stand_in("shelf");
    let coordinator = shop.start().await;
    hang(&shop.orders);
    hang(&shop.payments);
    let mut begun = Vec::new();
    for _ in 0..2 {
        begun.push(coordinator.saga(sale()).input(&1).submit().await.unwrap());
    }
    for _ in 0..2 {
        let payment = coordinator.two_phase("pay").branch("payments", &1).unwrap();
        begun.push(payment.branch("shelf", &1).unwrap().submit().await.unwrap());
    }
    // The sagas come to payments, too.
    shop.orders.behave();
    tokio::time::sleep(Duration::from_secs(20)).await;
    overloaded(coordinator.saga(sale()).input(&1).submit().await, "payments", 4);
    shop.payments.behave();
    for id in begun {
        coordinator.outcome(id, LONG).await.unwrap().unwrap();
    }
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
}
