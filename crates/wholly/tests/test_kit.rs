//! The harness finds what is wrong, and repeats itself.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use wholly::Operation::{self, Abort, Commit, Prepare};
use wholly::test::{Act, Harness, Standing, Unsynced, crash_at_every_record};
use wholly::{Answer, Call, Coordinator, Outcome, Participant, TwoPhase};

fn both(coordinator: &Coordinator) -> TwoPhase<'_> {
    coordinator.two_phase("both").branch("a", &1).unwrap().branch("b", &2).unwrap()
}

/// What went wrong, as the panic says it.
async fn panics(run: impl Future) -> String {
    let panic = AssertUnwindSafe(run).catch_unwind().await.err().expect("nothing was found");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// A participant without a barrier: a late prepare holds what nobody will ever let go.
struct NoBarrier;

impl Participant for NoBarrier {
    async fn prepare(&self, _call: Call) -> Answer {
        Answer::Done
    }
    async fn commit(&self, _call: Call) -> Answer {
        Answer::Done
    }
    async fn abort(&self, _call: Call) -> Answer {
        Answer::Done
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_prepare_that_is_accepted_after_the_abort_is_found() {
    let mut harness = Harness::new();
    harness.participant("a", NoBarrier).nth(Prepare, 0, Act::Twice(Duration::from_secs(60)));
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
            harness.participant("a", NoBarrier).nth(Prepare, 0, Act::Late(Duration::from_secs(9)));
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
    struct Slow(tokio::time::Instant, std::sync::Mutex<Vec<Duration>>);
    impl Participant for Slow {
        async fn prepare(&self, _: Call) -> Answer {
            self.1.lock().unwrap().push(self.0.elapsed());
            Answer::Done
        }
        async fn commit(&self, call: Call) -> Answer {
            self.prepare(call).await
        }
        async fn abort(&self, call: Call) -> Answer {
            self.prepare(call).await
        }
    }
    let mut harness = Harness::seeded(seed);
    let slow = Arc::new(Slow(tokio::time::Instant::now(), Default::default()));
    let scripted = harness.participant("a", slow.clone());
    scripted.nth(Prepare, 1, Act::LoseAnswer).nth(Commit, 2, Act::Hang);
    harness.stand_in("b").nth(Prepare, 3, Act::Refuse);
    let coordinator = harness.start().await.unwrap();
    let all = (0..5).map(|n| both(&coordinator).key(n).execute());
    futures_util::future::join_all(all).await;
    let coordinator = harness.restart().await.unwrap();
    both(&coordinator).key(0).execute().await.unwrap();
    both(&coordinator).key(9).execute().await.unwrap();
    harness.settle().await;
    let times = slow.1.lock().unwrap().clone();
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
        assert_eq!(coordinator.list(None, 9).await.unwrap().len(), found, "{unsynced:?}");
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
