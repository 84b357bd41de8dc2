//! A saga in code, failed at every step in every way.

use std::iter;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use tokio::time::Instant;
use wholly_core::saga::Graph;

use super::Harness;
use super::crash::{crash_points, start};
use super::failure::{Failure, failures};
use super::harness::seed;
use super::incarnation::CrashPoint;
use super::witnessed::Witnessed;
use crate::participant::panic_message;
use crate::{Saga, SagaOutcome, Settings};

/// Runs a saga again and again, on virtual time, and fails every step in turn in every way: its
/// action, and its compensation.
///
/// | what | fails so |
/// |---|---|
/// | an action | refused at first; lost, then done; done, its answer lost, then done again; cut off where it first waits, as by a time-out, then done; each of these, then refused; a panic; lost until the deadline; done, and its answers lost until the deadline; where there is an undo: under way for so long that it arrives after it |
/// | a compensation, of what is known to be done and of what is not | lost until the saga is stuck; done, its answers lost, then done again; cut off, then done again; refused for a while; a panic |
///
/// Each of these runs is repeated with a crash of the coordinator at every record in turn, before
/// it is durable, as it becomes so, and after. Returns how many runs there were.
///
/// `make` gives each run a saga of its own, and what the check looks at: your fakes of what the
/// handlers call. Use `#[tokio::test(start_paused = true)]`. When the saga has settled, it is
/// asserted that
/// - all steps are done and none is undone; or every step that ran is undone, in reverse order of
///   the graph;
/// - no step begins before those that it comes after are done, or after its undo;
/// - nothing is asked again once the coordinator has heard that it is done, but after a crash.
///
/// Your `check` has to verify the effects: a handler that runs twice, under the same
/// [idempotency key](crate::Step::idempotency_key), is to have its effect once; an undo that is
/// given no output undoes what is there; and an action that arrives after its undo does nothing.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
///
/// use wholly::test::fail_each_step;
/// use wholly::{Saga, SagaOutcome, Step, StepError, TransactionId, step};
///
/// /// How many pieces are reserved, and for whom; 0 where they were released for good.
/// #[derive(Clone, Default)]
/// struct Stock(Arc<Mutex<HashMap<TransactionId, u32>>>);
///
/// fn sell(stock: &Stock) -> Saga<u32> {
///     let (reserved, released) = (stock.clone(), stock.clone());
///     Saga::new("sell", 1)
///         .step(
///             step("reserve", move |cx: Step<u32>| {
///                 // An entry for each transaction: done twice, or too late, it is done once.
///                 reserved.0.lock().unwrap().entry(cx.transaction).or_insert(cx.input);
///                 async { Ok(()) }
///             })
///             .undo(move |cx, _known: Option<()>| {
///                 released.0.lock().unwrap().insert(cx.transaction, 0);
///                 async { Ok(()) }
///             }),
///         )
///         .step(step("pay", async |_| Ok("receipt".to_owned())).needs_no_undo().pivot())
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let make = || {
///     let stock = Stock::default();
///     (sell(&stock), stock)
/// };
/// let runs = fail_each_step(make, &3, async |outcome, stock| {
///     let reserved: u32 = stock.0.lock().unwrap().values().sum();
///     match outcome {
///         SagaOutcome::Completed(_) => assert_eq!(reserved, 3),
///         _ => assert_eq!(reserved, 0),
///     }
/// })
/// .await;
/// assert!(runs > 100);
/// # }
/// ```
///
/// # Panics
/// When a run does not settle, or an assertion or the check fails: with the step, the way in which
/// it failed, and where the coordinator crashed.
pub async fn fail_each_step<I: Serialize, P>(
    make: impl Fn() -> (Saga<I>, P),
    input: &I,
    check: impl AsyncFn(&SagaOutcome, &P),
) -> usize {
    let seed = seed();
    let (saga, _) = make();
    let (saga, _) = saga.check().unwrap_or_else(|why| panic!("{why}"));
    let mut runs = 0;
    for failure in failures(&saga) {
        for crash in iter::once(None).chain(crash_points().map(Some)) {
            let one = run(&make, input, &check, failure.clone(), crash, seed);
            let crashed = match AssertUnwindSafe(one).catch_unwind().await {
                Ok(crashed) => crashed,
                Err(panic) => {
                    let crash = crash.map_or("no crash".to_owned(), |crash| crash.to_string());
                    eprintln!("{failure} ({crash})");
                    // The failure has been printed.
                    let why = panic_message(&*panic);
                    resume_unwind(Box::new(format!("{failure} ({crash}): {why}")));
                }
            };
            runs += 1;
            if crash.is_some() && !crashed {
                break;
            }
        }
    }
    runs
}

/// One run; returns whether the coordinator crashed.
async fn run<I: Serialize, P>(
    make: &impl Fn() -> (Saga<I>, P),
    input: &I,
    check: &impl AsyncFn(&SagaOutcome, &P),
    failure: Failure,
    crash: Option<CrashPoint>,
    seed: u64,
) -> bool {
    let mut harness = Harness::seeded(seed);
    let (saga, parts) = make();
    let (saga, code) = saga.check().unwrap_or_else(|why| panic!("{why}"));
    let saga = Arc::new(saga);
    let deadline = Instant::now() + deadline(&saga) + Duration::from_secs(1);
    let witnessed = Arc::new(Witnessed::new(Arc::new(code), failure, deadline));
    harness.code(saga.clone(), witnessed.clone());
    if let Some(crash) = crash {
        harness.plan(crash);
    }
    start(&mut harness).await;
    let incarnation = async {
        execute(&harness, &saga, input).await;
        harness.settle().await;
    };
    let crashed = harness.crashes(incarnation).await;
    if crashed {
        witnessed.next_life();
        start(&mut harness).await;
    }
    let outcome = execute(&harness, &saga, input).await;
    harness.settle().await;
    witnessed.assert_all_or_nothing(&saga, &outcome);
    witnessed.late_calls_arrive().await;
    check(&outcome, &parts).await;
    crashed
}

fn deadline(saga: &Graph) -> Duration {
    let own = saga.definition().deadline_millis;
    own.map_or(Settings::default().deadline, Duration::from_millis)
}

/// Begins the saga, or joins it where it has begun.
async fn execute<I: Serialize>(harness: &Harness, saga: &Arc<Graph>, input: &I) -> SagaOutcome {
    const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
    let saga = harness.coordinator().saga(saga.clone()).key("fail each step").input(input);
    saga.patience(PATIENCE).execute().await.unwrap_or_else(|why| panic!("{why}"))
}
