//! A crash at every record.

use super::Harness;
use super::harness::seed;
use super::incarnation::{CrashPoint, Moment};
use crate::Coordinator;

/// Runs a scenario again and again, and crashes the coordinator at every append in turn: before it
/// lands, after it landed and before anybody learns of it, and when what follows from it has just
/// left. After each crash the coordinator is started again, crashed once more at every append of
/// its recovery, and started for good. When everything has settled, every transaction must have
/// happened wholly or not at all, and `check` may assert what else must hold. Returns how many runs
/// crashed.
///
/// Each run begins with a harness of its own, of the same seed, that `set_up` fills; what it
/// returns goes to the others. `scenario` is the program in which the coordinator lives: a crash
/// drops its future where it stands. The last run, which has no append left to crash at, ends it.
///
/// # Panics
/// When a run does not settle, is not all or nothing, or the scenario or the check panics. The
/// seed and the crashes are printed.
pub async fn crash_at_every_record<P>(
    set_up: impl Fn(&mut Harness) -> P,
    scenario: impl AsyncFn(&Coordinator, &P),
    check: impl AsyncFn(&Harness, &P),
) -> usize {
    let every = crash_points().map(Some);
    crash_at(set_up, scenario, check, every).await
}

/// [Crashes a scenario at every record](crash_at_every_record) and lets it recover undisturbed: for
/// so many scenarios that a second crash in each would take too long.
///
/// # Panics
/// As [`crash_at_every_record`].
pub async fn crash_once_at_every_record<P>(
    set_up: impl Fn(&mut Harness) -> P,
    scenario: impl AsyncFn(&Coordinator, &P),
    check: impl AsyncFn(&Harness, &P),
) -> usize {
    crash_at(set_up, scenario, check, std::iter::once(None)).await
}

/// Crashes at every record, and then at each of `second` points of the recovery, until one does
/// not come.
async fn crash_at<P>(
    set_up: impl Fn(&mut Harness) -> P,
    scenario: impl AsyncFn(&Coordinator, &P),
    check: impl AsyncFn(&Harness, &P),
    second: impl Iterator<Item = Option<CrashPoint>> + Clone,
) -> usize {
    let seed = seed();
    let mut crashed_runs = 0;
    for first in crash_points() {
        for second in second.clone() {
            let mut harness = Harness::seeded(seed);
            let parts = set_up(&mut harness);
            let crashes = run(&mut harness, &parts, &scenario, first, second).await;
            harness.settle().await;
            harness.assert_all_or_nothing_everywhere().await;
            check(&harness, &parts).await;
            match crashes {
                0 => return crashed_runs,
                1 => crashed_runs += 1,
                _ => {
                    crashed_runs += 1;
                    continue;
                }
            }
            break;
        }
    }
    crashed_runs
}

/// Every append of an incarnation, at each of its moments.
pub(super) fn crash_points() -> impl Iterator<Item = CrashPoint> + Clone {
    (0..).flat_map(|append| {
        [Moment::Before, Moment::During, Moment::After].map(|moment| CrashPoint { append, moment })
    })
}

/// One run; returns how many of the crashes came.
async fn run<P>(
    harness: &mut Harness,
    parts: &P,
    scenario: &impl AsyncFn(&Coordinator, &P),
    first: CrashPoint,
    second: Option<CrashPoint>,
) -> usize {
    harness.plan(first);
    start(harness).await;
    let incarnation = async {
        scenario(harness.coordinator(), parts).await;
        harness.settle().await;
    };
    if !harness.crashes(incarnation).await {
        return 0;
    }
    if let Some(second) = second {
        harness.plan(second);
    }
    start(harness).await;
    if !harness.crashes(harness.settle()).await {
        return 1;
    }
    start(harness).await;
    2
}

pub(super) async fn start(harness: &mut Harness) {
    if let Err(why) = harness.restart().await {
        panic!("the coordinator does not start: {why}");
    }
}
