//! Pages compared with a naive model, while transactions come, change, are indexed and go, with
//! bounds so small that every way of listing is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use wholly_core::{Timestamp, TransactionId};

use super::*;
use crate::log::listing::Filter;
use crate::log::sqlite::Provenance;
use crate::log::sqlite::open::{How, open};
use crate::log::{Entry, OpenLog};

#[derive(Clone, Debug)]
enum Act {
    Begin {
        name: usize,
        saga: bool,
    },
    /// An unended transaction changes its state.
    Change {
        which: prop::sample::Index,
        state: State,
        stuck: bool,
        ends: bool,
    },
    /// A transaction is stuck, and the log does not know.
    Quarantined {
        which: prop::sample::Index,
    },
    Reopen {
        /// True if it is reopened as a copy, whose new transactions have ids of a new identity.
        restored: bool,
    },
    /// Transactions that ended before this go.
    Trim {
        millis: u64,
    },
    /// The next page of the list that is being read.
    Page,
}

const NAMES: [&str; 3] = ["place order", "ship order", "refund"];

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL)
}

fn act(restored: f64) -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..NAMES.len(), any::<bool>()).prop_map(|(name, saga)| Act::Begin { name, saga }),
        6 => (any::<prop::sample::Index>(), state(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(which, state, stuck, ends)| Act::Change { which, state, stuck, ends }),
        1 => any::<prop::sample::Index>().prop_map(|which| Act::Quarantined { which }),
        1 => prop::bool::weighted(restored).prop_map(|restored| Act::Reopen { restored }),
        1 => (0..60_u64).prop_map(|millis| Act::Trim { millis }),
        6 => Just(Act::Page),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let time = || prop::option::weighted(0.2, (0..60_u64).prop_map(Timestamp::from_millis));
    let flag = || prop::option::weighted(0.3, any::<bool>());
    let name =
        prop::option::weighted(0.3, (0..NAMES.len()).prop_map(|n| NAMES[n].parse().unwrap()));
    let participant = prop::sample::select(&["orders", "payments", "carriers"][..]);
    (
        prop::option::weighted(0.4, state()),
        prop::option::weighted(0.3, prop::sample::select(Pattern::ALL)),
        name,
        prop::option::weighted(0.3, participant.prop_map(|name| name.parse().unwrap())),
        (flag(), flag(), time(), time()),
    )
        .prop_map(|(state, pattern, name, participant, (settled, stuck, since, until))| {
            Filter { state, pattern, name, participant, settled, stuck, since, until }
        })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let time = prop::sample::select(&[Duration::ZERO, Duration::MAX][..]);
    (1..6_usize, 0..12_usize, 1..8_usize, 1..20_usize, (1..4_usize, 1..4_usize), time).prop_map(
        |(kinds, streams, rows, tail, (at_least, few), time)| Bounds {
            checked: 1_000_000,
            kinds,
            streams,
            rows,
            tail,
            at_least,
            few,
            time,
        },
    )
}

/// A log, its expected content, and a list that somebody reads.
struct Subject {
    directory: tempfile::TempDir,
    bounds: Bounds,
    open: OpenLog,
    model: BTreeMap<TransactionId, (Labels, u32, Option<Timestamp>)>,
    /// The number of appends so far, which is the time.
    now: u64,
    query: Query,
    /// The transactions that the list has shown since it began.
    shown: Vec<TransactionId>,
    /// The transactions that existed and matched ever since the list began.
    throughout: BTreeSet<TransactionId>,
}

fn opened(path: &Path, provenance: Provenance, bounds: Bounds) -> OpenLog {
    let how = How { provenance, create: true, told: None, damage: Default::default(), bounds };
    open(path, &how).unwrap()
}

impl Subject {
    fn new(filter: Filter, limit: usize, bounds: Bounds) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = opened(&directory.path().join("wholly.db"), Provenance::Original, bounds);
        let query = Query { filter, ..Query::newest(limit) };
        let (model, shown) = (BTreeMap::new(), Vec::new());
        let throughout = BTreeSet::new();
        Self { directory, bounds, open, model, now: 0, query, shown, throughout }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Begin { name, saga } => {
                let millis = self.model.len() as u64;
                let last = self.model.keys().next_back().map_or(0, |id| id.ordinal());
                let time = Timestamp::from_millis(millis);
                let id = TransactionId::mint(last, time, millis, self.open.identity);
                let (pattern, others) = match saga {
                    true => (Pattern::Saga, "carriers"),
                    false => (Pattern::TwoPhase, "payments"),
                };
                let participants = ["orders", others].map(|name| name.parse().unwrap()).into();
                let name = NAMES[name].parse().unwrap();
                let labels =
                    Labels { name, pattern, participants, state: State::Init, stuck: false };
                self.append(id, labels, 0, false);
            }
            Act::Change { which, state, stuck, ends } => {
                let open: Vec<_> =
                    self.model.iter().filter(|(_, (.., ended))| ended.is_none()).collect();
                if !open.is_empty() {
                    let (id, (labels, sequence, _)) = which.get(&open);
                    let labels = Labels { state, stuck, ..labels.clone() };
                    self.append(**id, labels, sequence + 1, ends);
                }
            }
            Act::Quarantined { which } => {
                let ids: Vec<_> = self.model.keys().copied().collect();
                if !ids.is_empty() {
                    self.query.quarantined.insert(*which.get(&ids));
                }
            }
            Act::Reopen { restored: false } => self.reopen(Provenance::Original),
            Act::Reopen { restored: true } => self.reopen(Provenance::Restored),
            Act::Trim { millis } => self.trim(millis),
            Act::Page => _ = self.page(),
        }
        let matching: BTreeSet<_> = self.matching().into_iter().map(|row| row.id).collect();
        self.throughout.retain(|id| matching.contains(id));
    }

    fn append(&mut self, transaction: TransactionId, labels: Labels, sequence: u32, ends: bool) {
        self.now += 1;
        let ended = ends.then(|| Timestamp::from_millis(self.now));
        self.model.insert(transaction, (labels.clone(), sequence, ended));
        let entry = Entry { transaction, sequence, text: "{}".into(), key: None, labels, ended };
        self.open.head = self.open.writer.append(self.open.head, &[entry]).unwrap();
    }

    fn trim(&mut self, millis: u64) {
        let before = Timestamp::from_millis(millis);
        let deleted = self.open.writer.trim(before, usize::MAX).unwrap();
        let held = self.model.len();
        self.model.retain(|_, (.., ended)| ended.is_none_or(|at| at >= before));
        assert_eq!(deleted, held - self.model.len());
    }

    fn reopen(&mut self, provenance: Provenance) {
        let path = self.directory.path().join("wholly.db");
        let unopened = crate::MemoryLog::default();
        self.open = crate::log::Log::open(&unopened).unwrap(); // Lets go of the file.
        self.open = opened(&path, provenance, self.bounds);
    }

    /// The transactions that match now, newest first, shown or not.
    fn matching(&self) -> Vec<Row> {
        let row =
            |(id, (labels, _, settled)): (&TransactionId, &(Labels, u32, Option<Timestamp>))| {
                let labels = self.query.shown(*id, labels.clone());
                Row { id: *id, labels, settled: settled.is_some() }
            };
        let Filter { since, until, .. } = self.query.filter;
        self.model
            .iter()
            .rev()
            .map(row)
            .filter(|row| self.query.filter.matches(&row.labels, row.settled))
            .filter(|row| since.is_none_or(|since| row.id.minted_at() >= since))
            .filter(|row| until.is_none_or(|until| row.id.minted_at() < until))
            .collect()
    }

    /// Reads the next page; returns true if it was the last.
    fn page(&mut self) -> bool {
        if self.query.after.is_none() {
            self.shown.clear();
            self.throughout = self.matching().into_iter().map(|row| row.id).collect();
        }
        let page = self.open.reader.list(&self.query).unwrap();
        assert!(page.rows.len() <= self.query.limit);
        // All matches in the stretch that the page covers, and nothing else.
        let covered = |row: &Row| {
            let at = Cursor::after(row.id.ordinal());
            self.query.after.is_none_or(|after| at < after)
                && page.next.is_none_or(|next| at >= next)
        };
        let expected: Vec<_> = self.matching().into_iter().filter(covered).collect();
        assert_eq!(page.rows, expected);
        assert!(page.next.is_none_or(|next| self.query.after.is_none_or(|after| next < after)));

        self.shown.extend(page.rows.iter().map(|row| row.id));
        self.query.after = page.next;
        if page.next.is_none() {
            assert!(self.shown.is_sorted_by(|one, next| one > next), "none twice");
            let lost: Vec<_> =
                self.throughout.iter().filter(|id| !self.shown.contains(id)).collect();
            assert!(lost.is_empty(), "lost: {lost:?}");
        }
        page.next.is_none()
    }
}

/// Every page goes on, and every list comes to its end, however little time there is.
#[test]
fn a_page_that_has_no_time_is_short_and_the_next_goes_on() {
    let bounds = Bounds { at_least: 2, time: Duration::ZERO, ..crate::log::sqlite::list::BOUNDS };
    let filter = Filter { name: Some(NAMES[0].parse().unwrap()), ..Filter::default() };
    let mut subject = Subject::new(filter, 9, bounds);
    for name in [0, 1, 0, 0, 1, 1, 0] {
        subject.act(Act::Begin { name, saga: false });
    }
    let mut rows = Vec::new();
    loop {
        let page = subject.open.reader.list(&subject.query).unwrap();
        rows.push(page.rows.len());
        subject.query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(rows, [1, 1, 1, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_are_right_whatever_happens_between_them(
        filter in filter(),
        limit in 1..5_usize,
        bounds in bounds(),
        earlier in prop::option::of(prop::collection::vec(act(0.0), 1..30)),
        acts in prop::collection::vec(act(0.5), 1..60),
    ) {
        let mut subject = Subject::new(filter, limit, bounds);
        if let Some(acts) = earlier {
            acts.into_iter().for_each(|act| subject.act(act));
            // No transaction so far has the identity that the log has since.
            subject.reopen(Provenance::Restored);
        }
        acts.into_iter().for_each(|act| subject.act(act));
        while !subject.page() {}
    }
}

/// A row is complete where it is found, also after a change in a later run.
#[test]
fn a_page_is_read_from_one_index_alone() {
    let named = Filter { name: Some(NAMES[0].parse().unwrap()), ..Filter::default() };
    for (filter, elsewhere) in [
        (named, "DELETE FROM transactions; DELETE FROM entries"),
        (Filter::default(), "DELETE FROM listed; DELETE FROM entries"),
    ] {
        let bounds = Bounds { tail: 2, ..crate::log::sqlite::list::BOUNDS };
        let mut subject = Subject::new(filter, 9, bounds);
        let begin = |subject: &mut Subject| subject.act(Act::Begin { name: 0, saga: false });
        (0..3).for_each(|_| begin(&mut subject));
        subject.reopen(Provenance::Restored);
        let changed = *subject.model.keys().next().unwrap();
        let labels = Labels { state: State::Prepared, ..subject.model[&changed].0.clone() };
        subject.append(changed, labels, 1, false);
        subject.reopen(Provenance::Original);
        (0..3).for_each(|_| begin(&mut subject));
        let file = Connection::open(subject.directory.path().join("wholly.db")).unwrap();
        file.execute_batch(elsewhere).unwrap();
        let rows = subject.open.reader.list(&subject.query).unwrap().rows;
        assert_eq!(rows, subject.matching());
    }
}

/// A reader and the writer at once: an entry on its way to the indexes is never in neither.
#[test]
fn nothing_is_lost_on_its_way_to_the_indexes() {
    let filter = Filter { name: Some(NAMES[0].parse().unwrap()), ..Filter::default() };
    let bounds = Bounds { tail: 1, ..crate::log::sqlite::list::BOUNDS };
    let mut subject = Subject::new(filter, 1, bounds);
    let (reader, query) = (subject.open.reader.clone(), subject.query.clone());
    let durable = Arc::new(AtomicU64::new(0));
    let writing = std::thread::spawn({
        let durable = durable.clone();
        move || {
            for _ in 0..400 {
                subject.act(Act::Begin { name: 0, saga: false });
                let newest = subject.model.keys().next_back().map_or(0, |id| id.ordinal());
                durable.store(newest, SeqCst);
            }
        }
    });
    while !writing.is_finished() {
        let before = durable.load(SeqCst);
        let page = reader.list(&query).unwrap();
        let newest = page.rows.first().map_or(0, |row| row.id.ordinal());
        assert!(newest >= before, "{before} was durable before {newest} was read as the newest");
    }
    writing.join().unwrap();
}
