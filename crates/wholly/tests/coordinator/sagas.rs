//! Sagas end to end: in memory, on virtual time, with participants that keep the contract.

use std::sync::Arc;

use wholly::Operation::{Action, Compensation};
use wholly::test::{Act, StepStanding};
use wholly::{
    CancelError, Definition, Graph, InvalidProposal, PartState, Pattern, Reason, Resolution,
    ResolveError, SagaOutcome, SagaRun, State, StepName, Submission, SubmitError,
};

use super::*;

/// Takes a book from the shelf, then the money, then says so: there, the pivot is the money.
pub(super) fn sale() -> Arc<Graph> {
    graph(
        r#"{"name": "sale", "version": 3, "steps": [
            {"name": "take", "participant": "orders", "compensation": "put-back"},
            {"name": "charge", "participant": "payments", "compensation": "refund", "pivot": true,
             "payload": {"cents":{"$from":"/input/cents"},"shelf":{"$from":"/steps/take"}}},
            {"name": "confirm", "participant": "orders"}
        ]}"#,
    )
}

/// Both at once, and then the third; no pivot.
fn fork() -> Arc<Graph> {
    graph(
        r#"{"name": "fork", "version": 1, "steps": [
            {"name": "one", "participant": "orders", "compensation": "undo-one", "after": []},
            {"name": "two", "participant": "payments", "compensation": "undo-two", "after": []},
            {"name": "three", "participant": "orders", "compensation": "undo-three",
             "after": ["one", "two"]}
        ]}"#,
    )
}

pub(super) fn graph(text: &str) -> Arc<Graph> {
    let definition: Definition = serde_json::from_str(text).unwrap();
    Arc::new(Graph::new(definition).unwrap())
}

pub(super) fn sell(coordinator: &Coordinator) -> Submission<SagaRun> {
    coordinator.saga(sale()).input(&serde_json::json!({"cents": 300}))
}

fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

#[track_caller]
pub(super) fn turned_back(outcome: SagaOutcome) -> Reason {
    match outcome {
        SagaOutcome::Compensated(why) => why.reason,
        other => panic!("not compensated: {other:?}"),
    }
}

fn states(snapshot: &Snapshot) -> Vec<PartState> {
    snapshot.steps.iter().map(|step| step.state).collect()
}

#[tokio::test(start_paused = true)]
async fn every_step_runs_and_is_given_what_earlier_ones_gave() {
    let shop = Shop::open().await;
    shop.orders.output("take", &7);
    let outcome = sell(&shop.coordinator()).execute().await.unwrap();
    let SagaOutcome::Completed(done) = outcome else { panic!("{outcome:?}") };
    assert_eq!(done.output::<u32>("take"), Some(7));
    let charged = &shop.payments.received()[0].call;
    assert_eq!(charged.payload.as_str(), r#"{"cents":300,"shelf":7}"#);
    assert!(charged.expires.is_some());
    assert_eq!(shop.orders.received()[1].call.expires, None, "after the pivot nothing expires");
    let snapshot = shop.snapshot(done.id).await;
    assert_eq!(
        (snapshot.pattern, snapshot.state, snapshot.settled),
        (Some(Pattern::Saga), Some(State::Completed), true)
    );
    assert_eq!((snapshot.version, states(&snapshot)), (Some(3), vec![PartState::Completed; 3]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_back_what_was_done() {
    let shop = Shop::open().await;
    shop.orders.output("take", &7);
    shop.payments.always("charge", Act::Refuse);
    let outcome = sell(&shop.coordinator()).execute().await.unwrap();
    let id = outcome.id();
    let refused = Reason::Refused { step: step("charge"), reason: "scripted".into() };
    assert_eq!(turned_back(outcome), refused);
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
    let back = shop.orders.received().pop().unwrap().call;
    assert_eq!(back.payload.as_str(), r#"{"input":{"cents":300},"output":7}"#);
    assert_eq!(shop.payments.count("refund"), 0, "a refusal at the first attempt is believed");
    let snapshot = shop.snapshot(id).await;
    let expected = [PartState::Compensated, PartState::Failed, PartState::Pending];
    assert_eq!((snapshot.state, states(&snapshot)), (Some(State::Compensated), expected.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_answer_is_taken_back_too() {
    let shop = Shop::open().await;
    shop.payments.nth("charge", 0, Act::LoseRequest).nth("charge", 1, Act::Refuse);
    let id = sell(&shop.coordinator()).execute().await.unwrap().id();
    assert_eq!(shop.payments.count("refund"), 1);
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_at_the_deadline_is_taken_back_without_an_output() {
    let shop = Shop::open().await;
    shop.payments.always("two", Act::LoseAnswer);
    let coordinator = shop.coordinator();
    let outcome = coordinator.saga(fork()).deadline(Duration::from_secs(3)).execute().await;
    let outcome = outcome.unwrap();
    let id = outcome.id();
    assert!(matches!(turned_back(outcome), Reason::Deadline { .. }));
    assert_eq!(shop.payments.step(id, "two"), Some(StepStanding::Compensated));
    assert_eq!(shop.orders.step(id, "one"), Some(StepStanding::Compensated));
    let undone = shop.payments.received().pop().unwrap().call;
    assert_eq!(undone.payload.as_str(), r#"{"input":null}"#);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_and_a_cancel_wait_for_the_pivot() {
    let shop = Shop::open().await;
    shop.payments.always("charge", Act::Pending);
    let coordinator = shop.coordinator();
    let id = sell(&coordinator).deadline(Duration::from_secs(3)).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refused = coordinator.abort(id, "changed my mind").await;
    assert!(matches!(refused, Err(CancelError::PivotMayHaveLeft { .. })), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    let snapshot = shop.snapshot(id).await;
    assert_eq!((snapshot.state, snapshot.stuck), (Some(State::Running), true));
    shop.payments.behave();
    coordinator.retry(id).await.unwrap();
    let outcome = coordinator.outcome(id, LONG).await.unwrap().unwrap();
    // It answers after its expiry, so it refuses; after a pending attempt that is fenced.
    assert!(outcome.is_settled());
    let completed = shop.orders.step(id, "confirm") == Some(StepStanding::Completed);
    let compensated = shop.orders.step(id, "take") == Some(StepStanding::Compensated);
    assert!(completed != compensated);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_before_the_pivot_turns_back() {
    let shop = Shop::open().await;
    shop.orders.always("take", Act::LoseAnswer);
    let coordinator = shop.coordinator();
    let id = sell(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    coordinator.abort(id, "changed my mind").await.unwrap();
    assert!(coordinator.outcome(id, LONG).await.unwrap().unwrap().is_settled());
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
    coordinator.abort(id, "said twice").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tries_that_are_numbered_run_out() {
    let shop = Shop::open().await;
    shop.orders.always("take", Act::LoseRequest);
    let limited = graph(
        r#"{"name": "hurry", "version": 1, "steps": [{"name": "take", "participant": "orders",
            "compensation": "put-back", "retry": {"tries": 3, "first_millis": 5}}]}"#,
    );
    let outcome = shop.coordinator().saga(limited).execute().await.unwrap();
    let id = outcome.id();
    assert!(matches!(turned_back(outcome), Reason::Exhausted { .. }));
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Empty));
    assert_eq!(shop.orders.count(Action), 0);
    assert_eq!(shop.orders.count(Compensation), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_after_the_pivot_is_retried_until_it_is_done_or_resolved() {
    let shop = Shop::open().await;
    shop.orders.always("confirm", Act::Pending);
    let coordinator = shop.coordinator();
    let id = sell(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    let snapshot = shop.snapshot(id).await;
    assert_eq!((snapshot.state, snapshot.stuck), (Some(State::Running), true));
    assert!(snapshot.steps[2].stuck.is_some());
    let back = coordinator.resolve(id, step("confirm"), Resolution::Compensated, "?").await;
    assert!(matches!(back, Err(ResolveError::NotSo { .. })), "{back:?}");
    let branch = coordinator.resolve(id, step("confirm"), wholly::Decision::Committed, "?").await;
    assert!(matches!(branch, Err(ResolveError::NotSo { .. })), "{branch:?}");
    let said = Resolution::Completed(wholly::Payload::null());
    coordinator.resolve(id, step("confirm"), said, "told them by phone").await.unwrap();
    let snapshot = shop.snapshot(id).await;
    assert_eq!((snapshot.state, snapshot.settled), (Some(State::Completed), true));
}

#[tokio::test(start_paused = true)]
async fn compensations_go_on_through_restarts_and_are_stuck_after_many_tries() {
    let mut shop = Shop::open().await;
    shop.payments.always("charge", Act::Refuse);
    shop.orders.always("put-back", Act::Refuse);
    let id = sell(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    assert!(shop.snapshot(id).await.stuck);
    let coordinator = shop.restart().await;
    assert_eq!(shop.snapshot(id).await.state, Some(State::Compensating));
    shop.orders.behave();
    assert!(coordinator.outcome(id, LONG).await.unwrap().unwrap().is_settled());
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
    assert!(!shop.snapshot(id).await.stuck);
}

#[tokio::test(start_paused = true)]
async fn a_key_joins_the_same_saga_and_no_other() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let run = |cents| {
        let input = serde_json::json!({"cents": cents});
        coordinator.saga(sale()).key("sale 7").input(&input)
    };
    let first = run(300).execute().await.unwrap();
    assert_eq!(run(300).execute().await.unwrap(), first);
    let other = run(400).execute().await;
    assert!(matches!(other, Err(SubmitError::KeyReused { .. })), "{other:?}");
    // The same name and input, but another definition.
    let changed = coordinator.saga(fork()).key("sale 7").input(&serde_json::json!({"cents": 300}));
    let changed = changed.execute().await;
    assert!(matches!(changed, Err(SubmitError::KeyReused { .. })), "{changed:?}");
    assert_eq!(shop.payments.count("charge"), 1);
    // Who names no version is given the newest, which may be another by now.
    let newer: Arc<Graph> = {
        let mut definition = sale().definition().clone();
        definition.version = 4;
        Arc::new(Graph::new(definition).unwrap())
    };
    let again = |any| {
        let run = coordinator.saga(newer.clone()).key("sale 7").any_version(any);
        run.input(&serde_json::json!({"cents": 300})).execute()
    };
    assert_eq!(again(true).await.unwrap(), first);
    assert!(matches!(again(false).await, Err(SubmitError::KeyReused { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_key_finds_its_saga_whoever_has_left_since() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let first = sell(&coordinator).key("sale 8").execute().await.unwrap();
    shop.harness.leave_out("payments");
    let coordinator = shop.restart().await;
    assert_eq!(sell(&coordinator).key("sale 8").execute().await.unwrap(), first);
    let other = sell(&coordinator).key("sale 9").execute().await;
    assert!(matches!(other, Err(SubmitError::UnknownParticipant { .. })), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_replaced_leaves_nobody_waiting_for_their_answers() {
    let shop = Shop::open().await;
    shop.payments.nth("charge", 0, Act::Hang);
    let slow = graph(
        r#"{"name": "slow", "version": 1, "steps": [{"name": "charge", "participant": "payments",
            "compensation": "refund", "timeout_millis": 3600000}]}"#,
    );
    let coordinator = shop.coordinator();
    let run = coordinator.saga(slow).deadline(Duration::from_secs(7_200));
    let id = run.submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    coordinator.register("payments", shop.payments.clone(), Default::default()).await.unwrap();
    let soon = Duration::from_secs(5);
    assert!(coordinator.outcome(id, soon).await.unwrap().unwrap().is_settled());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_never_left_is_none() {
    let mut shop = Shop::open().await;
    // One slot for actions, which another saga's call holds.
    let slots = wholly::Slots::new(2, 1).unwrap();
    let orders = shop.orders.clone();
    let narrow = shop.harness.participant_with("narrow", orders, slots);
    let coordinator = shop.restart().await;
    narrow.nth("wait", 0, Act::LateAnswer(Duration::from_secs(60)));
    // Of two tries the first is lost: those that waited for the slot in vain must not count.
    narrow.nth("hurry", 0, Act::LoseRequest);
    let step = |name: &str, retry: &str| {
        graph(&format!(
            r#"{{"name": "{name}", "version": 1, "steps": [{{"name": "{name}",
                "participant": "narrow", "compensation": "undo-{name}", {retry}}}]}}"#
        ))
    };
    let hours = Duration::from_secs(7_200);
    let long = step("wait", r#""timeout_millis": 3600000"#);
    coordinator.saga(long).deadline(hours).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let few = r#""timeout_millis": 1000, "retry": {"tries": 2, "cap_millis": 1000}"#;
    let outcome = coordinator.saga(step("hurry", few)).deadline(hours).execute().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
    assert_eq!(narrow.count("hurry"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_is_refused_with_its_reason() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let lacking = coordinator.saga(sale()).input(&serde_json::json!({"euros": 3})).execute().await;
    let Err(SubmitError::Invalid(InvalidProposal::Input { why })) = lacking else {
        panic!("{lacking:?}")
    };
    assert!(why.contains("cents"), "{why}");
    let nobody = r#"{"name": "x", "version": 1, "steps": [
        {"name": "a", "participant": "nobody", "compensation": false}]}"#;
    let nobody = coordinator.saga(graph(nobody)).execute().await;
    assert!(matches!(nobody, Err(SubmitError::UnknownParticipant { .. })), "{nobody:?}");
    let code = r#"{"name": "x", "version": 1, "steps": [{"name": "a", "compensation": false}]}"#;
    let code = coordinator.saga(graph(code)).execute().await;
    assert!(matches!(code, Err(SubmitError::UnknownSaga { .. })), "{code:?}");
    assert!(shop.orders.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_later_step_cannot_be_given_turns_back_with_the_reason() {
    let shop = Shop::open().await;
    shop.orders.output("take", &7);
    let greedy = graph(
        r#"{"name": "greedy", "version": 1, "steps": [
            {"name": "take", "participant": "orders", "compensation": "put-back"},
            {"name": "charge", "participant": "payments", "compensation": "refund",
             "payload": {"$from": "/steps/take/price"}}]}"#,
    );
    let outcome = shop.coordinator().saga(greedy).execute().await.unwrap();
    let id = outcome.id();
    let reason = turned_back(outcome);
    assert!(reason.to_string().contains("/steps/take/price"), "{reason}");
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
    assert!(shop.payments.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_names_nobody_registered_is_held_and_shown() {
    let mut shop = Shop::open().await;
    shop.payments.always("charge", Act::Hang);
    let id = sell(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.payments.behave();
    shop.harness.leave_out("payments");
    let coordinator = shop.restart().await;
    let held: Vec<_> = shop.snapshot(id).await.awaiting.iter().map(ToString::to_string).collect();
    assert_eq!(held, ["the participant payments"]);
    coordinator.register("payments", shop.payments.clone(), Default::default()).await.unwrap();
    assert!(coordinator.outcome(id, LONG).await.unwrap().unwrap().is_settled());
    assert!(shop.snapshot(id).await.awaiting.is_empty());
}
