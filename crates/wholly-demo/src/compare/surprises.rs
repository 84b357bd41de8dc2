//! The findings that the table of the lesson lacks: plain sentences, each only where its figures
//! are so.

use super::document::Compared;
use super::regime::Regime;
use super::table::time;

/// The sentences that hold of the figures so far.
pub(super) fn of(regimes: &[Compared]) -> Vec<String> {
    let find = |regime| regimes.iter().find(|one| one.regime == regime);
    let alone = [
        find(Regime::NoCoordination).and_then(nobody_mends),
        find(Regime::TwoPhase).and_then(false_intermediates),
        find(Regime::TwoPhase).and_then(accepts_and_waits),
    ];
    let mut surprises: Vec<_> = alone.into_iter().flatten().collect();
    let [two_phase, saga, choreography] =
        [Regime::TwoPhase, Regime::Saga, Regime::Choreography].map(find);
    if let (Some(two_phase), Some(saga)) = (two_phase, saga) {
        let pair = [
            as_many_in_the_end,
            refuses_at_once,
            kept_longer,
            came_back,
            more_to_write,
            killed_coordinator,
            same_price,
        ];
        surprises.extend(pair.into_iter().filter_map(|say| say(two_phase, saga)));
    }
    if let (Some(saga), Some(choreography)) = (saga, choreography) {
        surprises.extend(cheaper_by_events(saga, choreography));
        surprises.extend(later_by_events(saga, choreography));
    }
    surprises
}

fn nobody_mends(one: &Compared) -> Option<String> {
    let wrong = one.bad.consistency.orders_with_disagreeing_books;
    let fair = match one.fair.consistency.orders_with_disagreeing_books {
        0 => "In fair weather, in which such code is tested, all of them agree. ",
        _ => "",
    };
    let (orders, unknown) = (one.bad.orders.submitted, one.bad.orders.given_up);
    (wrong > 0).then(|| {
        format!(
            "Without coordination the books of {wrong} of {orders} orders disagree for good. {fair}\
             The clients of {unknown} orders do not know how they ended."
        )
    })
}

fn false_intermediates(one: &Compared) -> Option<String> {
    let (plain, by_rule) = (one.bad.consistency.reader_plain, one.bad.consistency.reader_by_rule);
    (plain.intermediate > 0 && by_rule.intermediate == 0).then(|| {
        format!(
            "A plain read saw two-phase halfway in {} of {} reads: reads one after the other fall \
             on both sides of a commit. By rule it was never seen so, in {} reads.",
            plain.intermediate, plain.reads, by_rule.reads
        )
    })
}

fn accepts_and_waits(one: &Compared) -> Option<String> {
    let long = one.bad.availability.outage_long;
    (long.accepted > 0 && long.finished_during == 0).then(|| {
        format!(
            "Two-phase accepted {} of the {} orders of the long outage, and finished none before it \
             was over; {} of them were confirmed then.",
            long.accepted, long.submitted, long.confirmed_in_the_end
        )
    })
}

fn as_many_in_the_end(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [waited, taken] =
        [two_phase, saga].map(|one| one.bad.availability.outage_long.confirmed_in_the_end);
    (taken > 0 && 5 * waited >= 4 * taken).then(|| {
        format!(
            "Of the orders of the long outage two-phase confirmed {waited} in the end, and the saga \
             {taken}: what a coordinator has accepted durably waits an outage out either way, as \
             long as its deadline allows."
        )
    })
}

fn refuses_at_once(_: &Compared, saga: &Compared) -> Option<String> {
    let long = saga.bad.availability.outage_long;
    (long.finished_during > 0 && long.confirmed_during == 0).then(|| {
        format!(
            "What the saga finished during the long outage, {} of {} orders, were refusals by \
             services that were up. It confirmed none: it needs the one that is down, too.",
            long.finished_during, long.submitted
        )
    })
}

fn kept_longer(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [locked, taken] = [two_phase, saga].map(|one| one.bad.locks.held_ms.p99);
    (taken > locked).then(|| {
        format!(
            "The saga is said to need no locks, yet it kept stock longer than two-phase from those \
             who wanted it: p99 {} against {}. Two-phase lets go at the deadline; a saga must first \
             hear from the service that is down.",
            time(taken),
            time(locked)
        )
    })
}

fn came_back(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [locked, taken] =
        [two_phase, saga].map(|one| one.bad.orders.refused_for_stock_that_came_back);
    (locked + taken > 0).then(|| {
        format!(
            "Of the orders that were refused for want of stock, it came back later for {locked} in \
             two-phase and for {taken} in the saga."
        )
    })
}

fn more_to_write(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [locked, taken] = [two_phase, saga].map(|one| one.fair.complexity.operations_to_write);
    let reader = saga.bad.consistency.reader_by_rule;
    (locked > taken && reader.intermediate > 0).then(|| {
        format!(
            "Two-phase, not the saga, asks more of the services' authors: {locked} operations \
             against {taken}. What a saga costs is paid by readers: {} of {} reads by rule found an \
             order halfway.",
            reader.intermediate, reader.reads
        )
    })
}

fn killed_coordinator(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [lost, kept] = [two_phase, saga].map(|one| one.bad.orders.lost_by_restart);
    (lost > 0 && kept == 0).then(|| {
        format!(
            "A killed coordinator cost two-phase {lost} orders, which were undecided and are \
             aborted; the saga went on with all of its own."
        )
    })
}

fn same_price(two_phase: &Compared, saga: &Compared) -> Option<String> {
    let [locked, taken] = [two_phase, saga].map(|one| one.fair.cost.orders_per_second);
    let ratio = taken / locked.max(0.001);
    (ratio < 1.25).then(|| {
        format!(
            "The saga is no faster in fair weather: {taken:.0} orders a second against {locked:.0} \
             in two-phase, with medians of {} and {}.",
            time(saga.fair.cost.latency_ms.p50),
            time(two_phase.fair.cost.latency_ms.p50)
        )
    })
}

fn cheaper_by_events(saga: &Compared, choreography: &Compared) -> Option<String> {
    let [led, free] = [saga, choreography].map(|one| one.fair.complexity.syncs_per_order);
    (free < led).then(|| {
        format!(
            "By events the same saga needs {free:.1} syncs an order, and {led:.1} with a \
             coordinator, which keeps a log of its own."
        )
    })
}

/// A pause of a follower that the figures do not mistake for noise.
const LATER_MILLIS: f64 = 1_000.0;

fn later_by_events(saga: &Compared, choreography: &Compared) -> Option<String> {
    let [led, free] = [saga, choreography].map(|one| one.bad.availability.settled_after_ms);
    (free > led + LATER_MILLIS).then(|| {
        format!(
            "By events the last order finished {} after the last fault, and {} with a coordinator: \
             who follows the feed of a service that was down asks again after pauses that grow, here \
             to 5 s; the coordinator of the shop to 200 ms.",
            time(free),
            time(led)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measures::Measures;
    use crate::compare::timeline::Timeline;

    fn compared(regime: Regime, change: impl FnOnce(&mut Measures)) -> Compared {
        let mut bad = Measures::default();
        change(&mut bad);
        Compared::new(
            regime,
            (Measures::default(), Timeline::default()),
            (bad, Timeline::default()),
        )
    }

    #[test]
    fn a_sentence_is_said_only_where_its_figures_are_so() {
        let says = |regimes: &[Compared], part: &str| of(regimes).iter().any(|s| s.contains(part));
        let wrong = |count| {
            [compared(Regime::NoCoordination, |bad| {
                bad.consistency.orders_with_disagreeing_books = count;
            })]
        };
        assert!(says(&wrong(3), "the books of 3 of") && !says(&wrong(0), "the books of"));

        let kept = |locked, taken| {
            [
                compared(Regime::TwoPhase, |bad| bad.locks.held_ms.p99 = locked),
                compared(Regime::Saga, |bad| bad.locks.held_ms.p99 = taken),
            ]
        };
        assert!(says(&kept(10.0, 20.0), "p99 20 ms against 10 ms"));
        assert!(!says(&kept(20.0, 10.0), "p99"));

        let late = |millis| {
            [
                compared(Regime::Saga, |bad| bad.availability.settled_after_ms = 300.0),
                compared(Regime::Choreography, |bad| {
                    bad.availability.settled_after_ms = millis;
                }),
            ]
        };
        assert!(says(&late(4_900.0), "finished 4.9 s after") && !says(&late(900.0), "finished"));

        let seen = |plain, by_rule| {
            [compared(Regime::TwoPhase, |bad| {
                bad.consistency.reader_plain.intermediate = plain;
                bad.consistency.reader_by_rule.intermediate = by_rule;
            })]
        };
        assert!(says(&seen(2, 0), "By rule it was never seen so"));
        assert!(!says(&seen(2, 1), "never seen so") && !says(&seen(0, 0), "never seen so"));
    }
}
