//! What is kept for how long, and what is told of what is not kept any more.

use std::sync::Arc;

use wholly::Operation::{Commit, Compensation, Prepare};
use wholly::test::Act;
use wholly::{
    Decision, DecisionError, Definition, Graph, LogId, Payload, Resolution, Retention, State,
    SubmitError, Timestamp,
};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn keeping(history: Option<Duration>, payloads: Option<Duration>) -> Shop {
    let mut shop = Shop::closed();
    let mut retention = Retention::FOR_EVER;
    (retention.history, retention.payloads) = (history, payloads);
    shop.harness.settings().retention = retention;
    shop.start().await;
    shop
}

#[tokio::test(start_paused = true)]
async fn what_settled_is_trimmed_and_nothing_else() {
    let shop = keeping(Some(DAY), None).await;
    let coordinator = shop.coordinator();
    let settled = order(&coordinator).key("order 1").execute().await.unwrap().id();
    shop.payments.always(Commit, Act::Hang);
    let stuck = order(&coordinator).submit().await.unwrap();
    tokio::time::sleep(DAY / 2).await;
    let younger = coordinator.two_phase("younger").branch("orders", &1).unwrap();
    let younger = younger.execute().await.unwrap().id();
    assert!(coordinator.get(settled).await.unwrap().is_some());
    tokio::time::sleep(DAY * 3 / 4).await;
    assert!(coordinator.get(settled).await.unwrap().is_none());
    assert!(shop.snapshot(stuck).await.stuck);
    assert!(shop.snapshot(younger).await.settled);
    // The key goes with it.
    shop.payments.behave();
    assert_ne!(order(&coordinator).key("order 1").execute().await.unwrap().id(), settled);
}

#[tokio::test(start_paused = true)]
async fn what_took_long_is_kept_from_its_end_on() {
    let shop = keeping(Some(2 * DAY), Some(DAY)).await;
    shop.payments.always(Commit, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(3 * DAY).await;
    shop.payments.behave();
    assert!(committed(&shop.outcome(id).await));
    tokio::time::sleep(DAY / 2).await;
    assert!(!shop.snapshot(id).await.payloads_removed);
    tokio::time::sleep(DAY).await;
    assert!(shop.snapshot(id).await.payloads_removed);
    tokio::time::sleep(DAY).await;
    assert!(shop.coordinator().get(id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_told_and_what_may_be_trimmed_is_not_presumed() {
    let mut shop = keeping(Some(DAY), None).await;
    let coordinator = shop.coordinator();
    let trimmed = order(&coordinator).execute().await.unwrap().id();
    assert_eq!(coordinator.decision(trimmed).await.unwrap(), Some(Decision::Committed));
    shop.payments.nth(Prepare, 1, Act::Refuse);
    let refused = order(&coordinator).execute().await.unwrap().id();
    assert_eq!(coordinator.decision(refused).await.unwrap(), Some(Decision::Aborted));
    tokio::time::sleep(2 * DAY).await;
    shop.payments.always(Prepare, Act::Hang);
    let undecided = order(&coordinator).submit().await.unwrap();

    for _ in 0..2 {
        let coordinator = shop.coordinator();
        let told = coordinator.decision(trimmed).await;
        assert!(matches!(told, Err(DecisionError::Trimmed { .. })), "{told:?}");
        // Minted, and never durable: nobody was asked to prepare.
        let log = undecided.log();
        let between = Timestamp::from_millis(undecided.minted_at().as_millis() - 1);
        let unknown = TransactionId::mint(0, between, 7, log);
        assert_eq!(coordinator.decision(unknown).await.unwrap(), Some(Decision::Aborted));
        // The same ordinal as one that there is, and another id.
        let ordinal = undecided.ordinal();
        let other = TransactionId::mint(ordinal - 1, Timestamp::default(), 0, log);
        assert_eq!(other.ordinal(), ordinal);
        assert_eq!(coordinator.decision(other).await.unwrap(), Some(Decision::Aborted));
        let future = TransactionId::mint(ordinal, undecided.minted_at(), 0, log);
        let told = coordinator.decision(future).await;
        assert!(matches!(told, Err(DecisionError::NotBegun { .. })), "{told:?}");
        let foreign = TransactionId::mint(0, between, 7, LogId::from_bits(99));
        let told = coordinator.decision(foreign).await;
        assert!(matches!(told, Err(DecisionError::OtherLog { .. })), "{told:?}");
        shop.payments.behave();
        shop.restart().await;
    }
    assert_eq!(
        shop.coordinator().decision(undecided).await.unwrap(),
        Some(Decision::Aborted),
        "the restart aborted it"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_log_fails_nothing_is_presumed() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let known = order(&coordinator).execute().await.unwrap().id();
    coordinator.get(known).await.unwrap();
    let unknown = TransactionId::mint(0, known.minted_at(), 7, known.log());
    assert_eq!(unknown.ordinal(), known.ordinal());
    shop.harness.log().set_full(true);
    assert!(order(&coordinator).submit().await.is_err());
    let told = coordinator.decision(unknown).await;
    assert!(matches!(told, Err(DecisionError::Unavailable { .. })), "{told:?}");
    assert_eq!(coordinator.decision(known).await.unwrap(), Some(Decision::Committed));
}

#[tokio::test(start_paused = true)]
async fn payloads_go_before_the_history_does() {
    let mut shop = keeping(Some(3 * DAY), Some(DAY)).await;
    let id = order(&shop.coordinator()).key("order 1").execute().await.unwrap().id();
    shop.payments.always(Commit, Act::Hang);
    let stuck = order(&shop.coordinator()).submit().await.unwrap();
    let before = shop.snapshot(id).await;
    assert!(!before.payloads_removed);
    tokio::time::sleep(2 * DAY).await;
    for _ in 0..2 {
        let after = shop.snapshot(id).await;
        assert!(after.payloads_removed);
        assert_eq!(
            (after.state, after.settled, &after.key),
            (Some(State::Committed), true, &before.key)
        );
        assert_eq!(after.history.len(), before.history.len());
        let text = serde_json::to_string(&after).unwrap();
        // A time may end in 300, too.
        let payloads = ["book", ":300", ",300"];
        assert!(!payloads.iter().any(|payload| text.contains(payload)), "{text}");
        assert_eq!(
            shop.snapshot(stuck).await.branches[0].payload.as_ref().unwrap().as_str(),
            "\"one book\""
        );
        // The key still belongs to it; what was removed cannot be compared.
        let coordinator = shop.coordinator();
        assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
        let other = coordinator.two_phase("place order").branch("orders", &1).unwrap();
        let other = other.key("order 1").submit().await;
        assert!(matches!(other, Err(SubmitError::KeyReused { .. })), "{other:?}");
        shop.restart().await;
    }
    tokio::time::sleep(2 * DAY).await;
    assert!(shop.coordinator().get(id).await.unwrap().is_none());
    // What was stuck has its turn once it has settled.
    shop.payments.behave();
    assert!(committed(&shop.outcome(stuck).await));
}

/// A saga whose payloads come from everywhere, in every way that it may end.
#[tokio::test(start_paused = true)]
async fn a_saga_without_its_payloads_reads_as_it_ended() {
    let saga = |pivot: bool, path: &str| -> Arc<Graph> {
        let text = format!(
            r#"{{"name": "sale", "version": 1, "steps": [
            {{"name": "take", "participant": "orders", "compensation": "put-back",
              "payload": {{"what": {{"$from": "/input/what"}}, "how": "SECRET"}}}},
            {{"name": "charge", "participant": "payments", "compensation": "refund",
              "pivot": {pivot}, "payload": {{"$from": "/steps/take/{path}"}}}},
            {{"name": "confirm", "participant": "orders"{undo},
              "payload": {{"$from": "/steps/charge/receipt"}}}}]}}"#,
            undo = if pivot { "" } else { r#", "compensation": "deny""# },
        );
        let definition: Definition = serde_json::from_str(&text).unwrap();
        Arc::new(Graph::new(definition).unwrap())
    };
    let scripts: [fn(&Shop); 8] = [
        |_| {},
        |shop| _ = shop.payments.nth("charge", 0, Act::Refuse),
        |shop| _ = shop.payments.nth("charge", 0, Act::LoseAnswer),
        |shop| _ = shop.payments.always("charge", Act::Hang),
        |shop| _ = shop.orders.nth("confirm", 0, Act::Refuse),
        |shop| _ = shop.orders.nth("take", 0, Act::LoseAnswer).nth("take", 1, Act::Refuse),
        |shop| _ = shop.orders.nth(Compensation, 0, Act::LoseAnswer),
        |shop| _ = shop.payments.output("charge", "no receipt"),
    ];
    for (n, script) in scripts.into_iter().enumerate() {
        for (pivot, path) in [(true, "shelf"), (false, "shelf"), (true, "nowhere"), (false, "no")] {
            let shop = keeping(None, Some(DAY)).await;
            shop.orders.output("take", &serde_json::json!({"shelf": "SECRET"}));
            shop.payments.output("charge", &serde_json::json!({"receipt": "SECRET"}));
            script(&shop);
            let coordinator = shop.coordinator();
            let run = |what: &str| {
                let input = serde_json::json!({"what": what});
                coordinator.saga(saga(pivot, path)).key("sale 7").input(&input)
            };
            let id = run("SECRET").submit().await.unwrap();
            let before = settled_by_hand(&shop, id).await;
            assert!(serde_json::to_string(&before).unwrap().contains("SECRET"));
            tokio::time::sleep(2 * DAY).await;
            let after = shop.snapshot(id).await;
            let what = format!("script {n}, pivot {pivot}, {path}: {before:#?} {after:#?}");
            assert!(after.payloads_removed && after.quarantined.is_none(), "{what}");
            let states = |snapshot: &Snapshot| -> Vec<_> {
                snapshot.steps.iter().map(|step| (step.name.clone(), step.state)).collect()
            };
            assert_eq!(states(&after), states(&before), "{what}");
            assert_eq!((after.state, &after.reason), (before.state, &before.reason), "{what}");
            assert_eq!(after.history.len(), before.history.len(), "{what}");
            assert!(!serde_json::to_string(&after).unwrap().contains("SECRET"), "{what}");
            // Another input cannot be told from the first one any more.
            for input in ["SECRET", "another"] {
                let again = run(input).execute().await.unwrap();
                assert_eq!(again.id(), id, "{what}");
                if let wholly::SagaOutcome::Completed(completed) = again {
                    assert!(completed.payloads_removed && completed.outputs.is_empty(), "{what}");
                }
            }
        }
    }
}

/// The saga, once it has settled: what is stuck is resolved by hand as done.
async fn settled_by_hand(shop: &Shop, id: TransactionId) -> Snapshot {
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let snapshot = shop.snapshot(id).await;
        if snapshot.settled {
            return snapshot;
        }
        for step in snapshot.steps.iter().filter(|step| step.stuck.is_some()) {
            let output = Payload::of(&serde_json::json!({"receipt": "SECRET"})).unwrap();
            let done = Resolution::Completed(output);
            shop.coordinator().resolve(id, step.name.clone(), done, "seen").await.unwrap();
        }
    }
    panic!("it does not settle: {:#?}", shop.snapshot(id).await);
}
