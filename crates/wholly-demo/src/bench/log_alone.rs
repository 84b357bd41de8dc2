//! The ceiling in process: the same entries in batches of the same sizes, appended by one thread
//! to a log, with no protocol, no loop and no clients.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wholly::log::{Entry, Log, OpenLog};
use wholly::{LogId, SqliteLog, Timestamp, TransactionId};

use super::common::{key, processor_time, random};
use super::error::BenchError;
use super::load::{Latencies, Load};
use super::report::Figures;

/// Appends `sample` again and again to a fresh log, each time as new transactions. The latencies
/// are those of an append.
pub async fn run(
    path: PathBuf,
    sample: Vec<Vec<Entry>>,
    load: &Load,
) -> Result<Figures, BenchError> {
    let (warm_up, measured) = (load.warm_up(), load.measured());
    tokio::task::spawn_blocking(move || {
        let mut open = SqliteLog::at(&path).create_if_missing().open()?;
        let mut again = Again::of(sample)?;
        again.append_for(warm_up, &mut open)?;
        again.append_for(measured, &mut open)
    })
    .await?
}

/// A sample that is appended again and again. What its transactions are called changes each time,
/// the texts stay: they do not name their transaction.
struct Again {
    batches: Vec<Vec<Entry>>,
    /// The index of each entry's transaction in the sample.
    whose: Vec<Vec<usize>>,
    transactions: usize,
    ids: Vec<TransactionId>,
    last_ordinal: u64,
    next_key: u64,
    next_batch: usize,
}

impl Again {
    fn of(batches: Vec<Vec<Entry>>) -> Result<Self, BenchError> {
        let mut known = HashMap::new();
        let mut whose = |entry: &Entry| {
            let next = known.len();
            *known.entry(entry.transaction).or_insert(next)
        };
        let whose: Vec<Vec<_>> =
            batches.iter().map(|batch| batch.iter().map(&mut whose).collect()).collect();
        let transactions = known.len();
        let starts = batches.iter().flatten().any(|entry| entry.sequence == 0);
        if !starts {
            return Err(BenchError::Nothing { why: "the run was too short for a sample" });
        }
        let (ids, last_ordinal, next_key, next_batch) = (Vec::new(), 0, 0, 0);
        Ok(Self { batches, whose, transactions, ids, last_ordinal, next_key, next_batch })
    }

    fn append_for(&mut self, time: Duration, open: &mut OpenLog) -> Result<Figures, BenchError> {
        let (before, begun, processor) = (open.writer.written(), Instant::now(), processor_time());
        let (mut transactions, mut appends) = (0, Latencies::default());
        while begun.elapsed() < time {
            let batch = self.next(open.identity)?;
            transactions += batch.iter().filter(|entry| entry.sequence == 0).count() as u64;
            let append = Instant::now();
            open.head = open.writer.append(open.head, batch)?;
            appends.push(append.elapsed());
        }
        let (seconds, after) = (begun.elapsed().as_secs_f64(), open.writer.written());
        let processor = processor_time().saturating_sub(processor);
        let figures = Figures::new(transactions, seconds, processor, &appends.sorted());
        Ok(figures.with_log(transactions, before, after))
    }

    fn next(&mut self, log: LogId) -> Result<&[Entry], BenchError> {
        if self.next_batch == 0 {
            self.mint(log);
        }
        let this = self.next_batch;
        self.next_batch = (this + 1) % self.batches.len();
        let batch = &mut self.batches[this];
        for (entry, whose) in batch.iter_mut().zip(&self.whose[this]) {
            entry.transaction = self.ids[*whose];
            if entry.key.is_some() {
                entry.key = Some(key(self.next_key)?);
                self.next_key += 1;
            }
        }
        Ok(batch)
    }

    fn mint(&mut self, log: LogId) {
        self.ids.clear();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(now.as_millis() as u64);
        for _ in 0..self.transactions {
            let random = random(self.last_ordinal);
            let id = TransactionId::mint(self.last_ordinal, now, random, log);
            self.last_ordinal = id.ordinal();
            self.ids.push(id);
        }
    }
}
