//! The harness finds what is wrong, and repeats itself.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

#[path = "common/answers.rs"]
mod answers;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use wholly::Operation::{self, Abort, Action, Commit, Compensation, Prepare};
use wholly::test::{
    Act, Harness, Scripted, Standing, StepStanding, Unsynced, crash_at_every_record,
    crash_once_at_every_record,
};
use wholly::{
    Answer, Call, Coordinator, Endpoint, Graph, LogId, Outcome, Participant, Payload, Resolution,
    StepName, Submission, Timestamp, TransactionId, TwoPhase,
};
use wholly_core::BranchName;

use answers::answers;

fn both(coordinator: &Coordinator) -> Submission<TwoPhase> {
    coordinator.two_phase("both").branch("a", &1).unwrap().branch("b", &2).unwrap()
}

/// What went wrong, as the panic says it.
async fn panics(run: impl Future) -> String {
    let panic = AssertUnwindSafe(run).catch_unwind().await.err().expect("nothing was found");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// A participant without a barrier: a late prepare holds what nobody will ever let go.
fn only_says_so() -> impl Participant {
    answers(|_| Answer::Done)
}

#[tokio::test(start_paused = true)]
async fn a_late_prepare_that_is_accepted_after_the_abort_is_found() {
    let mut harness = Harness::new();
    harness.participant("a", only_says_so()).nth(Prepare, 0, Act::Twice(Duration::from_secs(60)));
    harness.stand_in("b").nth(Prepare, 0, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let id = both(&coordinator).execute().await.unwrap().id();
    harness.assert_all_or_nothing(id).await;
    harness.settle().await;
    let found = panics(harness.assert_all_or_nothing(id)).await;
    assert!(found.contains("a stands at Some(Prepared)"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn one_committed_and_another_aborted_is_found() {
    let mut harness = Harness::new();
    harness.stand_in("a").nth(Commit, 0, Act::Heuristic);
    harness.stand_in("b");
    let coordinator = harness.start().await.unwrap();
    let id = both(&coordinator).patience(Duration::from_secs(1)).execute().await.unwrap().id();
    let a = wholly::ParticipantName::new("a").unwrap();
    let found = panics(harness.assert_all_or_nothing(id)).await;
    assert!(found.contains("has not settled"), "{found}");
    coordinator.resolve(id, &a, wholly::Decision::Committed, "by hand").await.unwrap();
    let found = panics(harness.assert_all_or_nothing(id)).await;
    assert!(found.contains("a stands at Some(Aborted)"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn what_never_settles_is_found() {
    let mut harness = Harness::new();
    harness.stand_in("a").always(Commit, Act::Hang);
    harness.stand_in("b");
    both(&harness.start().await.unwrap()).submit().await.unwrap();
    let found = panics(harness.settle()).await;
    assert!(found.contains("not settled"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_record_finds_what_only_a_crash_shows() {
    let found = panics(crash_at_every_record(
        |harness| {
            harness.participant("a", only_says_so()).nth(
                Prepare,
                0,
                Act::Late(Duration::from_secs(9)),
            );
            harness.stand_in("b");
        },
        async |coordinator, ()| _ = both(coordinator).execute().await.unwrap(),
        async |_, ()| {},
    ))
    .await;
    assert!(found.contains("a stands at Some(Prepared)"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn every_append_is_crashed_at_before_and_after_it() {
    let (scenarios, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    let decided = AtomicU32::new(0);
    let crashes = crash_at_every_record(
        |harness| (harness.stand_in("a"), harness.stand_in("b")),
        async |coordinator, _| {
            scenarios.fetch_add(1, Ordering::Relaxed);
            both(coordinator).execute().await.unwrap();
            ended.fetch_add(1, Ordering::Relaxed);
        },
        async |_, (a, b)| {
            let committed = |id| a.standing(id) == Some(Standing::Committed);
            let any = b.transactions().into_iter().any(committed);
            decided.fetch_add(u32::from(any), Ordering::Relaxed);
        },
    )
    .await;
    let scenarios = scenarios.into_inner();
    // The crashes, and the run without one.
    assert_eq!(scenarios as usize, crashes + 1);
    // started, committed, settled: each before and after.
    assert!(crashes >= 6, "{crashes}");
    // Those that crashed at the first two never ended, and some committed nevertheless.
    let (ended, decided) = (ended.into_inner(), decided.into_inner());
    assert!(0 < ended && ended < decided && decided < scenarios, "{ended} {decided} {scenarios}");
}

/// Who received what, and when, as far as it does not depend on when the test ran.
async fn trace(seed: u64) -> Vec<(Operation, Answer, Duration)> {
    let mut harness = Harness::seeded(seed);
    let began = tokio::time::Instant::now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    let notes_when = answers(move |_| {
        noted.lock().unwrap().push(began.elapsed());
        Answer::Done
    });
    let scripted = harness.participant("a", notes_when);
    scripted.nth(Prepare, 1, Act::LoseAnswer).nth(Commit, 2, Act::Hang);
    harness.stand_in("b").nth(Prepare, 3, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let all = (0..5).map(|n| both(&coordinator).key(n).execute());
    futures_util::future::join_all(all).await;
    let coordinator = harness.restart().await.unwrap();
    both(&coordinator).key(0).execute().await.unwrap();
    both(&coordinator).key(9).execute().await.unwrap();
    harness.settle().await;
    let times = times.lock().unwrap().clone();
    let received = scripted.received();
    assert_eq!(received.len(), times.len());
    received.into_iter().zip(times).map(|(r, at)| (r.call.operation, r.answer, at)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_seed_replays_and_seeds_differ() {
    let first = trace(7).await;
    assert_eq!(first, trace(7).await);
    assert!(first.iter().any(|(operation, ..)| *operation == Abort));
    let mut others = Vec::new();
    for seed in 8..12 {
        others.push(trace(seed).await);
    }
    assert!(others.iter().any(|other| *other != first));
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_nothing_is_decided_and_what_has_left_arrives() {
    let mut harness = Harness::new();
    let a = harness.stand_in("a");
    let b = harness.stand_in("b");
    a.nth(Prepare, 0, Act::Late(Duration::from_secs(1)));
    let coordinator = harness.start().await.unwrap();
    let id = both(&coordinator).submit().await.unwrap();
    // The call to b has arrived, and the one to a is on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    harness.crash(Unsynced::Kept).await;
    assert_eq!((a.standing(id), b.standing(id)), (None, Some(Standing::Prepared)));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(
        (a.standing(id), b.standing(id)),
        (Some(Standing::Prepared), Some(Standing::Prepared))
    );
    assert_eq!((b.count(Commit), b.count(Abort)), (0, 0));
    assert!(both(&coordinator).execute().await.is_err());
    harness.start().await.unwrap();
    harness.settle().await;
    harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn an_append_under_way_is_kept_or_lost() {
    for (unsynced, found) in [(Unsynced::Kept, 1), (Unsynced::Lost, 0)] {
        let mut harness = Harness::new();
        harness.stand_in("a");
        harness.stand_in("b");
        let coordinator = harness.start().await.unwrap();
        // Long enough for the append to begin, and too short for it to end.
        let brief = Duration::from_micros(500);
        assert!(tokio::time::timeout(brief, both(&coordinator).submit()).await.is_err());
        harness.crash(unsynced).await;
        let coordinator = harness.start().await.unwrap();
        assert_eq!(
            coordinator.list(&wholly::Filter::default(), None, 9).await.unwrap().ids().len(),
            found,
            "{unsynced:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_vote_that_was_scripted_is_repeated() {
    for (act, vote) in
        [(Act::Refuse, Answer::refused("scripted")), (Act::ReadOnly, Answer::ReadOnly)]
    {
        let mut harness = Harness::new();
        let a = harness.stand_in("a");
        harness.stand_in("b");
        a.nth(Prepare, 0, act).nth(Prepare, 0, Act::LoseAnswer);
        let coordinator = harness.start().await.unwrap();
        let outcome = both(&coordinator).execute().await.unwrap();
        assert!(!matches!(outcome, Outcome::Unsettled(_)));
        let votes: Vec<_> = a.received().into_iter().take(2).map(|r| r.answer).collect();
        assert_eq!(votes, [vote.clone(), vote]);
        harness.assert_all_or_nothing(outcome.id()).await;
    }
}

fn saga() -> TransactionId {
    TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1))
}

/// A call for the step `hold`, under its own name.
fn own(operation: Operation, name: &str) -> Call {
    let call = Call::new(saga(), "hold".parse().unwrap(), operation, Payload::null());
    Call { operation_name: Some(name.parse().unwrap()), ..call }
}

async fn reserve(stock: &Scripted) -> Answer {
    stock.call(own(Action, "reserve")).await
}

async fn release(stock: &Scripted) -> Answer {
    stock.call(own(Compensation, "release")).await
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused { .. })
}

#[tokio::test(start_paused = true)]
async fn the_stand_in_keeps_a_sagas_barrier() {
    let stock = Harness::new().stand_in("stock");
    assert_eq!(stock.step(saga(), "hold"), None);
    for _ in 0..2 {
        assert_eq!(reserve(&stock).await, Answer::Done);
        assert_eq!(stock.step(saga(), "hold"), Some(StepStanding::Completed));
    }
    // The first answer is repeated, although the action has expired since.
    let late = Call { expires: Some(Timestamp::from_millis(1)), ..own(Action, "reserve") };
    assert_eq!(stock.call(late).await, Answer::Done);
    for _ in 0..2 {
        assert_eq!(release(&stock).await, Answer::Done);
        assert!(is_refused(&reserve(&stock).await));
        assert_eq!(stock.step(saga(), "hold"), Some(StepStanding::Compensated));
    }
    // Another step of the same saga is another row.
    let other = Call { branch: BranchName::new("hold-2").unwrap(), ..own(Action, "reserve") };
    assert_eq!(stock.call(other).await, Answer::Done);
    assert_eq!(stock.step(saga(), "hold-2"), Some(StepStanding::Completed));
    assert_eq!(stock.transactions(), [saga()]);
    assert_eq!(stock.standing(saga()), None);
}

#[tokio::test(start_paused = true)]
async fn the_stand_in_refuses_an_action_that_comes_too_late() {
    let mut harness = Harness::new();
    let compensated = harness.stand_in("a");
    for _ in 0..2 {
        assert_eq!(release(&compensated).await, Answer::Done);
        assert!(is_refused(&reserve(&compensated).await));
        assert_eq!(compensated.step(saga(), "hold"), Some(StepStanding::Empty));
    }
    let expired = harness.stand_in("b");
    let late = Call { expires: Some(Timestamp::from_millis(1)), ..own(Action, "reserve") };
    assert!(is_refused(&expired.call(late).await));
    assert!(is_refused(&reserve(&expired).await), "the refusal was not remembered");
    assert_eq!(release(&expired).await, Answer::Done);
    assert_eq!(expired.step(saga(), "hold"), Some(StepStanding::Refused));
}

#[tokio::test(start_paused = true)]
async fn an_action_done_after_its_compensation_is_found() {
    let stock = Harness::new().participant("stock", only_says_so());
    stock.nth("reserve", 0, Act::Twice(Duration::from_secs(60)));
    assert_eq!(reserve(&stock).await, Answer::Done);
    assert_eq!(release(&stock).await, Answer::Done);
    assert_eq!(stock.step(saga(), "hold"), Some(StepStanding::Compensated));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(stock.step(saga(), "hold"), Some(StepStanding::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_script_knows_a_sagas_operations_by_their_names() {
    let stock = Harness::new().stand_in("stock");
    stock.nth("reserve", 1, Act::Pending).nth(Action, 2, Act::LoseAnswer);
    stock.always("release", Act::Pending);
    let pending = Answer::pending(None);
    assert_eq!(reserve(&stock).await, Answer::Done);
    assert_eq!(reserve(&stock).await, pending);
    assert!(matches!(reserve(&stock).await, Answer::Unknown { .. }));
    assert_eq!(release(&stock).await, pending);
    assert_eq!(stock.call(own(Compensation, "give-back")).await, Answer::Done);
    assert_eq!((stock.count("reserve"), stock.count(Action)), (3, 3));
    assert_eq!((stock.count("release"), stock.count(Compensation)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_scripted_is_repeated_and_not_undone() {
    let mut harness = Harness::new();
    let refuses = harness.stand_in("a");
    refuses.nth("reserve", 0, Act::Refuse).nth("release", 0, Act::Refuse);
    for _ in 0..2 {
        assert_eq!(reserve(&refuses).await, Answer::refused("scripted"));
    }
    assert_eq!(release(&refuses).await, Answer::refused("scripted"));
    assert_eq!(release(&refuses).await, Answer::Done);
    assert_eq!(refuses.step(saga(), "hold"), Some(StepStanding::Refused));
    // What is done already stays so, and there is no read-only action and no other way.
    let done = harness.stand_in("b");
    done.nth("reserve", 0, Act::ReadOnly).nth("reserve", 1, Act::Refuse);
    done.always("release", Act::Heuristic);
    assert_eq!(reserve(&done).await, Answer::Done);
    assert_eq!(reserve(&done).await, Answer::Done);
    assert_eq!(release(&done).await, Answer::Done);
    assert_eq!(done.step(saga(), "hold"), Some(StepStanding::Compensated));
}

#[tokio::test(start_paused = true)]
async fn an_output_that_was_scripted_comes_with_every_done() {
    let stock = Harness::new().stand_in("stock");
    stock.output("hold", &["shelf 7"]).nth("reserve", 0, Act::LoseAnswer);
    let output = Payload::of(&["shelf 7"]).unwrap();
    assert!(matches!(reserve(&stock).await, Answer::Unknown { .. }));
    assert_eq!(reserve(&stock).await, Answer::DoneWith { output });
    assert_eq!(stock.step(saga(), "hold"), Some(StepStanding::Completed));
    assert_eq!(release(&stock).await, Answer::Done);
    assert!(is_refused(&reserve(&stock).await));
    let other = Call { branch: BranchName::new("other").unwrap(), ..own(Action, "reserve") };
    assert_eq!(stock.call(other).await, Answer::Done);
}

/// Two steps, and no way to do without the compensation of either.
fn two_steps() -> Arc<Graph> {
    let definition = r#"{"name": "both", "version": 1, "steps": [
        {"name": "hold", "participant": "a", "compensation": "let-go"},
        {"name": "pay", "participant": "b", "compensation": "pay-back"}]}"#;
    Arc::new(Graph::new(serde_json::from_str(definition).unwrap()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_late_action_that_is_accepted_after_its_compensation_is_found() {
    let mut harness = Harness::new();
    harness.participant("a", only_says_so()).nth("hold", 0, Act::Twice(Duration::from_secs(60)));
    harness.stand_in("b").nth("pay", 0, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let id = coordinator.saga(two_steps()).execute().await.unwrap().id();
    harness.assert_all_or_nothing(id).await;
    harness.settle().await;
    let found = panics(harness.assert_all_or_nothing(id)).await;
    let expected = "the step hold is Compensated, and a stands at Some(Completed)";
    assert!(found.contains(expected), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_resolved_and_is_not_so_is_found() {
    for (act, resolution, expected) in [
        // It was done, and its answer never came.
        (Act::LoseAnswer, Resolution::Compensated, "pay is Compensated, and b stands at Some(Comp"),
        (
            Act::LoseRequest,
            Resolution::Completed(Payload::null()),
            "is Completed, and b stands at None",
        ),
        // It is still at it, and has done nothing.
        (Act::Pending, Resolution::Compensated, "is Compensated, and b stands at None"),
    ] {
        let mut harness = Harness::new();
        harness.stand_in("a");
        harness.stand_in("b").always("pay", act);
        let coordinator = harness.start().await.unwrap();
        let id = coordinator.saga(two_steps()).submit().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = panics(harness.assert_all_or_nothing(id)).await;
        assert!(found.contains("has not settled"), "{found}");
        let pay = StepName::new("pay").unwrap();
        coordinator.resolve(id, pay, resolution, "by hand").await.unwrap();
        harness.settle().await;
        let found = panics(harness.assert_all_or_nothing(id)).await;
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_for_a_saga_that_is_not_in_the_log_is_found() {
    let mut harness = Harness::new();
    let stock = harness.stand_in("stock");
    harness.start().await.unwrap();
    reserve(&stock).await;
    let found = panics(harness.assert_all_or_nothing_everywhere()).await;
    assert!(found.contains("not in the log, and stock was asked for hold"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_crashed_at_every_record_and_once_more() {
    let crashes = async |twice: bool| {
        let (completed, compensated) = (AtomicU32::new(0), AtomicU32::new(0));
        let set_up = |harness: &mut Harness| {
            harness.stand_in("a").nth("hold", 0, Act::LoseAnswer);
            let b = harness.stand_in("b");
            b.nth("pay", 0, Act::Refuse).nth("pay-back", 0, Act::LoseAnswer);
        };
        let scenario = async |coordinator: &Coordinator, (): &()| {
            coordinator.saga(two_steps()).execute().await.unwrap();
        };
        let check = async |harness: &Harness, (): &()| {
            for id in
                harness.coordinator().list(&wholly::Filter::default(), None, 9).await.unwrap().ids()
            {
                let state = harness.coordinator().get(id).await.unwrap().unwrap().state;
                let count =
                    if state == Some(wholly::State::Completed) { &completed } else { &compensated };
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let crashes = match twice {
            true => crash_at_every_record(set_up, scenario, check).await,
            false => crash_once_at_every_record(set_up, scenario, check).await,
        };
        assert_eq!(completed.into_inner(), 0);
        assert!(compensated.into_inner() > 0);
        crashes
    };
    let (once, twice) = (crashes(false).await, crashes(true).await);
    // Started, turned back: each before, during and after; and the end, before and during.
    assert!(once >= 8, "{once}");
    assert!(twice > 3 * once, "{once} {twice}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_record_finds_what_only_a_crash_of_a_saga_shows() {
    let found = panics(crash_at_every_record(
        |harness| {
            harness.participant("a", only_says_so()).nth(
                "hold",
                0,
                Act::Late(Duration::from_secs(9)),
            );
            harness.stand_in("b").nth("pay", 0, Act::Refuse);
        },
        async |coordinator, ()| _ = coordinator.saga(two_steps()).execute().await.unwrap(),
        async |_, ()| {},
    ))
    .await;
    assert!(found.contains("a stands at Some(Completed)"), "{found}");
}
