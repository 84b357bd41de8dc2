//! A log that fails, or that holds what cannot be read.

use wholly::Operation::Prepare;
use wholly::log::{Entry, Log};
use wholly::test::{Act, Fault};
use wholly::{Health, State, SubmitError, Timestamp};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_what_is_new_serves_reads_and_goes_on_when_free() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let before = order(&coordinator).execute().await.unwrap().id();
    shop.harness.settle().await;
    shop.harness.log().set_full(true);
    let refused = order(&coordinator).execute().await;
    let Err(SubmitError::Unavailable { why }) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("the disk is full"), "{why}");
    assert!(matches!(coordinator.health(), Health::LogFailed { .. }));
    // While it waits to open the log again.
    let refused = order(&coordinator).execute().await;
    assert!(matches!(refused, Err(SubmitError::Unavailable { .. })), "{refused:?}");
    assert!(coordinator.get(before).await.unwrap().unwrap().settled);
    shop.harness.log().set_full(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(coordinator.health(), Health::Ready);
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
    shop.harness.settle().await;
    shop.harness.assert_all_or_nothing_everywhere().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_append_fails_and_however_all_or_nothing_holds() {
    for fault in [Fault::Fails, Fault::Lands, Fault::Unsynced] {
        for later in 0..4 {
            let shop = Shop::open().await;
            let coordinator = shop.coordinator();
            shop.harness.log().fail_append(later, fault);
            let outcome = order(&coordinator).execute().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            shop.harness.settle().await;
            shop.harness.assert_all_or_nothing_everywhere().await;
            if let Ok(outcome) = outcome {
                let now = shop.snapshot(outcome.id()).await.outcome();
                assert!(
                    matches!(outcome, Outcome::Unsettled(_))
                        || AnyOutcome::TwoPhase(outcome) == now
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_whose_append_failed_may_be_made_again_under_its_key() {
    for fault in [Fault::Fails, Fault::Lands, Fault::Unsynced] {
        let shop = Shop::open().await;
        let coordinator = shop.coordinator();
        shop.harness.log().fail_append(0, fault);
        assert!(order(&coordinator).key("k").execute().await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let outcome = order(&coordinator).key("k").execute().await.unwrap();
        // Where it had landed, the restart has aborted it.
        assert_eq!(committed(&outcome), fault == Fault::Fails, "{fault:?}");
        assert_eq!(
            coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap().ids(),
            [outcome.id()]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_participant_registered_while_the_log_is_gone_takes_part_later() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    shop.harness.log().fail_append(0, Fault::Fails);
    assert!(order(&coordinator).execute().await.is_err());
    let late = shop.orders.clone();
    coordinator.register("late", late, Default::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let transaction = coordinator.two_phase("late").branch("late", &1).unwrap();
    assert!(committed(&transaction.execute().await.unwrap()));
}

/// Appends to the log what no coordinator wrote.
pub fn append(shop: &Shop, entries: &[(u64, &str)]) -> Vec<TransactionId> {
    let mut open = shop.harness.log().open().unwrap();
    let entry = |&(n, text): &(u64, &str)| Entry {
        transaction: TransactionId::mint(n, Timestamp::default(), 0, open.identity),
        sequence: 0,
        text: text.to_owned(),
        key: None,
        labels: some_labels(),
        ended: None,
    };
    let entries: Vec<Entry> = entries.iter().map(entry).collect();
    open.writer.append(open.head, &entries).unwrap();
    entries.iter().map(|entry| entry.transaction).collect()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_set_aside_and_the_others_go_on() {
    let mut shop = Shop::closed();
    let unreadable = append(
        &shop,
        &[
            (1, "no JSON"),
            (2, r#"{"v":99,"r":[]}"#),
            (3, r#"{"v":1,"r":[]}"#),
            (4, r#"{"v":1,"r":[[1,"committed"]]}"#),
            (5, r#"{"v":1,"r":[[1,"unheard of"]]}"#),
        ],
    );
    let sound = append(
        &shop,
        &[(
            6,
            r#"{"v":1,"r":[[1,{"started":{"name":"sound","deadline":2,"branches":[["orders",1]]}}]]}"#,
        )],
    );
    let coordinator = shop.start().await;
    assert_eq!(reason(shop.outcome(sound[0]).await), AbortReason::Restarted);
    assert!(committed(&order(&coordinator).execute().await.unwrap()));
    for id in unreadable {
        let snapshot = shop.snapshot(id).await;
        assert!(snapshot.quarantined.is_some() && snapshot.stuck && !snapshot.settled);
        let soon = Duration::from_secs(1);
        let outcome = coordinator.outcome(id, soon).await.unwrap();
        assert_eq!(outcome, Some(AnyOutcome::Quarantined(id)));
        let refused = coordinator.abort(id, "get rid of it").await;
        assert!(matches!(refused, Err(wholly::CancelError::Quarantined { .. })), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_shows_only_what_is_durable() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::Refuse);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).execute().await.unwrap().id();
    // The abort was not forced: reading makes it durable before it shows it.
    assert_eq!(shop.snapshot(id).await.state, Some(State::Aborted));
    let durable = shop.harness.log().open().unwrap().reader.history(id).unwrap().unwrap();
    assert!(durable.entries.iter().any(|entry| entry.text.contains("aborted")));
}
