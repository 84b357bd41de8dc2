//! Listing from the file: streams of transactions, each newest first, merged.
//!
//! The index `listed` has the transactions by label and then by ordinal. If a filter fits few
//! labels, each of them is a stream of matching transactions only, and a page takes the same time
//! in a small log and in a large one. If it fits many, or all, the one stream is the table of all
//! transactions, and others are skipped, up to a bound: then the page is short, and has the place
//! to go on from.
//!
//! Both hold every column of a row, so a page is read from a few stretches of the file; a row
//! looked up elsewhere reads pages that in a large log are cached by luck. So a page has a time
//! limit, and ends early when that is reached; if it is reached before the streams are open, the
//! table of all transactions is taken.
//!
//! The tail is a stream of its own, and overrides the file for the same transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Statement};
use wholly_core::{Name, TransactionId};

use super::super::ReadError;
use super::super::listing::{Cursor, Labels, Page, Pattern, Query, Row, State};
use super::labels::{Dictionary, STANDING_BITS};
use super::tail::{InTail, Shared};
use super::writer::RUN;

/// The limits on the cost of a page, or of an opening.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The number of kinds that are matched against a filter.
    pub(super) kinds: usize,
    /// The number of labels that are followed as streams of their own.
    pub(super) streams: usize,
    /// The number of transactions that are examined.
    pub(super) rows: usize,
    /// The number of entries in the tail, all of which are examined.
    pub(super) tail: usize,
    /// The number that is examined at any cost of time, so that a list comes to its end.
    pub(super) at_least: usize,
    /// The number of rows found that ends this exemption: each may need a look-up.
    pub(super) few: usize,
    /// The time after which no more are examined.
    pub(super) time: Duration,
    /// The number of transactions up to which the whole log is checked before it is opened.
    pub(super) checked: i64,
}

/// Some milliseconds each. A read of a cold page may take one.
pub(super) const BOUNDS: Bounds = Bounds {
    kinds: 1_024,
    streams: 256,
    rows: 10_000,
    tail: RUN,
    at_least: 64,
    few: 8,
    time: Duration::from_millis(25),
    // Some tenths of a second.
    checked: 20_000,
};

impl Bounds {
    /// True if a page that was begun then, with so many examined and found, examines no more.
    fn reached(&self, begun: Instant, looked_at: usize, found: usize) -> bool {
        let enough = looked_at >= self.at_least || found >= self.few;
        looked_at >= self.rows || (enough && self.is_over(begun))
    }

    fn is_over(&self, begun: Instant) -> bool {
        begun.elapsed() >= self.time
    }
}

/// A candidate for a page: its ordinal, its label, and the second half of its id, if known by now.
type Candidate = (i64, i64, Option<i64>);

pub(super) fn list(
    file: &Connection,
    tail: &Shared,
    query: &Query,
    bounds: Bounds,
) -> Result<Page, ReadError> {
    let begun = Instant::now();
    let range = query.ordinals();
    let limit = |ordinal: u64| i64::try_from(ordinal).unwrap_or(i64::MAX);
    let (from, below) = (limit(range.start), limit(range.end));
    if from >= below {
        return Ok(Page::default());
    }
    // INVARIANT: tail and file are of one moment, but for one batch that the file may have and the
    // tail has not noted: a transaction that leaves the tail meanwhile is in neither or in both.
    let snapshot = file.unchecked_transaction()?;
    let mut recent = {
        let tail = tail.lock();
        // A transaction begins with its first read.
        snapshot.prepare_cached("SELECT indexed FROM meta")?.query_row([], |_| Ok(()))?;
        Recent::of_tail(tail.transactions.range(from..below))
    };
    recent.add_set_aside(&snapshot, query, from, below)?;
    let mut dictionary = Dictionary::of(&snapshot);
    let labels = fitting_labels(&mut dictionary, &snapshot, query, bounds, begun)?;
    let paging = Paging { file: &snapshot, dictionary, recent: &recent, query, bounds, begun };
    if let Some(labels) = labels {
        let prepare = || snapshot.prepare(ONE_LABEL);
        let mut statements: Vec<_> =
            std::iter::repeat_with(prepare).take(labels.len()).collect::<Result<_, _>>()?;
        let mut streams = vec![Stream::of(recent.newest_first())?];
        for (statement, label) in statements.iter_mut().zip(&labels) {
            streams.push(Stream::of_file(statement, [from, below, *label], &recent)?);
            if bounds.is_over(begun) {
                break;
            }
        }
        if streams.len() == labels.len() + 1 {
            return paging.page(streams);
        }
    }
    let mut all = snapshot.prepare(ALL)?;
    let all = Stream::of_file(&mut all, [from, below, 0], &recent)?;
    paging.page(vec![Stream::of(recent.newest_first())?, all])
}

const ONE_LABEL: &str = "SELECT ordinal, label, random FROM listed
    WHERE ordinal >= ?1 AND ordinal < ?2 AND label = ?3 ORDER BY ordinal DESC";
const ALL: &str = "SELECT ordinal, label, random FROM transactions
    WHERE ordinal >= ?1 AND ordinal < ?2 AND ?3 = 0 ORDER BY ordinal DESC";

/// The labels in the file that fit the filter; `None` if the table of all transactions is the
/// better way, or this one takes too long.
fn fitting_labels(
    dictionary: &mut Dictionary<'_>,
    file: &Connection,
    query: &Query,
    bounds: Bounds,
    begun: Instant,
) -> Result<Option<Vec<i64>>, ReadError> {
    if query.filter.takes_all() {
        return Ok(None);
    }
    let name = query.filter.name.as_ref();
    let Some(kinds) = dictionary.kinds(name, bounds.kinds)? else { return Ok(None) };
    let mut next = file.prepare_cached(
        "SELECT label FROM listed WHERE label >= ?1 AND label < ?2 ORDER BY label LIMIT 1",
    )?;
    let mut fitting = Vec::new();
    for kind in kinds {
        let (mut from, below) = (kind << STANDING_BITS, (kind + 1) << STANDING_BITS);
        while let Some(label) = next.query_row([from, below], |row| row.get(0)).optional()? {
            from = label + 1;
            let known = dictionary.labels(label)?;
            if known.is_some_and(|(labels, settled)| query.filter.matches(&labels, settled)) {
                fitting.push(label);
            }
            if bounds.is_over(begun) {
                return Ok(None);
            }
        }
    }
    Ok(Some(fitting).filter(|fitting| fitting.len() <= bounds.streams))
}

/// The transactions that the file's index lacks or misstates: the tail and the quarantined. By
/// ordinal the label, and the id if the transaction began there.
struct Recent(BTreeMap<i64, (i64, Option<TransactionId>)>);

impl Recent {
    fn of_tail<'t>(transactions: impl Iterator<Item = (&'t i64, &'t InTail)>) -> Self {
        Self(transactions.map(|(ordinal, known)| (*ordinal, (known.label, known.begun))).collect())
    }

    /// Adds the quarantined: stuck in the list, perhaps not in the index, which must not hide them.
    fn add_set_aside(
        &mut self,
        file: &Connection,
        query: &Query,
        from: i64,
        below: i64,
    ) -> Result<(), ReadError> {
        let ordinals = query.quarantined.iter().map(|id| id.ordinal() as i64);
        for ordinal in ordinals.filter(|ordinal| (from..below).contains(ordinal)) {
            let label = file
                .prepare_cached("SELECT label FROM transactions WHERE ordinal = ?1")?
                .query_row([ordinal], |row| row.get(0))
                .optional()?;
            if let Some(label) = label {
                self.0.entry(ordinal).or_insert((label, None));
            }
        }
        Ok(())
    }

    fn hides(&self, ordinal: i64) -> bool {
        self.0.contains_key(&ordinal)
    }

    fn newest_first(&self) -> impl Iterator<Item = rusqlite::Result<Candidate>> + '_ {
        self.0.iter().rev().map(|(ordinal, (label, _))| Ok((*ordinal, *label, None)))
    }
}

/// Transactions, newest first.
struct Stream<'s> {
    head: Option<Candidate>,
    rest: Box<dyn Iterator<Item = rusqlite::Result<Candidate>> + 's>,
}

impl<'s> Stream<'s> {
    fn of(
        mut rest: impl Iterator<Item = rusqlite::Result<Candidate>> + 's,
    ) -> rusqlite::Result<Self> {
        let head = rest.next().transpose()?;
        Ok(Self { head, rest: Box::new(rest) })
    }

    /// The transactions of the file, except those that `recent` overrides.
    fn of_file(
        statement: &'s mut Statement<'_>,
        parameters: [i64; 3],
        recent: &'s Recent,
    ) -> rusqlite::Result<Self> {
        let rows =
            statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Self::of(rows.filter(|row| !matches!(row, Ok((at, ..)) if recent.hides(*at))))
    }

    fn take(&mut self) -> rusqlite::Result<Option<Candidate>> {
        let next = self.rest.next().transpose()?;
        Ok(std::mem::replace(&mut self.head, next))
    }
}

/// A page that is being filled.
struct Paging<'p> {
    file: &'p Connection,
    dictionary: Dictionary<'p>,
    recent: &'p Recent,
    query: &'p Query,
    bounds: Bounds,
    begun: Instant,
}

impl Paging<'_> {
    fn page(mut self, mut streams: Vec<Stream<'_>>) -> Result<Page, ReadError> {
        let mut page = Page::default();
        let (mut looked_at, mut last) = (0, self.query.after);
        // The streams are few: looking at every head takes less than keeping them in order.
        while let Some(newest) = streams.iter_mut().max_by_key(|stream| stream.head) {
            if newest.head.is_some()
                && (page.rows.len() == self.query.limit
                    || self.bounds.reached(self.begun, looked_at, page.rows.len()))
            {
                page.next = last;
                break;
            }
            let Some(candidate) = newest.take()? else { break };
            looked_at += 1;
            last = Some(Cursor::after(candidate.0.unsigned_abs()));
            page.rows.extend(self.row(candidate)?);
        }
        Ok(page)
    }

    /// The row of a transaction; `None` if it does not match, or was deleted meanwhile.
    fn row(&mut self, candidate: Candidate) -> Result<Option<Row>, ReadError> {
        let (ordinal, label, _) = candidate;
        let (labels, settled) = match self.dictionary.labels(label)? {
            Some(known) => known,
            // Damage may have taken its labels; an operator has to find it all the same.
            None => match unknown().filter(|_| self.recent.hides(ordinal)) {
                Some(labels) => (labels, false),
                None => return Ok(None),
            },
        };
        let filter = &self.query.filter;
        // A quarantined transaction may match by facts that only the coordinator knows.
        if !self.recent.hides(ordinal) && !filter.matches(&labels, settled) {
            return Ok(None);
        }
        let Some(id) = self.id(candidate)? else { return Ok(None) };
        let labels = self.query.shown(id, labels);
        Ok(filter.matches(&labels, settled).then_some(Row { id, labels, settled }))
    }

    fn id(&mut self, candidate: Candidate) -> Result<Option<TransactionId>, ReadError> {
        let (ordinal, label, random) = candidate;
        if let Some((_, Some(begun))) = self.recent.0.get(&ordinal) {
            return Ok(Some(*begun));
        }
        let random = match random {
            Some(random) => Some(random),
            // It began before the tail, and goes on in it.
            None => self
                .file
                .prepare_cached("SELECT random FROM transactions WHERE ordinal = ?1")?
                .query_row([ordinal], |row| row.get::<_, i64>(0))
                .optional()?,
        };
        let known = random.zip(self.dictionary.log(label)?);
        Ok(known.map(|(random, log)| {
            TransactionId::of_parts(ordinal.unsigned_abs(), random.cast_unsigned(), log)
        }))
    }
}

/// The labels of a transaction of which damage has left only the existence.
fn unknown() -> Option<Labels> {
    let name = Name::new("unknown").ok()?;
    let (pattern, state) = (Pattern::TwoPhase, State::Init);
    Some(Labels { name, pattern, participants: Arc::default(), state, stuck: true })
}

#[cfg(test)]
mod tests;
