//! The figures of a run. `wholly choose` reads them from the document: a name stays what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::arrivals::Orders;
use super::faults::{FaultKind, Happened};
use super::locks;
use super::place::{End, Placed};
use super::reader::{Finding, Manner, Reads};
use super::run::Run;
use super::verdict::{self, Collect, Verdict};
use super::work::Work;
use crate::bench::load::Latencies;

/// The figures of one regime in one weather.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Measures {
    pub(super) orders: Counts,
    pub(super) consistency: Consistency,
    pub(super) availability: Availability,
    pub(super) locks: Locks,
    pub(super) complexity: Complexity,
    pub(super) cost: CostFigures,
}

/// The number of orders by their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) submitted: usize,
    pub(super) accepted: usize,
    pub(super) finished: usize,
    pub(super) confirmed: usize,
    /// Taken back, for whatever reason.
    pub(super) cancelled: usize,
    pub(super) lost_by_deadline: usize,
    /// Taken back because the coordinator was killed before it had decided.
    pub(super) lost_by_restart: usize,
    /// Given up without knowing what was done.
    pub(super) given_up: usize,
    pub(super) refused_for_stock_that_came_back: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Consistency {
    /// Orders that are not done everywhere and not undone everywhere at the end, or not as their
    /// client was told.
    pub(super) orders_with_disagreeing_books: usize,
    /// Items of which there is more or less than the orders leave.
    pub(super) items_with_wrong_stock: usize,
    pub(super) reader_plain: ReaderFigures,
    pub(super) reader_by_rule: ReaderFigures,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct ReaderFigures {
    pub(super) reads: u64,
    pub(super) intermediate: u64,
    /// Orders that were seen halfway.
    pub(super) orders_seen: usize,
    /// The longest time from the first to the last time that an order was seen halfway.
    pub(super) longest_ms: f64,
    pub(super) unanswered: u64,
    pub(super) given_up: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Availability {
    pub(super) outage_short: Outage,
    pub(super) outage_long: Outage,
    /// From the end of the last fault until the last order that was submitted before it had finished.
    pub(super) settled_after_ms: f64,
    /// Orders that did not finish at all.
    pub(super) never_finished: usize,
}

/// The orders that were submitted while a participant was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outage {
    pub(super) submitted: usize,
    pub(super) accepted: usize,
    /// Of these the orders that finished while it was still down.
    pub(super) finished_during: usize,
    /// Of those the orders that were confirmed, and not refused.
    pub(super) confirmed_during: usize,
    /// Of all these the orders that were confirmed in the end.
    pub(super) confirmed_in_the_end: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Locks {
    pub(super) held_ms: Quantiles,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Complexity {
    pub(super) messages_per_order: f64,
    pub(super) log_writes_per_order: f64,
    pub(super) syncs_per_order: f64,
    pub(super) operations_to_write: u32,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct CostFigures {
    pub(super) orders_per_second: f64,
    pub(super) latency_ms: Quantiles,
}

/// A duration as whole milliseconds.
pub(super) fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(time.as_millis())
}

fn as_millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

impl Quantiles {
    /// Of latencies that are sorted.
    fn of(latencies: &Latencies) -> Self {
        let millis = |part| latencies.quantile(part) / 1_000.0;
        Self { p50: millis(0.5), p99: millis(0.99) }
    }
}

impl Measures {
    pub(super) fn of(run: &Run) -> Self {
        let (orders, faults) = (&run.orders, &run.faults);
        let outage = |kind| faults.iter().find(|fault| fault.kind == kind);
        let outage = |kind| outage(kind).map(|fault| Outage::of(orders, fault)).unwrap_or_default();
        let (settled_after_ms, never_finished) = settled(orders, faults);
        let refused_for_stock_that_came_back = locks::refused_for_stock_that_came_back(&run.books);
        Self {
            orders: Counts { refused_for_stock_that_came_back, ..Counts::of(orders) },
            consistency: Consistency::of(run),
            availability: Availability {
                outage_short: outage(FaultKind::ParticipantDownShort),
                outage_long: outage(FaultKind::ParticipantDownLong),
                settled_after_ms,
                never_finished,
            },
            locks: Locks { held_ms: Quantiles::of(&locks::held(&run.books)) },
            complexity: Complexity::of(run.work, orders.len(), run.regime.operations_to_write()),
            cost: CostFigures::of(run),
        }
    }
}

impl Counts {
    fn of(orders: &Orders) -> Self {
        let count = |is: &dyn Fn(&Placed) -> bool| orders.values().filter(|one| is(one)).count();
        let ended = |ends: &'static [End]| count(&|one| one.end.is_some_and(|e| ends.contains(&e)));
        Self {
            submitted: orders.len(),
            accepted: count(&|one| one.accepted.is_some()),
            finished: count(&|one| one.finished.is_some()),
            confirmed: ended(&[End::Confirmed]),
            cancelled: ended(&[End::Cancelled, End::PastDeadline, End::Restarted]),
            lost_by_deadline: ended(&[End::PastDeadline]),
            lost_by_restart: ended(&[End::Restarted]),
            given_up: ended(&[End::GivenUp]),
            refused_for_stock_that_came_back: 0,
        }
    }
}

impl Consistency {
    fn of(run: &Run) -> Self {
        let figures = |manner, reads| ReaderFigures::of(&run.seen.findings, manner, reads);
        let totals = run.seen.totals;
        Self {
            orders_with_disagreeing_books: disagreeing(&run.books.orders, &run.orders),
            items_with_wrong_stock: run.books.wrong_stock(&run.plan.stock),
            reader_plain: figures(Manner::Plain, totals.plain),
            reader_by_rule: figures(Manner::ByRule, totals.by_rule),
        }
    }
}

/// The orders whose books do not agree with each other, or with what their client was told.
fn disagreeing(books: &BTreeMap<String, Collect>, orders: &Orders) -> usize {
    let disagrees = |(order, books): &(&String, &Collect)| {
        let told = orders.get(*order).and_then(|placed| placed.end);
        !verdict::agrees(**books) || !is_as_told(**books, told)
    };
    books.iter().filter(disagrees).count()
}

/// True if the books of an order are as its client was told, where it was told anything.
fn is_as_told(books: Collect, told: Option<End>) -> bool {
    let is_done = verdict::plain(books) == Some(Verdict::Done);
    match told {
        Some(End::Confirmed) => is_done,
        Some(End::Cancelled | End::PastDeadline | End::Restarted) => !is_done,
        Some(End::GivenUp) | None => true,
    }
}

impl ReaderFigures {
    fn of(findings: &[Finding], manner: Manner, reads: Reads) -> Self {
        let mut seen = BTreeMap::<&str, (u64, u64)>::new();
        for finding in findings.iter().filter(|finding| finding.reader == manner) {
            let at = finding.at_micros;
            let (first, last) = seen.entry(&finding.order).or_insert((at, at));
            (*first, *last) = (at.min(*first), at.max(*last));
        }
        let longest = seen.values().map(|(first, last)| last - first).max().unwrap_or_default();
        Self {
            reads: reads.reads,
            intermediate: reads.intermediate,
            orders_seen: seen.len(),
            longest_ms: as_millis(Duration::from_micros(longest)),
            unanswered: reads.unanswered,
            given_up: reads.given_up,
        }
    }
}

impl Outage {
    fn of(orders: &Orders, fault: &Happened) -> Self {
        let during = |at: Duration| (fault.began..fault.ended).contains(&at);
        let mut outage = Self::default();
        for placed in orders.values().filter(|placed| during(placed.submitted)) {
            outage.submitted += 1;
            outage.accepted += usize::from(placed.accepted.is_some_and(during));
            let (has_finished, is_confirmed) =
                (placed.finished.is_some_and(during), placed.end == Some(End::Confirmed));
            outage.finished_during += usize::from(has_finished);
            outage.confirmed_during += usize::from(has_finished && is_confirmed);
            outage.confirmed_in_the_end += usize::from(is_confirmed);
        }
        outage
    }
}

/// The time from the end of the last fault (or, without one, from the last arrival) until the last
/// order had finished that was submitted before; and the orders that never did.
fn settled(orders: &Orders, faults: &[Happened]) -> (f64, usize) {
    let last_arrival = orders.values().map(|placed| placed.submitted).max();
    let from = faults.iter().map(|fault| fault.ended).max().or(last_arrival).unwrap_or_default();
    let before = orders.values().filter(|placed| placed.submitted <= from);
    let last = before.filter_map(|placed| placed.finished).max().unwrap_or_default();
    let never = orders.values().filter(|placed| placed.finished.is_none()).count();
    (as_millis(last.saturating_sub(from)), never)
}

impl Complexity {
    fn of(work: Work, orders: usize, operations_to_write: u32) -> Self {
        let by_order = |count: u64| count as f64 / orders.max(1) as f64;
        Self {
            // An order's own submission does not pass the network.
            messages_per_order: by_order(work.messages) + 1.0,
            log_writes_per_order: by_order(work.log_writes),
            syncs_per_order: by_order(work.syncs),
            operations_to_write,
        }
    }
}

impl CostFigures {
    /// In fair weather of the closed loop, in bad weather of the orders that arrived.
    fn of(run: &Run) -> Self {
        if let Some(cost) = &run.cost {
            let latency_ms = Quantiles::of(&cost.latencies);
            return Self { orders_per_second: cost.orders_per_second, latency_ms };
        }
        let mut latencies = Latencies::default();
        let mut last = run.plan.arrives_until();
        for placed in run.orders.values() {
            if let Some(finished) = placed.finished {
                latencies.push(finished.saturating_sub(placed.submitted));
                last = last.max(finished);
            }
        }
        let latencies = latencies.sorted();
        Self {
            orders_per_second: latencies.count() as f64 / last.as_secs_f64().max(0.001),
            latency_ms: Quantiles::of(&latencies),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::standing::Standing;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn placed(submitted: u64, accepted: Option<u64>, finished: Option<u64>, end: End) -> Placed {
        Placed {
            submitted: ms(submitted),
            accepted: accepted.map(ms),
            finished: finished.map(ms),
            end: Some(end),
        }
    }

    fn orders() -> Orders {
        let all = [
            ("before", placed(90, Some(91), Some(150), End::Confirmed)),
            ("waits", placed(110, Some(111), Some(250), End::Confirmed)),
            ("refused", placed(120, Some(121), Some(130), End::Cancelled)),
            ("late", placed(130, Some(131), Some(400), End::PastDeadline)),
            ("unknown", placed(140, None, None, End::GivenUp)),
        ];
        all.map(|(order, placed)| (order.to_owned(), placed)).into()
    }

    #[test]
    fn an_outage_counts_the_orders_that_were_submitted_during_it() {
        let kind = FaultKind::ParticipantDownLong;
        let fault = Happened { kind, who: "payment", began: ms(100), ended: ms(200) };
        let outage = Outage::of(&orders(), &fault);
        let expected = Outage {
            submitted: 4,
            accepted: 3,
            finished_during: 1,
            confirmed_during: 0,
            confirmed_in_the_end: 1,
        };
        assert_eq!(outage, expected);
        let (settled_after, never) = settled(&orders(), &[fault]);
        assert_eq!((settled_after, never), (200.0, 1));
    }

    #[test]
    fn counts_tell_ends_apart() {
        let counts = Counts::of(&orders());
        assert_eq!((counts.submitted, counts.accepted, counts.finished), (5, 4, 4));
        assert_eq!((counts.confirmed, counts.cancelled, counts.given_up), (2, 2, 1));
        assert_eq!((counts.lost_by_deadline, counts.lost_by_restart), (1, 0));
    }

    #[test]
    fn books_that_do_not_agree_or_are_not_as_was_told_disagree() {
        use Standing::{Done, None as Nothing, Undone};
        let count = |states: [Standing; 3], end| {
            let books = [("A".to_owned(), states.map(Some))].into();
            disagreeing(&books, &[("A".to_owned(), placed(0, None, None, end))].into())
        };
        assert_eq!(count([Done; 3], End::Confirmed), 0);
        assert_eq!(count([Undone, Nothing, Nothing], End::Cancelled), 0);
        assert_eq!(count([Undone, Nothing, Nothing], End::Confirmed), 1);
        assert_eq!(count([Done; 3], End::Cancelled), 1);
        assert_eq!(count([Done; 3], End::GivenUp), 0);
        assert_eq!(count([Undone, Done, Nothing], End::GivenUp), 1);
    }

    #[test]
    fn an_order_is_seen_from_the_first_to_the_last_finding_of_one_reader() {
        let finding = |order: &str, reader, at_micros| Finding {
            order: order.to_owned(),
            reader,
            states: [Some(Standing::Pending), None, None],
            at_micros,
        };
        let findings = [
            finding("A", Manner::Plain, 1_000),
            finding("B", Manner::Plain, 2_000),
            finding("A", Manner::ByRule, 9_000),
            finding("A", Manner::Plain, 6_000),
        ];
        let figures = ReaderFigures::of(&findings, Manner::Plain, Reads::default());
        assert_eq!((figures.orders_seen, figures.longest_ms), (2, 5.0));
    }
}
