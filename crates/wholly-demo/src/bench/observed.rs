//! A SQLite log that tells what it wrote, and keeps a sample of the batches that it was given.
//!
//! The coordinator owns its log's writer, so what the writer knows is passed on after every append.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use wholly::log::{
    AppendError, Entry, Log, LogWriter, OpenError, OpenLog, Position, Told, WithoutPayloads,
    Written,
};
use wholly::{SqliteLog, Timestamp};

/// The number of entries of a sample: enough to be like the rest, too few to be felt in memory.
const SAMPLE_ENTRIES: usize = 30_000;

pub struct Observed {
    log: SqliteLog,
    seen: Arc<Seen>,
}

/// The observations of a log.
#[derive(Default)]
pub struct Seen {
    syncs: AtomicU64,
    bytes: AtomicU64,
    sampling: AtomicBool,
    sample: Mutex<Vec<Vec<Entry>>>,
}

impl Observed {
    pub fn at(path: &Path) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Self { log: SqliteLog::at(path).create_if_missing(), seen: seen.clone() }, seen)
    }
}

impl Seen {
    pub fn written(&self) -> Written {
        Written { syncs: self.syncs.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    /// Keeps the batches from now on, until there are enough.
    pub fn begin_sample(&self) {
        self.sampling.store(true, Relaxed);
    }

    /// The batches that were kept, in the order in which they were appended.
    pub fn take_sample(&self) -> Vec<Vec<Entry>> {
        std::mem::take(&mut *self.sample.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, batch: &[Entry]) {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.push(batch.to_vec());
        if sample.iter().map(Vec::len).sum::<usize>() >= SAMPLE_ENTRIES {
            self.sampling.store(false, Relaxed);
        }
    }
}

impl Log for Observed {
    fn open(&self) -> Result<OpenLog, OpenError> {
        Ok(self.observed(self.log.open()?))
    }

    fn reopen(&self, told: Told) -> Result<OpenLog, OpenError> {
        Ok(self.observed(self.log.reopen(told)?))
    }
}

impl Observed {
    fn observed(&self, open: OpenLog) -> OpenLog {
        let writer = Box::new(ObservedWriter { writer: open.writer, seen: self.seen.clone() });
        OpenLog { writer, ..open }
    }
}

struct ObservedWriter {
    writer: Box<dyn LogWriter>,
    seen: Arc<Seen>,
}

impl LogWriter for ObservedWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        let position = self.writer.append(after, batch)?;
        let Written { syncs, bytes } = self.writer.written();
        self.seen.syncs.store(syncs, Relaxed);
        self.seen.bytes.store(bytes, Relaxed);
        if self.seen.sampling.load(Relaxed) {
            self.seen.keep(batch);
        }
        Ok(position)
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        self.writer.trim(before, limit)
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        self.writer.remove_payloads(before, limit, without)
    }

    fn written(&self) -> Written {
        self.writer.written()
    }
}
