//! What was told of a decision outlives whatever happens next.

use wholly::Operation::{Abort, CommitOnePhase, Prepare};
use wholly::log::Log;
use wholly::log::memory::Unsynced;
use wholly::test::{Act, Harness};
use wholly::{Answer, CancelError, Health};

use super::answers::{Answers, answers};
use super::*;

/// What the log would hold of it if the machine crashed now.
fn durable(harness: &Harness, id: TransactionId) -> String {
    harness.log().crash(Unsynced::Lost);
    let stored = harness.log().open().unwrap().reader.history(id).unwrap().unwrap();
    stored.entries.into_iter().map(|entry| entry.text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_one_phase_is_durable_when_it_is_told() {
    let mut harness = Harness::new();
    harness.stand_in_one_phase("ledger");
    let coordinator = harness.start().await.unwrap();
    let booking = coordinator.two_phase("book").branch("ledger", &1).unwrap();
    let outcome = booking.execute().await.unwrap();
    assert!(committed(&outcome));
    let log = durable(&harness, outcome.id());
    assert!(log.contains("\"committed\""), "{log}");
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_durable_when_it_is_told() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::Refuse);
    let outcome = order(&shop.coordinator()).execute().await.unwrap();
    let log = durable(&shop.harness, outcome.id());
    assert!(matches!(outcome, Outcome::Aborted(_)) && log.contains("\"aborted\""), "{log}");
}

#[tokio::test(start_paused = true)]
async fn an_abort_by_a_client_is_durable_when_it_is_told() {
    let shop = Shop::open().await;
    // It does not settle, so that no end writes what was decided.
    shop.payments.always(Prepare, Act::Hang).always(Abort, Act::Hang);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).submit().await.unwrap();
    coordinator.abort(id, "changed my mind").await.unwrap();
    let log = durable(&shop.harness, id);
    assert!(log.contains("changed my mind"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn that_it_is_too_late_to_abort_is_told_when_the_commit_is_durable() {
    for one_phase in [false, true] {
        let mut harness = Harness::new();
        let ledger = match one_phase {
            true => harness.stand_in_one_phase("ledger"),
            false => harness.stand_in("ledger"),
        };
        let coordinator = harness.start().await.unwrap();
        let booking = coordinator.two_phase("book").branch("ledger", &1).unwrap();
        let id = booking.submit().await.unwrap();
        let operation = if one_phase { CommitOnePhase } else { Prepare };
        let refused = loop {
            match coordinator.abort(id, "too late").await {
                Err(CancelError::OnePhase { .. }) => {
                    tokio::time::sleep(Duration::from_millis(1)).await
                }
                told => break told,
            }
        };
        let log = durable(&harness, id);
        match refused {
            Err(CancelError::Committed { .. }) => assert!(log.contains("\"committed\""), "{log}"),
            told => assert!(told.is_ok() && log.contains("\"aborted\""), "{told:?}: {log}"),
        }
        assert!(ledger.count(operation) <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_append_fails_is_not_told() {
    for fault in [wholly::test::Fault::Fails, wholly::test::Fault::Lands] {
        let shop = Shop::open().await;
        shop.payments.nth(Prepare, 0, Act::Refuse);
        let coordinator = shop.coordinator();
        // The first is the start, the second has the abort and the end.
        shop.harness.log().fail_append(1, fault);
        let outcome = order(&coordinator).execute().await.unwrap();
        assert_eq!(outcome, Outcome::Unsettled(outcome.id()), "{fault:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(matches!(shop.outcome(outcome.id()).await, Outcome::Aborted(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panicked_is_not_ready() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    assert_eq!(coordinator.health(), Health::Ready);
    // Its code panics in the loop.
    let panics = Answers { offers_one_phase: || panic!("planted"), ..answers(|_| Answer::Done) };
    coordinator.register("panics", panics, Default::default()).await.unwrap();
    let refused = order(&coordinator).execute().await;
    assert!(matches!(refused, Err(wholly::SubmitError::Unavailable { .. })), "{refused:?}");
    assert_eq!(coordinator.health(), Health::Stopped);
}
