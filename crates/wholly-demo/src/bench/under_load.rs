//! The subject of a measurement: a coordinator under load, on a SQLite log that tells what it wrote,
//! and keeps a sample of the batches that it was given.
//!
//! The coordinator owns its log's writer, so the writer's counts are passed on after every append.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wholly::log::{Entry, Log, Written, intercept_appends};
use wholly::{Builder, Coordinator, SqliteLog};

use super::error::BenchError;
use super::load::{Load, Work};
use super::report::Figures;
use crate::process::lock;

/// Runs `work` with a coordinator on the log at `path`: the figures, and a sample of the batches.
pub async fn run<W: Work>(
    path: &Path,
    load: &Load,
    with_participants: impl FnOnce(Builder) -> Result<Builder, BenchError>,
    work: impl FnOnce(Coordinator) -> Result<W, BenchError>,
) -> Result<(Figures, Vec<Vec<Entry>>), BenchError> {
    let (log, seen) = observed(path);
    let coordinator = with_participants(Coordinator::builder(log))?.start().await?;
    let work = Arc::new(work(coordinator.clone())?);
    let sampling = tokio::spawn(sample_after(load.warm_up() / 2, seen.clone()));
    let run = load.run(work, || seen.written()).await?;
    sampling.await?;
    let transactions = run.latencies.count() as u64;
    let figures = Figures::of_run(&run).with_log(transactions, run.before, run.after);
    coordinator.shutdown(Duration::from_secs(10)).await;
    Ok((figures, seen.take_sample()))
}

/// Begins the sample after a pause: the first batches are unlike the later ones.
async fn sample_after(pause: Duration, seen: Arc<Seen>) {
    tokio::time::sleep(pause).await;
    seen.begin_sample();
}

/// The number of entries of a sample: enough to be like the rest, too few to be felt in memory.
const SAMPLE_ENTRIES: usize = 30_000;

/// The observations of a log.
#[derive(Default)]
struct Seen {
    syncs: AtomicU64,
    bytes: AtomicU64,
    sampling: AtomicBool,
    sample: Mutex<Vec<Vec<Entry>>>,
}

/// The log at this path, which is created if it is missing, and its observed counts.
fn observed(path: &Path) -> (impl Log, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let seeing = seen.clone();
    let log = SqliteLog::at(path).create_if_missing();
    let log = intercept_appends(log, move |writer, after, batch| {
        let position = writer.append(after, batch)?;
        seeing.note(writer.written(), batch);
        Ok(position)
    });
    (log, seen)
}

impl Seen {
    fn written(&self) -> Written {
        Written { syncs: self.syncs.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    /// Keeps the batches from now on, until there are enough.
    fn begin_sample(&self) {
        self.sampling.store(true, Relaxed);
    }

    /// The batches that were kept, in the order in which they were appended.
    fn take_sample(&self) -> Vec<Vec<Entry>> {
        std::mem::take(&mut *lock(&self.sample))
    }

    fn note(&self, Written { syncs, bytes }: Written, batch: &[Entry]) {
        self.syncs.store(syncs, Relaxed);
        self.bytes.store(bytes, Relaxed);
        if self.sampling.load(Relaxed) {
            self.keep(batch);
        }
    }

    fn keep(&self, batch: &[Entry]) {
        let mut sample = lock(&self.sample);
        sample.push(batch.to_vec());
        if sample.iter().map(Vec::len).sum::<usize>() >= SAMPLE_ENTRIES {
            self.sampling.store(false, Relaxed);
        }
    }
}
