//! When a step is asked again: after its own time-out and its own pauses, or at an operator's word.

use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep};
use wholly::Operation::{Action, Compensation};
use wholly::test::{Act, StepStanding};
use wholly::{Answer, Backoff, Graph, Operation, SagaOutcome, Settings};

use super::answers::answers;
use super::sagas::{graph, sell};
use super::*;

/// One step, of whom it is asked, and what else its definition says.
fn one_step(participant: &str, more: &str) -> Arc<Graph> {
    graph(&format!(
        r#"{{"name": "pay", "version": 1, "steps": [{{"name": "charge",
            "participant": "{participant}", "compensation": "refund" {more}}}]}}"#
    ))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_after_its_step_s_own_time_out() {
    let shop = Shop::open().await;
    // The step is done at its second call, then taken back at the second call of that.
    shop.payments.nth("charge", 0, Act::Hang).nth("refund", 0, Act::Hang);
    shop.orders.always("ship", Act::Refuse);
    let saga = graph(
        r#"{"name": "sell", "version": 1, "steps": [
            {"name": "charge", "participant": "payments", "compensation": "refund",
             "timeout_millis": 200},
            {"name": "ship", "participant": "orders", "compensation": false}]}"#,
    );
    let began = Instant::now();
    let outcome = shop.coordinator().saga(saga).execute().await.unwrap();
    let took = began.elapsed();
    assert!(matches!(outcome, SagaOutcome::Compensated(_)), "{outcome:?}");
    assert_eq!(shop.payments.step(outcome.id(), "charge"), Some(StepStanding::Compensated));
    assert!(took >= 2 * Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(Settings::default().call_timeout > Duration::from_secs(1), "which would be no other");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_may_take_longer_than_others_is_waited_for() {
    let shop = Shop::open().await;
    let late = 4 * Settings::default().call_timeout;
    shop.payments.nth("charge", 0, Act::LateAnswer(late));
    let saga = one_step("payments", r#", "timeout_millis": 60000"#);
    let run = shop.coordinator().saga(saga).deadline(3 * late).execute().await;
    assert!(matches!(run, Ok(SagaOutcome::Completed(_))), "{run:?}");
    assert_eq!(shop.payments.count("charge"), 1, "its answer was not waited for");
}

/// When a participant was asked that is always still at it.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(Operation, Instant)>>>);

impl Asked {
    /// Registers that participant.
    async fn register(
        coordinator: &Coordinator,
        name: &str,
        retry_after: Option<Duration>,
    ) -> Self {
        let asked = Self::default();
        let note = asked.clone();
        let still_at_it = answers(move |call| {
            note.0.lock().unwrap().push((call.operation, Instant::now()));
            Answer::pending(retry_after)
        });
        coordinator.register(name, still_at_it, Default::default()).await.unwrap();
        asked
    }

    /// The first pauses between the calls of an operation, once there are so many.
    async fn pauses(&self, operation: Operation, many: usize) -> Vec<Duration> {
        loop {
            let asked = self.0.lock().unwrap().clone();
            let of = |&(other, at): &(Operation, Instant)| (other == operation).then_some(at);
            let times: Vec<_> = asked.iter().filter_map(of).take(many + 1).collect();
            if times.len() > many {
                return times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Each pause is between half and the whole of the grown one, give or take what whole milliseconds
/// cut off and timers round up.
#[track_caller]
fn assert_grow_like(pauses: &[Duration], whole_millis: &[u64]) {
    assert_eq!(pauses.len(), whole_millis.len());
    for (&pause, &whole) in pauses.iter().zip(whole_millis) {
        let whole = Duration::from_millis(whole);
        let (rounded, late) = (Duration::from_millis(1), Duration::from_millis(2));
        let fits = whole / 2 <= pause + rounded && pause <= whole + late;
        assert!(fits, "{pauses:?}, not {whole_millis:?}");
    }
}

/// The pauses between the calls of a step that is never done, and between those that take it back.
async fn assert_pauses(more: &str, whole_millis: &[u64]) {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    // Asked directly: a scripted one's calls travel for a while, which would count.
    let slow = Asked::register(&coordinator, "slow", None).await;
    let id = coordinator.saga(one_step("slow", more)).submit().await.unwrap();
    assert_grow_like(&slow.pauses(Action, whole_millis.len()).await, whole_millis);
    coordinator.abort(id, "waited enough").await.unwrap();
    assert_grow_like(&slow.pauses(Compensation, whole_millis.len()).await, whole_millis);
}

#[tokio::test(start_paused = true)]
async fn a_step_s_own_pauses_go_before_the_coordinator_s() {
    assert_pauses("", &[50, 100, 200, 400, 800]).await;
    let short = r#", "retry": {"first_millis": 10, "factor": 1.5, "cap_millis": 20}"#;
    assert_pauses(short, &[10, 15, 20, 20, 20]).await;
    // So far apart that neither another factor nor another cap looks like these.
    let steep = r#", "retry": {"first_millis": 10, "factor": 4, "cap_millis": 300}"#;
    assert_pauses(steep, &[10, 40, 160, 300, 300]).await;
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_under_the_floor() {
    let floor = Backoff::FLOOR.as_millis() as u64;
    assert_pauses(r#", "retry": {"first_millis": 1, "cap_millis": 1}"#, &[floor; 50]).await;
    // Nor is it where the participant asks for none.
    let shop = Shop::open().await;
    let eager = Asked::register(&shop.coordinator(), "eager", Some(Duration::ZERO)).await;
    shop.coordinator().saga(one_step("eager", "")).submit().await.unwrap();
    assert_grow_like(&eager.pauses(Action, 50).await, &[floor; 50]);
}

/// Waits until this is stuck and was asked in vain just now: it has a pause of many seconds before
/// it, and nothing is on its way.
async fn asked_in_vain(shop: &Shop, id: TransactionId, operation: &str) {
    while !shop.snapshot(id).await.stuck {
        sleep(Duration::from_secs(1)).await;
    }
    let before = shop.orders.count(operation);
    while shop.orders.count(operation) == before {
        sleep(Duration::from_millis(1)).await;
    }
    // The answer travels for less.
    sleep(Duration::from_millis(10)).await;
}

/// From now on all goes well; tells how it ended once an operator has had it asked again.
async fn asked_again_by_a_person(shop: &Shop, id: TransactionId) -> AnyOutcome {
    shop.orders.behave();
    shop.coordinator().retry(id).await.unwrap();
    // Far shorter than any pause by now, and longer than a call travels.
    let soon = Duration::from_millis(20);
    shop.coordinator().outcome(id, soon).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_person_may_have_a_stuck_compensation_asked_again_at_once() {
    let shop = Shop::open().await;
    shop.payments.always("charge", Act::Refuse);
    shop.orders.always("put-back", Act::Pending);
    let id = sell(&shop.coordinator()).submit().await.unwrap();
    asked_in_vain(&shop, id, "put-back").await;
    let outcome = asked_again_by_a_person(&shop, id).await;
    assert!(outcome.is_settled(), "{outcome:?}");
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
}

#[tokio::test(start_paused = true)]
async fn a_person_may_have_a_stuck_step_after_the_pivot_asked_again_at_once() {
    let shop = Shop::open().await;
    shop.orders.always("confirm", Act::Pending);
    let id = sell(&shop.coordinator()).submit().await.unwrap();
    asked_in_vain(&shop, id, "confirm").await;
    let outcome = asked_again_by_a_person(&shop, id).await;
    assert!(outcome.is_settled(), "{outcome:?}");
    assert_eq!(shop.orders.step(id, "confirm"), Some(StepStanding::Completed));
}
