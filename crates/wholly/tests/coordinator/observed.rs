//! What an operator sees: the meter, and who is stuck.

use std::sync::Arc;

use tokio::sync::mpsc;
use wholly::Operation::{Action, Commit, Prepare};
use wholly::test::{Act, Fault, Unsynced};
use wholly::{
    Answer, Graph, Measures, MemoryLog, ParticipantName, Pattern, Settings, State, Target,
    TargetHealth, TargetMeasures, TraceContext,
};

use super::answers::answers;
use super::*;

fn target(measures: &Measures, name: &str) -> TargetMeasures {
    let target = Target::Participant(ParticipantName::new(name).unwrap());
    measures.targets.iter().find(|measures| measures.target == target).unwrap().clone()
}

/// How many transactions began and ended in two phases: begun, committed, aborted.
fn two_phases(measures: &Measures) -> (u64, u64, u64) {
    let ended = |outcome| {
        let of = |ended: &&wholly::EndedMeasures| ended.outcome == outcome;
        measures.ended.iter().find(of).unwrap().time.count
    };
    (measures.begun[0].count, ended(State::Committed), ended(State::Aborted))
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_to_who_takes_part_and_to_who_is_told_of_the_end() {
    let trace: TraceContext =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    // Who is told of the end is told whether it is counted or not.
    for (trace, measured) in [(Some(trace), true), (None, false)] {
        let (to, mut told) = mpsc::unbounded_channel();
        let (call, mut called) = mpsc::unbounded_channel();
        let orders = answers(move |asked| {
            call.send(asked).unwrap();
            Answer::Done
        });
        let mut settings = Settings::default();
        settings.measured = measured;
        let coordinator = Coordinator::builder(MemoryLog::default())
            .settings(settings)
            .participant("orders", orders)
            .on_settled(move |settled| to.send(settled).unwrap())
            .start()
            .await
            .unwrap();
        let order = coordinator.two_phase("place order").branch("orders", "one book").unwrap();
        let order = trace.iter().fold(order, |order, trace| order.trace(trace.clone()));
        let outcome = order.execute().await.unwrap();
        let settled = within(told.recv()).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(done) if done.id == settled.id));
        assert_eq!((settled.name.as_str(), settled.pattern), ("place order", Pattern::TwoPhase));
        assert_eq!((settled.state, settled.trace.as_deref()), (State::Committed, trace.as_ref()));
        for operation in [Prepare, Commit] {
            let asked = called.try_recv().unwrap();
            assert_eq!((asked.operation, asked.trace.as_deref()), (operation, trace.as_ref()));
        }
        assert!(called.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn the_meter_counts_what_began_and_ended_and_was_asked() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    order(&coordinator).execute().await.unwrap();
    shop.payments.always(Prepare, Act::Refuse);
    order(&coordinator).execute().await.unwrap();
    let measures = coordinator.measures();
    assert_eq!(two_phases(&measures), (2, 1, 1));
    assert_eq!((measures.in_flight, measures.stuck), (0, 0));
    assert_eq!((measures.oldest_undecided, measures.oldest_unsettled), (None, None));
    assert!(measures.batch_entries.count > 0 && measures.written.syncs > 0, "{measures:?}");
    assert_eq!(measures.append_time.count, measures.batch_entries.count);
    assert!(measures.loop_lag.count > 0, "{measures:?}");

    let payments = target(&measures, "payments");
    let calls: Vec<_> = payments
        .calls
        .iter()
        .map(|calls| (calls.operation.as_str(), calls.answer, calls.time.count))
        .collect();
    let expected = [("prepare", "done", 1), ("prepare", "refused", 1), ("commit", "done", 1)];
    assert_eq!(calls, expected);
    assert_eq!((payments.calls(), payments.errors()), (3, 0));
    assert_eq!((payments.waiting, payments.in_progress), (0, 0));
    assert_eq!((payments.health, payments.last_error), (TargetHealth::Up, None));

    shop.restart().await;
    assert_eq!(two_phases(&shop.coordinator().measures()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_that_need_not_be() {
    let mut shop = Shop::closed();
    shop.harness.settings().measured = false;
    let coordinator = shop.start().await;
    order(&coordinator).execute().await.unwrap();
    shop.payments.always(Prepare, Act::LoseAnswer);
    order(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let measures = coordinator.measures();
    assert_eq!(two_phases(&measures), (0, 0, 0));
    assert_eq!((measures.in_flight, measures.oldest_unsettled), (0, None));
    let counts = [&measures.batch_entries, &measures.append_time, &measures.loop_lag];
    assert!(counts.iter().all(|seen| seen.count == 0), "{measures:?}");
    assert_eq!((measures.written.syncs, measures.written.bytes), (0, 0));
    // How a participant is does not depend on it.
    let (orders, payments) = (target(&measures, "orders"), target(&measures, "payments"));
    assert_eq!((orders.health, orders.calls()), (TargetHealth::Up, 0));
    assert_eq!((payments.health, payments.calls()), (TargetHealth::Failing, 0));
    assert!(payments.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn sagas_are_counted_by_how_they_ended() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let definition = r#"{"name": "sale", "version": 1, "steps": [
        {"name": "take", "participant": "orders", "compensation": "put-back"},
        {"name": "charge", "participant": "payments", "compensation": "refund"}]}"#;
    let sale = Arc::new(Graph::new(serde_json::from_str(definition).unwrap()).unwrap());
    coordinator.saga(sale.clone()).execute().await.unwrap();
    shop.payments.always(Action, Act::Refuse);
    coordinator.saga(sale).execute().await.unwrap();
    let measures = coordinator.measures();
    let ended = measures.ended.iter().map(|e| (e.pattern, e.outcome, e.time.count));
    assert_eq!(
        ended.collect::<Vec<_>>(),
        [
            (Pattern::TwoPhase, State::Committed, 0),
            (Pattern::TwoPhase, State::Aborted, 0),
            (Pattern::Saga, State::Completed, 1),
            (Pattern::Saga, State::Compensated, 1)
        ]
    );
    assert_eq!((measures.begun[1].pattern, measures.begun[1].count), (Pattern::Saga, 2));
    assert_eq!((measures.oldest_undecided, measures.in_flight), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_told_by_their_age() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    shop.payments.always(Commit, Act::LoseRequest);
    order(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    shop.payments.always(Prepare, Act::LoseRequest);
    order(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let measures = coordinator.measures();
    let whole_seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    assert_eq!(whole_seconds(measures.oldest_undecided), Some(10));
    assert_eq!(whole_seconds(measures.oldest_unsettled), Some(110));
    assert_eq!(measures.in_flight, 2);
    let payments = target(&measures, "payments");
    assert_eq!(payments.health, TargetHealth::Failing);
    assert!(payments.errors() > 0 && payments.last_error.is_some(), "{payments:?}");

    shop.payments.behave();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let measures = coordinator.measures();
    assert_eq!((measures.oldest_undecided, measures.oldest_unsettled), (None, None));
}

#[tokio::test(start_paused = true)]
async fn calls_in_progress_are_counted_and_end_with_their_lane() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    shop.payments.always(Prepare, Act::Hang);
    order(&coordinator).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(target(&coordinator.measures(), "payments").in_progress, 1);
    // The loop's incarnation ends and the next begins; it aborts, and payments says that it did.
    shop.harness.log().fail_append(0, Fault::Fails);
    order(&coordinator).submit().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let measures = coordinator.measures();
    assert_eq!((measures.log_failures, measures.in_flight), (1, 0));
    assert_eq!(target(&measures, "payments").in_progress, 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_stuck_is_told_once_it_is_durable_and_again_after_a_restart() {
    let mut shop = Shop::closed();
    shop.harness.settings().stuck_after_tries = 3;
    let coordinator = shop.start().await;
    let mut stuck = coordinator.stuck();
    assert!(stuck.borrow_and_update().is_empty());
    shop.payments.always(Commit, Act::LoseRequest);
    let id = order(&coordinator).submit().await.unwrap();
    stuck.changed().await.unwrap();
    let (who, since) = stuck.borrow_and_update().first_key_value().map(|(i, s)| (*i, *s)).unwrap();
    assert_eq!(who, id);
    assert_eq!(coordinator.measures().stuck, 1);

    // Whatever was not durable when it was told is lost.
    shop.harness.crash(Unsynced::Lost).await;
    let coordinator = shop.start().await;
    let mut stuck = coordinator.stuck();
    within(stuck.wait_for(|stuck| stuck.get(&id) == Some(&since))).await.unwrap();
    shop.payments.behave();
    within(stuck.wait_for(|stuck| stuck.is_empty())).await.unwrap();
    assert!(!shop.snapshot(id).await.stuck);
}
