//! Crashes, and what is found after them.

use wholly::Operation::{Abort, Commit, CommitOnePhase, Prepare};
use wholly::test::{Act, Standing, crash_at_every_record};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_undecided_aborts_and_is_never_prepared_again() {
    let mut shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.orders.standing(id), Some(Standing::Prepared));
    shop.payments.behave();
    shop.restart().await;
    assert_eq!(reason(shop.outcome(id).await), AbortReason::Restarted);
    assert_eq!((shop.orders.count(Prepare), shop.payments.count(Prepare)), (1, 0));
    shop.harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_carried_out() {
    let mut shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.payments.standing(id), Some(Standing::Prepared));
    shop.payments.behave();
    shop.restart().await;
    assert!(committed(&shop.outcome(id).await));
    shop.harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn what_names_nobody_registered_is_held_until_they_are() {
    let mut shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.payments.behave();
    shop.harness.leave_out("payments");
    let coordinator = shop.restart().await;
    let outcome = two_phase(coordinator.outcome(id, LONG).await.unwrap());
    assert_eq!(outcome, Outcome::Unsettled(id));
    // Others do not wait for it.
    let other = coordinator.two_phase("other").branch("orders", &1).unwrap();
    assert!(committed(&other.execute().await.unwrap()));
    coordinator.register("payments", shop.payments.clone(), Default::default()).await.unwrap();
    assert!(committed(&shop.outcome(id).await));
    shop.harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn one_phase_asks_on_after_a_restart() {
    let mut harness = Harness::new();
    let ledger = harness.stand_in_one_phase("ledger");
    ledger.nth(CommitOnePhase, 0, Act::LateAnswer(Duration::from_secs(2)));
    let coordinator = harness.start().await.unwrap();
    let id = coordinator.two_phase("book").branch("ledger", &1).unwrap().submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let coordinator = harness.restart().await.unwrap();
    assert!(committed(&two_phase(coordinator.outcome(id, LONG).await.unwrap())));
    harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn ids_ascend_across_a_restart() {
    let mut shop = Shop::open().await;
    let mut last = 0;
    for _ in 0..3 {
        let id = order(&shop.coordinator()).submit().await.unwrap();
        assert!(id.ordinal() > last);
        last = id.ordinal();
        shop.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn crashed_at_every_record_a_transaction_is_all_or_nothing() {
    let scripts: [fn(&Scripted); 10] = [
        |_| {},
        |payments| _ = payments.nth(Prepare, 0, Act::Refuse),
        |payments| _ = payments.nth(Prepare, 0, Act::ReadOnly),
        |payments| _ = payments.nth(Prepare, 0, Act::LoseAnswer),
        |payments| _ = payments.nth(Prepare, 0, Act::Late(Duration::from_secs(7))),
        |payments| _ = payments.nth(Prepare, 0, Act::Twice(Duration::from_secs(40))),
        |payments| _ = payments.nth(Prepare, 0, Act::LoseRequest).nth(Prepare, 1, Act::Refuse),
        |payments| _ = payments.always(Prepare, Act::Hang),
        |payments| _ = payments.nth(Commit, 0, Act::LoseAnswer).nth(Abort, 0, Act::LoseAnswer),
        |payments| _ = payments.nth(Commit, 0, Act::Panic).nth(Abort, 0, Act::Twice(LONG)),
    ];
    for script in scripts {
        let crashes = crash_at_every_record(
            |harness| {
                harness.stand_in("orders");
                script(&harness.stand_in("payments"));
            },
            async |coordinator, ()| _ = order(coordinator).key(1).execute().await.unwrap(),
            async |harness, ()| {
                // Whatever became of it, its key knows.
                let again = order(harness.coordinator()).key(1).execute().await.unwrap();
                assert!(!matches!(again, Outcome::Unsettled(_)));
                assert_eq!(
                    harness
                        .coordinator()
                        .list(&wholly::Filter::default(), None, 10)
                        .await
                        .unwrap()
                        .ids(),
                    [again.id()]
                );
            },
        )
        .await;
        assert!(crashes >= 8, "only {crashes} crashes");
    }
}

#[tokio::test(start_paused = true)]
async fn crashed_at_every_record_a_one_phase_commit_is_done_once() {
    for act in [Act::LoseAnswer, Act::Refuse, Act::Late(Duration::from_secs(7)), Act::Panic] {
        crash_at_every_record(
            |harness| _ = harness.stand_in_one_phase("ledger").nth(CommitOnePhase, 0, act.clone()),
            async |coordinator, ()| {
                let booking = coordinator.two_phase("book").branch("ledger", &1).unwrap();
                booking.execute().await.unwrap();
            },
            async |_, ()| {},
        )
        .await;
    }
}
