//! The laws of listing.

use std::collections::BTreeSet;

use super::super::listing::{Cursor, Filter, Labels, Page, Pattern, Query, Row, State};
use super::super::{Entry, Log, OpenLog};
use super::{append, end, id, labels, more, opened, start};
use wholly_core::{Timestamp, TransactionId};

pub(super) fn a_list_shows_what_each_is_now(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    append(&mut open, &[stands(1, 1, State::Prepared), stuck(2, 1)]);
    append(&mut open, &[stands(1, 2, State::Committed), ends(3, 1, State::Aborted)]);
    let expected = [
        row(3, State::Aborted, false, true),
        row(2, State::Init, true, false),
        row(1, State::Committed, false, false),
    ];
    for _ in 0..2 {
        assert_eq!(page(&open, Query::newest(9)).rows, expected, "a list shows what each is now");
        open = again(open, log);
    }
}

pub(super) fn a_filter_takes_what_matches_all_of_it(log: &dyn Log) {
    let mut open = opened(log);
    let saga = Labels {
        name: "ship order".parse().expect("a name"),
        pattern: Pattern::Saga,
        participants: ["orders", "carriers"].map(|name| name.parse().expect("a name")).into(),
        state: State::Running,
        stuck: false,
    };
    let begun = |n| Entry { labels: saga.clone(), ..start(n) };
    append(&mut open, &[start(1), start(2), start(3), begun(4), begun(5)]);
    append(&mut open, &[ends(1, 1, State::Committed), stands(2, 1, State::Committed), stuck(3, 1)]);
    let all = Filter::default;
    let name = |name: &str| Some(name.parse().expect("a name"));
    let at = |millis| Some(Timestamp::from_millis(millis));
    let who = |name: &str| Some(name.parse().expect("a name"));
    let cases: [(Filter, &[u64]); 16] = [
        (all(), &[5, 4, 3, 2, 1]),
        (Filter { state: Some(State::Committed), ..all() }, &[2, 1]),
        (Filter { state: Some(State::Committed), settled: Some(true), ..all() }, &[1]),
        (Filter { state: Some(State::Compensated), ..all() }, &[]),
        (Filter { settled: Some(false), ..all() }, &[5, 4, 3, 2]),
        (Filter { stuck: Some(true), ..all() }, &[3]),
        (Filter { stuck: Some(false), pattern: Some(Pattern::TwoPhase), ..all() }, &[2, 1]),
        (Filter { pattern: Some(Pattern::Saga), ..all() }, &[5, 4]),
        (Filter { name: name("ship order"), ..all() }, &[5, 4]),
        (Filter { name: name("ship"), ..all() }, &[]),
        (Filter { participant: who("orders"), ..all() }, &[5, 4, 3, 2, 1]),
        (Filter { participant: who("payments"), ..all() }, &[3, 2, 1]),
        (Filter { participant: who("payments"), state: Some(State::Running), ..all() }, &[]),
        (Filter { since: at(2), until: at(4), ..all() }, &[3, 2]),
        (Filter { since: at(4), until: at(2), ..all() }, &[]),
        (Filter { until: at(3), stuck: Some(false), settled: Some(false), ..all() }, &[2]),
    ];
    for _ in 0..2 {
        for (filter, expected) in &cases {
            for limit in [1, 2, 9] {
                let query = Query { filter: filter.clone(), ..Query::newest(limit) };
                let found: Vec<_> = pages(&open, query).into_iter().map(|row| row.id).collect();
                let expected: Vec<_> = expected.iter().map(|n| id(*n)).collect();
                assert_eq!(found, expected, "a filter takes what matches all of it: {filter:?}");
            }
        }
        open = again(open, log);
    }
}

pub(super) fn what_is_set_aside_is_stuck(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    for _ in 0..2 {
        let list = |stuck| {
            let filter = Filter { stuck, ..Filter::default() };
            let quarantined = BTreeSet::from([id(2), id(7)]);
            let rows = pages(&open, Query { filter, quarantined, ..Query::newest(9) });
            rows.into_iter().map(|row| (row.id, row.labels.stuck)).collect::<Vec<_>>()
        };
        let law = "what was quarantined is stuck";
        assert_eq!(list(None), [(id(3), false), (id(2), true), (id(1), false)], "{law}");
        assert_eq!(list(Some(true)), [(id(2), true)], "{law}");
        assert_eq!(list(Some(false)), [(id(3), false), (id(1), false)], "{law}");
        open = again(open, log);
    }
}

pub(super) fn pages_stay_right_while_transactions_come_and_change(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &(1..=6).map(start).collect::<Vec<_>>());
    let query = |after| Query { after, ..Query::newest(3) };
    let first = page(&open, query(None));
    append(&mut open, &[start(7), start(8), stands(3, 1, State::Prepared), end(5, 1)]);
    let second = page(&open, query(first.next));
    let ids = |page: &Page| page.rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let law = "pages stay right: none twice, none lost";
    assert_eq!(
        (ids(&first), ids(&second)),
        (vec![id(6), id(5), id(4)], vec![id(3), id(2), id(1)]),
        "{law}"
    );
    assert_eq!(second.next, None, "the last page says that it is the last");
    assert_eq!(second.rows[0].labels.state, State::Prepared);
    let nowhere = Query { after: Some(Cursor::after(0)), ..Query::newest(3) };
    assert_eq!(page(&open, nowhere), Page::default());
    assert_eq!(page(&open, Query::newest(0)).rows, [], "a page has at most as many as its limit");
}

/// The log after a restart, with its indexes up to date.
fn again(open: OpenLog, log: &dyn Log) -> OpenLog {
    drop(open);
    let mut open = opened(log);
    // A trim may bring indexes up to date; nothing is from before the first millisecond.
    assert_eq!(open.writer.trim(Timestamp::from_millis(0), 1).expect("a trim"), 0);
    open
}

fn page(open: &OpenLog, query: Query) -> Page {
    let page = open.reader.list(&query).expect("a read");
    assert!(page.rows.len() <= query.limit, "a page has at most as many as its limit");
    page
}

/// Reads all pages, beginning with the one of the query.
pub(super) fn pages(open: &OpenLog, mut query: Query) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let Page { rows: some, next } = page(open, query.clone());
        rows.extend(some);
        let Some(next) = next else { break };
        assert!(query.after.is_none_or(|after| next < after), "a page goes on where it began");
        query.after = Some(next);
    }
    let ids: Vec<TransactionId> = rows.iter().map(|row| row.id).collect();
    assert!(
        ids.is_sorted_by(|one, next| one > next),
        "a list is newest first, none twice: {ids:?}"
    );
    rows
}

fn row(n: u64, state: State, stuck: bool, settled: bool) -> Row {
    Row { id: id(n), labels: Labels { state, stuck, ..labels() }, settled }
}

fn stands(n: u64, sequence: u32, state: State) -> Entry {
    Entry { labels: Labels { state, ..labels() }, ..more(n, sequence) }
}

fn ends(n: u64, sequence: u32, state: State) -> Entry {
    Entry { ended: Some(Timestamp::from_millis(n)), ..stands(n, sequence, state) }
}

fn stuck(n: u64, sequence: u32) -> Entry {
    Entry { labels: Labels { stuck: true, ..labels() }, ..more(n, sequence) }
}
