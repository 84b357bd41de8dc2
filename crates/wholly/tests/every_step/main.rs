//! Every step of a saga is failed in turn, in every way, and every compensation; and in every such
//! run the coordinator is killed before, during and after each record.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

mod graphs;
mod judge;
mod ledger;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once};
use std::time::Duration;

use wholly::test::{Harness, Scripted, Unsynced, crash_once_at_every_record};
use wholly::{Coordinator, Graph};

use graphs::{Plan, Side, input, plan, plans};
use ledger::Ledger;
use ways::{Failure, FailureBack, TRIES, Way, WayBack};

/// A saga, and what fails in it.
struct Case {
    plan: Plan,
    graph: Arc<Graph>,
    failures: Vec<Failure>,
    back: Vec<FailureBack>,
}

/// Who takes part in a run of it.
struct Parts {
    scripted: Scripted,
    ledger: Arc<Ledger>,
}

impl Case {
    fn new(plan: &Plan, failures: Vec<Failure>, back: Vec<FailureBack>) -> Self {
        let tries: Vec<(usize, u32)> = failures
            .iter()
            .filter(|f| f.way.needs_tries(plan.side(f.step)))
            .map(|f| (f.step, TRIES))
            .collect();
        Self { graph: plan.graph(&tries), plan: plan.clone(), failures, back }
    }

    fn deadline(&self) -> Duration {
        let short = self.failures.iter().any(|failure| failure.way.is_by_deadline());
        Duration::from_secs(if short { 3 } else { 120 })
    }

    fn set_up(&self, harness: &mut Harness) -> Parts {
        let name = |step: usize| self.plan.steps[step].name.clone();
        let refusals: BTreeMap<String, u32> = self
            .failures
            .iter()
            .map(|f| (name(f.step), f.way.refusals(self.plan.side(f.step))))
            .collect();
        let ledger = Arc::new(Ledger::new(refusals, self.deadline()));
        let scripted = harness.participant("p", ledger.clone());
        self.failures.iter().for_each(|f| f.way.script(&scripted, &name(f.step)));
        self.back.iter().for_each(|f| f.way.script(&scripted, &name(f.step)));
        Parts { scripted, ledger }
    }

    async fn submit(&self, coordinator: &Coordinator) {
        let saga = coordinator.saga(self.graph.clone()).deadline(self.deadline());
        saga.input(&input()).submit().await.unwrap();
    }

    /// Runs it with nothing else going wrong.
    async fn run_once(&self) {
        let mut harness = Harness::new();
        let parts = self.set_up(&mut harness);
        self.submit(&harness.start().await.unwrap()).await;
        harness.settle().await;
        harness.assert_all_or_nothing_everywhere().await;
        judge::judge(self, &parts, &harness, true).await;
    }

    /// Runs it once, and once more for each crash; returns how many runs that were.
    async fn run(&self) -> usize {
        let _names = Names(self);
        self.run_once().await;
        let crashed = crash_once_at_every_record(
            |harness| self.set_up(harness),
            async |coordinator, _| self.submit(coordinator).await,
            async |harness, parts| judge::judge(self, parts, harness, false).await,
        )
        .await;
        // The run that found no record to crash at is one, too.
        crashed + 2
    }
}

/// Says which case it was that failed.
struct Names<'a>(&'a Case);

impl Drop for Names<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Case { plan, failures, back, .. } = self.0;
            eprintln!("in the saga {:?}: {failures:?} {back:?}", plan.name);
        }
    }
}

/// Every step's action in every way, and every compensation.
fn cases(plan: &Plan) -> Vec<Case> {
    let steps = 0..plan.steps.len();
    let last = steps.clone().rfind(|&step| plan.side(step) != Side::After).unwrap();
    let turns = Failure { step: last, way: Way::RefusedAfterLostRequest };
    let forth = steps.clone().flat_map(|step| Way::ALL.map(|way| Failure { step, way }));
    let back = steps.filter(|&step| plan.can_be_undone(step));
    let back = back.flat_map(|step| WayBack::ALL.map(|way| FailureBack { step, way }));
    let forth = forth.map(|failure| Case::new(plan, vec![failure], vec![]));
    forth.chain(back.map(|failure| Case::new(plan, vec![turns], vec![failure]))).collect()
}

/// Two steps of the wide graph fail at once.
fn pairs() -> Vec<Case> {
    let plan = plan("wide");
    let ways = [Way::Refused, Way::RefusedAfterLostAnswer, Way::NotRunByDeadline, Way::Pending];
    let both = ways.into_iter().flat_map(|one| ways.map(|other| (one, other)));
    let steps = both.flat_map(|ways| [(1, 2, ways), (2, 6, ways)]);
    let case = |(step, other, ways): (usize, usize, (Way, Way))| {
        let failures = [Failure { step, way: ways.0 }, Failure { step: other, way: ways.1 }];
        Case::new(&plan, failures.into(), vec![])
    };
    steps.map(case).collect()
}

/// Keeps the panics that are asked for from filling the output, each with its backtrace.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_scripted =
                panic.payload_as_str().is_some_and(|why| why.starts_with("scripted:"));
            if !is_scripted {
                others(panic);
            }
        }));
    });
}

async fn run(what: &str, cases: Vec<Case>, at_least: usize) {
    hush();
    let mut runs = 0;
    for case in cases {
        runs += case.run().await;
    }
    println!("{what}: {runs} runs");
    assert!(runs >= at_least, "only {runs} runs");
}

macro_rules! every_step_is_failed {
    ($($test:ident: $plan:literal, at least $runs:literal runs;)*) => { $(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            run($plan, cases(&plan($plan)), $runs).await;
        }
    )* };
}

every_step_is_failed! {
    a_list: "list", at least 1_300 runs;
    a_list_with_a_pivot: "list with a pivot", at least 1_000 runs;
    a_diamond: "diamond", at least 2_100 runs;
    a_diamond_with_a_pivot: "diamond with a pivot", at least 1_600 runs;
    a_wide_one: "wide", at least 3_900 runs;
    a_wide_one_with_a_pivot_first: "wide with a pivot first", at least 2_300 runs;
    a_wide_one_with_a_pivot_last: "wide with a pivot last", at least 4_000 runs;
    a_deep_one: "deep", at least 4_700 runs;
    a_deep_one_with_a_pivot: "deep with a pivot", at least 3_100 runs;
    an_unread_list: "list, unread", at least 800 runs;
    an_unread_list_with_a_pivot: "list with a pivot, unread", at least 900 runs;
    an_unread_diamond: "diamond, unread", at least 1_200 runs;
    an_unread_deep_one_with_a_pivot: "deep with a pivot, unread", at least 2_200 runs;
}

#[tokio::test(start_paused = true)]
async fn two_steps_fail_at_once() {
    run("two at once", pairs(), 600).await;
}

/// Draws what fails, and when the coordinator crashes.
struct Draw(fastrand::Rng);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n)
    }

    fn case(&mut self) -> Case {
        let plans = plans();
        let plan = plans[self.below(plans.len())].clone();
        let steps = plan.steps.len();
        let mut failures: Vec<Failure> = Vec::new();
        for _ in 0..1 + self.below(3) {
            let failure = Failure { step: self.below(steps), way: Way::ALL[self.below(12)] };
            // What takes long has no time left where the deadline is to pass.
            let fits = |other: &Failure| {
                other.step != failure.step
                    && !(other.way.is_slow() && failure.way.is_by_deadline())
                    && !(failure.way.is_slow() && other.way.is_by_deadline())
            };
            if failures.iter().all(fits) {
                failures.push(failure);
            }
        }
        let back: BTreeSet<usize> = (0..self.below(3)).map(|_| self.below(steps)).collect();
        let way = |step| FailureBack { step, way: WayBack::ALL[self.below(10)] };
        let back = back.into_iter().map(way).collect();
        Case::new(&plan, failures, back)
    }

    /// Some while: often short, for most happens in the first milliseconds.
    fn while_(&mut self) -> Duration {
        Duration::from_micros((1 << self.below(24)) + self.below(1_000) as u64)
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_together() {
    hush();
    for seed in 0..300 {
        let mut draw = Draw(fastrand::Rng::with_seed(seed));
        let case = draw.case();
        let _names = Names(&case);
        let mut harness = Harness::seeded(seed);
        let parts = case.set_up(&mut harness);
        case.submit(&harness.start().await.unwrap()).await;
        for _ in 0..draw.below(4) {
            tokio::time::sleep(draw.while_()).await;
            harness.crash([Unsynced::Kept, Unsynced::Lost][draw.below(2)]).await;
            harness.start().await.unwrap();
        }
        harness.settle().await;
        harness.assert_all_or_nothing_everywhere().await;
        judge::judge(&case, &parts, &harness, false).await;
    }
}
