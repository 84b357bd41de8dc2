//! The ends of a transaction while the coordinator runs.

use wholly::Operation::{Abort, Commit, CommitOnePhase, Prepare};
use wholly::test::{Act, Harness, Standing};

use super::*;

#[tokio::test(start_paused = true)]
async fn all_yes_commits_everywhere() {
    let shop = Shop::open().await;
    let outcome = order(&shop.coordinator()).execute().await.unwrap();
    assert!(committed(&outcome));
    for participant in [&shop.orders, &shop.payments] {
        assert_eq!(participant.standing(outcome.id()), Some(Standing::Committed));
        assert_eq!((participant.count(Prepare), participant.count(Commit)), (1, 1));
    }
    let snapshot = shop.snapshot(outcome.id()).await;
    assert!(snapshot.settled && !snapshot.stuck);
    assert_eq!(snapshot.name.unwrap().as_str(), "place order");
    assert_eq!(shop.payments.received()[0].call.payload.as_str(), "300");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_aborts_everywhere_and_says_why() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::Refuse);
    let outcome = order(&shop.coordinator()).execute().await.unwrap();
    assert_eq!(shop.orders.standing(outcome.id()), Some(Standing::Aborted));
    // Who said no at once has nothing to abort.
    assert_eq!(shop.payments.count(Abort), 0);
    shop.harness.assert_all_or_nothing(outcome.id()).await;
    let AbortReason::Refused { participant, reason } = reason(outcome) else { panic!() };
    assert_eq!((participant.as_str(), reason.as_str()), ("payments", "scripted"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_answer_is_aborted_all_the_same() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::LoseRequest).nth(Prepare, 1, Act::Refuse);
    let outcome = order(&shop.coordinator()).execute().await.unwrap();
    assert_eq!(shop.payments.count(Abort), 1);
    shop.harness.assert_all_or_nothing(outcome.id()).await;
}

#[tokio::test(start_paused = true)]
async fn who_only_read_has_no_part_in_the_second_phase() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::ReadOnly);
    let outcome = order(&shop.coordinator()).execute().await.unwrap();
    assert!(committed(&outcome));
    assert_eq!((shop.orders.count(Commit), shop.payments.count(Commit)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn lost_and_late_answers_are_asked_for_again() {
    for act in [
        Act::LoseRequest,
        Act::LoseAnswer,
        Act::Late(Duration::from_secs(7)),
        Act::LateAnswer(Duration::from_secs(7)),
        Act::Twice(Duration::from_secs(7)),
        Act::Pending,
        Act::Panic,
        Act::Hang,
    ] {
        let shop = Shop::open().await;
        for operation in [Prepare, Commit] {
            shop.orders.nth(operation, 0, act.clone());
        }
        let outcome = order(&shop.coordinator()).execute().await.unwrap();
        assert!(committed(&outcome), "{act:?}");
        shop.harness.settle().await;
        shop.harness.assert_all_or_nothing(outcome.id()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_commit_is_not_obeyed() {
    let shop = Shop::open().await;
    shop.orders.nth(Commit, 0, Act::Refuse).nth(Commit, 1, Act::Refuse);
    assert!(committed(&order(&shop.coordinator()).execute().await.unwrap()));
    assert_eq!(shop.orders.count(Commit), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_undecided_at_its_deadline_aborts() {
    let shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let coordinator = shop.coordinator();
    let started = tokio::time::Instant::now();
    let outcome = order(&coordinator).deadline(Duration::from_secs(3)).execute().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(3));
    shop.harness.assert_all_or_nothing(outcome.id()).await;
    assert!(matches!(reason(outcome), AbortReason::Deadline { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_prepare_that_arrives_after_its_abort_holds_nothing() {
    let shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Late(Duration::from_secs(60)));
    let coordinator = shop.coordinator();
    let outcome = order(&coordinator).deadline(Duration::from_secs(3)).execute().await.unwrap();
    assert_eq!(shop.payments.count(Prepare), 0);
    shop.harness.settle().await;
    assert!(shop.payments.count(Prepare) > 0);
    shop.harness.assert_all_or_nothing(outcome.id()).await;
}

#[tokio::test(start_paused = true)]
async fn one_branch_alone_commits_in_one_phase() {
    for act in [None, Some(Act::LoseAnswer), Some(Act::Hang)] {
        let mut harness = Harness::new();
        let ledger = harness.stand_in_one_phase("ledger");
        act.iter().for_each(|act| _ = ledger.nth(CommitOnePhase, 0, act.clone()));
        let coordinator = harness.start().await.unwrap();
        let booking = coordinator.two_phase("book").branch("ledger", &1).unwrap();
        let outcome = booking.execute().await.unwrap();
        assert!(committed(&outcome), "{act:?}");
        assert_eq!((ledger.count(Prepare), ledger.count(Commit)), (0, 0));
        harness.assert_all_or_nothing(outcome.id()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_one_phase_refusal_after_a_lost_attempt_is_fenced() {
    let mut harness = Harness::new();
    let ledger = harness.stand_in_one_phase("ledger");
    // The first attempt comes long after the refusal of the second.
    ledger.nth(CommitOnePhase, 0, Act::Late(Duration::from_secs(20)));
    ledger.nth(CommitOnePhase, 1, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let booking = coordinator.two_phase("book").branch("ledger", &1).unwrap();
    let outcome = booking.execute().await.unwrap();
    assert!(matches!(outcome, Outcome::Aborted(_)));
    assert_eq!(ledger.count(Abort), 1);
    harness.settle().await;
    harness.assert_all_or_nothing(outcome.id()).await;
}

#[tokio::test(start_paused = true)]
async fn two_phases_where_one_phase_is_not_offered() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let alone = coordinator.two_phase("alone").branch("orders", &1).unwrap();
    assert!(committed(&alone.execute().await.unwrap()));
    assert_eq!((shop.orders.count(Prepare), shop.orders.count(Commit)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_detaches_and_aborts_nothing() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::LateAnswer(Duration::from_secs(2)));
    let coordinator = shop.coordinator();
    let impatient = tokio::time::timeout(Duration::from_secs(1), order(&coordinator).execute());
    assert!(impatient.await.is_err());
    let ids = coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap().ids();
    assert!(committed(&shop.outcome(ids[0]).await));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_before_the_transaction() {
    let shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let coordinator = shop.coordinator();
    let outcome = order(&coordinator).patience(Duration::from_secs(1)).execute().await.unwrap();
    assert_eq!(outcome, Outcome::Unsettled(outcome.id()));
    shop.payments.behave();
    assert!(committed(&shop.outcome(outcome.id()).await));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_abort_what_is_undecided() {
    let shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    coordinator.abort(id, "changed my mind").await.unwrap();
    let reason = reason(shop.outcome(id).await);
    assert_eq!(reason, AbortReason::Cancelled { reason: "changed my mind".to_owned() });
    shop.harness.assert_all_or_nothing(id).await;
    // Aborting an aborted one does nothing.
    coordinator.abort(id, "again").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_may_not_abort_what_is_committed() {
    let shop = Shop::open().await;
    shop.payments.nth(Commit, 0, Act::Hang);
    let coordinator = shop.coordinator();
    let patience = Duration::from_secs(1);
    let id = order(&coordinator).patience(patience).execute().await.unwrap().id();
    for _ in ["in flight", "settled"] {
        let refused = coordinator.abort(id, "too late").await;
        assert!(matches!(refused, Err(wholly::CancelError::Committed { .. })), "{refused:?}");
        assert!(committed(&shop.outcome(id).await));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_not_abort_what_its_only_participant_decides() {
    let mut harness = Harness::new();
    harness.stand_in_one_phase("ledger").nth(CommitOnePhase, 0, Act::Hang);
    let coordinator = harness.start().await.unwrap();
    let id = coordinator.two_phase("book").branch("ledger", &1).unwrap().submit().await.unwrap();
    let refused = coordinator.abort(id, "too late").await;
    assert!(matches!(refused, Err(wholly::CancelError::OnePhase { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn commits_pass_the_prepares_that_wait_for_slots() {
    let mut harness = Harness::new();
    let slots = wholly::Slots::new(2, 1).unwrap();
    let clock = harness.stand_in("clock");
    let rows = harness.stand_in("rows");
    harness.leave_out("rows");
    let coordinator = harness.start().await.unwrap();
    coordinator.register("rows", rows.clone(), slots).await.unwrap();
    // The second prepare hangs in the only slot of the first phase.
    rows.nth(Prepare, 1, Act::Hang);
    clock.nth(Prepare, 0, Act::LateAnswer(Duration::from_secs(1)));
    let both = |name| {
        let transaction = coordinator.two_phase(name).branch("rows", &1).unwrap();
        transaction.branch("clock", &1).unwrap()
    };
    let first = both("first").submit().await.unwrap();
    let second = both("second").submit().await.unwrap();
    let patience = Duration::from_secs(2);
    let outcome = two_phase(coordinator.outcome(first, patience).await.unwrap());
    assert!(committed(&outcome), "the reserved slot was not there for the commit");
    let second = two_phase(coordinator.outcome(second, Duration::ZERO).await.unwrap());
    assert!(matches!(second, Outcome::Unsettled(_)));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_their_appends() {
    let mut harness = Harness::new();
    harness.settings().in_flight_limit = 1_000;
    harness.settings().in_flight_limit_per_participant = Some(1_000);
    let (a, b) = (harness.stand_in("a"), harness.stand_in("b"));
    b.nth(Prepare, 500, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let executions = (0..1_000).map(|n| {
        let transaction = coordinator.two_phase("one of many").branch("a", &n).unwrap();
        transaction.branch("b", &n).unwrap().execute()
    });
    let outcomes = futures_util::future::join_all(executions).await;
    let aborted = outcomes.iter().filter(|outcome| !committed(outcome.as_ref().unwrap())).count();
    assert_eq!((aborted, a.count(Prepare)), (1, 1_000));
    harness.settle().await;
    harness.assert_all_or_nothing_everywhere().await;
}

#[tokio::test(start_paused = true)]
async fn the_largest_transaction_is_taken() {
    let mut harness = Harness::new();
    let names: Vec<String> = (0..wholly::Settings::BRANCH_LIMIT).map(|n| format!("p{n}")).collect();
    names.iter().for_each(|name| _ = harness.stand_in(name));
    let coordinator = harness.start().await.unwrap();
    let payload = "x".repeat(wholly::Payload::LIMIT - 2);
    let all = names.iter().fold(coordinator.two_phase("large"), |transaction, name| {
        transaction.branch(name, &payload).unwrap()
    });
    let outcome = all.execute().await.unwrap();
    assert!(committed(&outcome));
    let snapshot = coordinator.get(outcome.id()).await.unwrap().unwrap();
    assert_eq!(snapshot.branches.len(), wholly::Settings::BRANCH_LIMIT);
    assert!(
        snapshot.branches.iter().all(|branch| branch
            .payload
            .as_ref()
            .unwrap()
            .to::<String>()
            .unwrap()
            == payload)
    );
}
