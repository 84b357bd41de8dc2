//! Logs full of transactions that nobody had to run, for the measurements after them.

use std::path::Path;

use wholly::log::listing::{Labels, Pattern, State};
use wholly::log::{Entry, Log, OpenLog};
use wholly::{
    InvalidName, Key, Payload, SqliteLog, Started, StartedBranch, Timestamp, TransactionId, Vote,
};
use wholly::{Name, ParticipantName};
use wholly_core::two_phase::Record;
use wholly_core::{Record as OfEither, entry};

use wholly_demo::bench::common::{Common, key, random};
use wholly_demo::bench::error::BenchError;

/// The number of transactions that are written at once.
const BATCH: u64 = 2_000;
/// When the made transactions began: the past, so that their ids lie before those to come.
pub(super) const LONG_AGO: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The progress of a made transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// Accepted, not decided.
    Undecided,
    /// Decided, and nobody told yet.
    Committed,
    /// All is done.
    Finished,
}

/// Writes `transactions` to the log at `path`; `made` says how far the nth has come.
pub(super) fn log(
    path: &Path,
    common: &Common,
    transactions: u64,
    made: impl Fn(u64) -> Made,
) -> Result<(), BenchError> {
    let labels = Labels {
        name: Name::new("bench")?,
        pattern: Pattern::TwoPhase,
        participants: common
            .names()
            .into_iter()
            .map(ParticipantName::new)
            .collect::<Result<_, _>>()?,
        state: State::Committed,
        stuck: false,
    };
    labelled(path, common, transactions, |nth| Ok((made(nth), labels.clone())))
}

/// Writes `transactions`; `made` gives the progress of the nth, and its state then.
pub(super) fn labelled(
    path: &Path,
    common: &Common,
    transactions: u64,
    made: impl Fn(u64) -> Result<(Made, Labels), InvalidName>,
) -> Result<(), BenchError> {
    let texts = Texts::of(common)?;
    let mut open = SqliteLog::at(path).create_if_missing().open()?;
    let mut last = open.last_ordinal;
    for first in (0..transactions).step_by(BATCH as usize) {
        let mut batches = [Vec::new(), Vec::new(), Vec::new()];
        for nth in first..transactions.min(first + BATCH) {
            let id = TransactionId::mint(last, LONG_AGO, random(nth), open.identity);
            last = id.ordinal();
            let key = if common.keys { Some(key(nth)?) } else { None };
            let (made, labels) = made(nth)?;
            texts.entries(id, key, made, &labels, &mut batches);
        }
        for batch in &batches {
            append(&mut open, batch)?;
        }
    }
    Ok(())
}

fn append(open: &mut OpenLog, batch: &[Entry]) -> Result<(), BenchError> {
    if !batch.is_empty() {
        open.head = open.writer.append(open.head, batch)?;
    }
    Ok(())
}

/// The texts of a transaction's three entries; they are the same for all.
struct Texts {
    started: String,
    committed: String,
    settled: String,
}

impl Texts {
    fn of(common: &Common) -> Result<Self, BenchError> {
        let started = Started {
            name: Name::new("bench")?,
            key: None,
            trace: None,
            deadline: LONG_AGO,
            one_phase: false,
            branches: branches(common, &common.payload()?)?,
        };
        let each = |record: fn(u16) -> Record| (0..common.participants).map(record);
        let voted = each(|branch| Record::Vote(branch, Vote::Yes)).chain([Record::Committed]);
        let done = each(Record::Acknowledged).chain([Record::Settled]);
        let text = |records: Vec<Record>| {
            let timed = |record| (LONG_AGO, OfEither::TwoPhase(record));
            let timed: Vec<_> = records.into_iter().map(timed).collect();
            entry::encode(&timed)
        };
        Ok(Self {
            started: text(vec![Record::Started(started)])?,
            committed: text(voted.collect())?,
            settled: text(done.collect())?,
        })
    }

    fn entries(
        &self,
        transaction: TransactionId,
        key: Option<Key>,
        made: Made,
        labels: &Labels,
        batches: &mut [Vec<Entry>; 3],
    ) {
        let entry = |sequence, text: &String, key| {
            let ended = (sequence == 2).then_some(LONG_AGO);
            let state = if sequence == 0 { State::Init } else { labels.state };
            let labels = Labels { state, ..labels.clone() };
            Entry { transaction, sequence, text: text.clone(), key, labels, ended }
        };
        batches[0].push(entry(0, &self.started, key));
        if made != Made::Undecided {
            batches[1].push(entry(1, &self.committed, None));
        }
        if made == Made::Finished {
            batches[2].push(entry(2, &self.settled, None));
        }
    }
}

fn branches(common: &Common, payload: &Payload) -> Result<Vec<StartedBranch>, BenchError> {
    let branch = |name: String| {
        let participant = ParticipantName::new(name)?;
        Ok(StartedBranch { participant, payload: payload.clone() })
    };
    common.names().into_iter().map(branch).collect()
}
