//! The last that the coordinator heard: while it asks again, and in the reason of a deadline.

use std::sync::{Arc, Mutex};

use wholly::Operation::{Abort, Action, Commit, Compensation, Prepare};
use wholly::test::Act;
use wholly::{Answer, CallAttempts, LastAnswer, Reason, SagaOutcome, Slots, TargetMeasures};

use super::answers::answers;
use super::sagas::graph;
use super::*;

/// A participant's answer to prepare, commit and actions, until it is another.
struct Says(Arc<Mutex<Answer>>);

impl Says {
    fn now(&self, answer: Answer) {
        *self.0.lock().unwrap() = answer;
    }
}

fn out_of_order() -> Answer {
    let target = "https://login.example.com/".to_owned();
    Answer::unknown("status 307: moved").with_http(307, Some(target))
}

async fn with(coordinator: &Coordinator, says: Answer) -> Says {
    let says = Arc::new(Mutex::new(says));
    let answer = says.clone();
    let participant = answers(move |call| match call.operation {
        Abort | Compensation => Answer::Done,
        _ => answer.lock().unwrap().clone(),
    });
    coordinator.register("says", participant, Slots::default()).await.unwrap();
    Says(says)
}

fn said_by(coordinator: &Coordinator, name: &str) -> TargetMeasures {
    let target = wholly::Target::Participant(name.parse().unwrap());
    coordinator.measures().targets.into_iter().find(|measures| measures.target == target).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_last_is_shown_until_it_is_done() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let says = with(&coordinator, Answer::Done).await;
    let two = coordinator.two_phase("order").branch("orders", &1).unwrap();
    let two = two.branch("says", &2).unwrap();
    shop.orders.nth(Prepare, 0, Act::LateAnswer(Duration::from_secs(1)));
    let id = two.submit().await.unwrap();
    says.now(out_of_order());
    tokio::time::sleep(Duration::from_secs(3)).await;

    let snapshot = shop.snapshot(id).await;
    assert_eq!(snapshot.branches[0].attempts, None, "it is done");
    let attempts = snapshot.branches[1].attempts.clone().unwrap();
    let CallAttempts { operation: Commit, tries, next_at: Some(next_at), last_answer, .. } =
        attempts
    else {
        panic!("{attempts:?}")
    };
    let last = last_answer.unwrap();
    assert!(tries > 2 && next_at > last.at, "{tries} {next_at:?} {last:?}");
    let LastAnswer { operation, answer, status, ref reason, ref redirect, .. } = last;
    assert_eq!((operation, answer, status), (Commit, "unknown", Some(307)));
    assert_eq!(redirect.as_deref(), Some("https://login.example.com/"));
    assert!(reason.contains("status 307: moved"), "{reason}");

    let said = said_by(&coordinator, "says");
    assert_eq!((said.last_answer, said.unanswered), (Some(last), u64::from(tries)));
    assert_eq!(said.next_at, Some(next_at));

    says.now(Answer::pending(None).with_http(202, None));
    coordinator.retry(id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let attempts = shop.snapshot(id).await.branches[1].attempts.clone().unwrap();
    let last = attempts.last_answer.unwrap();
    assert_eq!((last.answer, last.status, last.redirect), ("pending", Some(202), None));

    says.now(Answer::Done);
    coordinator.retry(id).await.unwrap();
    assert!(committed(&shop.outcome(id).await));
    assert_eq!(shop.snapshot(id).await.branches[1].attempts, None);
    let said = said_by(&coordinator, "says");
    assert_eq!((said.unanswered, said.next_at), (0, None));
    assert_eq!(said.last_answer.unwrap().answer, "done");
}

#[tokio::test(start_paused = true)]
async fn who_was_asked_and_has_said_nothing_is_shown_so() {
    let shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let attempts = shop.snapshot(id).await.branches[1].attempts.clone().unwrap();
    let CallAttempts { operation, tries, next_at, last_answer, .. } = attempts;
    assert_eq!((operation, tries, next_at, last_answer), (Prepare, 1, None, None));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_says_the_last_answers_and_a_restart_says_the_same() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    with(&coordinator, out_of_order()).await;
    shop.payments.always(Prepare, Act::Hang);
    let order = order(&coordinator).branch("says", &2).unwrap();
    let outcome = order.deadline(Duration::from_secs(3)).execute().await.unwrap();
    let id = outcome.id();
    let why = reason(outcome);
    assert!(matches!(why, AbortReason::Deadline { .. }), "{why}");
    let why = why.to_string();
    for says in [
        "the deadline passed before every vote was in",
        "; payments (prepare, asked once): unknown, no answer within ",
        "; says (prepare, asked ",
        " times): unknown, a redirect to https://login.example.com/, which is not followed: status 307",
    ] {
        assert!(why.contains(says), "{why}");
    }
    assert!(!why.contains("orders ("), "it had voted: {why}");
    assert_eq!(shop.snapshot(id).await.reason.as_deref(), Some(why.as_str()));
    shop.restart().await;
    assert_eq!(shop.snapshot(id).await.reason.as_deref(), Some(why.as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_turned_back_at_its_deadline_says_the_last_answers() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    with(&coordinator, Answer::pending(None).with_http(202, None)).await;
    let saga = graph(
        r#"{"name": "pay", "version": 1, "steps": [
            {"name": "hang", "participant": "payments", "compensation": false, "after": []},
            {"name": "charge", "participant": "says", "compensation": "refund", "after": []},
            {"name": "ship", "participant": "orders", "compensation": false,
             "after": ["hang", "charge"]}]}"#,
    );
    shop.payments.always("hang", Act::Hang);
    let run = coordinator.saga(saga).deadline(Duration::from_secs(3)).execute().await.unwrap();
    let SagaOutcome::Compensated(why) = run else { panic!("{run:?}") };
    assert!(matches!(why.reason, Reason::Deadline { .. }), "{}", why.reason);
    let text = why.reason.to_string();
    for says in ["; hang (action, asked once): unknown, no answer", "; charge (action, asked "] {
        assert!(text.contains(says), "{text}");
    }
    assert!(text.ends_with(" times): pending, status 202"), "{text}");
    shop.restart().await;
    assert_eq!(shop.snapshot(why.id).await.reason, Some(text));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_obeyed_is_heard() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    with(&coordinator, Answer::refused("the card is gone")).await;
    let saga = graph(
        r#"{"name": "pay", "version": 1, "steps": [
            {"name": "ship", "participant": "orders", "pivot": true, "compensation": "back"},
            {"name": "tell", "participant": "says"}]}"#,
    );
    let id = coordinator.saga(saga).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let attempts = shop.snapshot(id).await.steps[1].attempts.clone().unwrap();
    let last = attempts.last_answer.unwrap();
    assert_eq!(
        (last.operation, last.answer, &*last.reason),
        (Action, "refused", "the card is gone")
    );
}
