//! Submitting is idempotent by the client's key.

use wholly::Operation::{Commit, Prepare};
use wholly::test::Act;
use wholly::{InvalidProposal, SubmitError};

use super::*;

fn keyed(coordinator: &Coordinator) -> Submission<TwoPhase> {
    order(coordinator).key("order 1")
}

#[tokio::test(start_paused = true)]
async fn the_same_key_and_body_joins() {
    let shop = Shop::open().await;
    shop.payments.nth(Commit, 0, Act::LateAnswer(Duration::from_secs(1)));
    let coordinator = shop.coordinator();
    let first = keyed(&coordinator).submit().await.unwrap();
    // In flight, and after it settled.
    for _ in 0..2 {
        let outcome = keyed(&coordinator).execute().await.unwrap();
        assert_eq!((outcome.id(), committed(&outcome)), (first, true));
        shop.harness.settle().await;
    }
    assert_eq!(shop.orders.count(Prepare), 1);
}

#[tokio::test(start_paused = true)]
async fn two_at_once_are_one_transaction() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let (a, b) = tokio::join!(keyed(&coordinator).execute(), keyed(&coordinator).execute());
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(shop.orders.count(Prepare), 1);
}

#[tokio::test(start_paused = true)]
async fn it_joins_across_a_restart() {
    for settled in [false, true] {
        let mut shop = Shop::open().await;
        shop.payments.nth(Commit, 0, Act::Hang);
        let first = keyed(&shop.coordinator()).submit().await.unwrap();
        // Past the decision.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if settled {
            shop.harness.settle().await;
        }
        let coordinator = shop.restart().await;
        let outcome = keyed(&coordinator).execute().await.unwrap();
        assert_eq!((outcome.id(), committed(&outcome)), (first, true), "settled: {settled}");
        assert_eq!(shop.orders.count(Prepare), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_aborted_one_is_not_begun_again() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::Refuse);
    let coordinator = shop.coordinator();
    let first = keyed(&coordinator).execute().await.unwrap();
    assert_eq!(keyed(&coordinator).execute().await.unwrap(), first);
    assert!(matches!(first, Outcome::Aborted(_)));
}

#[tokio::test(start_paused = true)]
async fn another_body_under_the_same_key_is_an_error() {
    let mut shop = Shop::open().await;
    let id = keyed(&shop.coordinator()).submit().await.unwrap();
    for when in ["in flight", "settled", "restarted"] {
        let coordinator = shop.coordinator();
        let bodies = [
            both(coordinator.two_phase("another name")),
            coordinator.two_phase("place order").branch("orders", "one book").unwrap(),
            order(&coordinator).branch("orders", &1).unwrap(),
            coordinator
                .two_phase("place order")
                .branch("orders", "one book")
                .unwrap()
                .branch("payments", &301)
                .unwrap(),
        ];
        for (n, body) in bodies.into_iter().enumerate() {
            match body.key("order 1").execute().await {
                Err(SubmitError::KeyReused { key, id: of }) => {
                    assert_eq!((key.as_str(), of), ("order 1", id));
                }
                Err(SubmitError::Invalid(InvalidProposal::SameBranchTwice { .. })) if n == 2 => {}
                other => panic!("{when}, body {n}: {other:?}"),
            }
        }
        shop.harness.settle().await;
        if when == "settled" {
            shop.restart().await;
        }
    }
    assert_eq!(
        shop.coordinator().list(&wholly::Filter::default(), None, 10).await.unwrap().ids(),
        [id]
    );
}

/// A transaction whose only payload is written so.
fn written(coordinator: &Coordinator, json: &str) -> Submission<TwoPhase> {
    let payload = wholly::Payload::parse(json).unwrap();
    let participant = wholly::ParticipantName::new("orders").unwrap();
    let branch = wholly::StartedBranch { participant, payload };
    coordinator.two_phase("order").started_branch(branch)
}

#[tokio::test(start_paused = true)]
async fn how_a_payload_is_written_does_not_count() {
    let mut shop = Shop::open().await;
    let id = written(&shop.coordinator(), r#"{"a":1,"b":2}"#).key("k").submit().await.unwrap();
    for _ in ["in flight or settled", "restarted"] {
        for json in [r#"{ "b": 2, "a": 1 }"#, r#"{"\u0061":1.0,"b":20e-1}"#] {
            let again = written(&shop.coordinator(), json).key("k").submit().await;
            assert_eq!(again.unwrap(), id, "{json}");
        }
        shop.harness.settle().await;
        shop.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_that_floating_point_takes_for_one_are_two() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    for (key, one, another) in [
        ("integers", "9007199254740992.0", "9007199254740993.0"),
        ("fractions", "0.1", "0.10000000000000000001"),
        ("past all floating point", "1e400", "1e401"),
    ] {
        let id = written(&coordinator, one).key(key).submit().await.unwrap();
        let other = written(&coordinator, another).key(key).submit().await;
        assert!(matches!(other, Err(SubmitError::KeyReused { .. })), "{key}: {other:?}");
        let spaced = format!(" {one} ");
        assert_eq!(written(&coordinator, &spaced).key(key).submit().await.unwrap(), id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_repeats_a_member_begins_nothing() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let json = r#"{"order": {"cents": 1, "cents": 100}}"#;
    let error = written(&coordinator, json).submit().await.unwrap_err();
    assert!(matches!(error, SubmitError::Invalid(InvalidProposal::Payload { .. })), "{error:?}");
    assert!(error.to_string().contains("\"cents\" is there twice"), "{error}");
    let input = wholly::Payload::parse(json).unwrap();
    let error = coordinator.saga(sagas::sale()).input(&input).submit().await.unwrap_err();
    assert!(matches!(error, SubmitError::Invalid(InvalidProposal::Input { .. })), "{error:?}");
    assert!(error.to_string().contains("\"cents\" is there twice"), "{error}");
    let page = coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap();
    assert_eq!(page.ids(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_each_is_its_own() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let first = order(&coordinator).submit().await.unwrap();
    assert_ne!(order(&coordinator).submit().await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn a_submission_lost_in_a_crash_is_made_again_under_its_key() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let lost = tokio::time::timeout(Duration::ZERO, keyed(&coordinator).execute());
    assert!(lost.await.is_err());
    shop.harness.crash(wholly::test::Unsynced::Lost).await;
    let unanswered = keyed(&coordinator).execute().await;
    assert!(matches!(unanswered, Err(SubmitError::Unavailable { .. })), "{unanswered:?}");
    let coordinator = shop.start().await;
    assert!(committed(&keyed(&coordinator).execute().await.unwrap()));
    assert_eq!(
        coordinator.list(&wholly::Filter::default(), None, 10).await.unwrap().ids().len(),
        1
    );
}
