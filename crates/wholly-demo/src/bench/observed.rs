//! A SQLite log that tells what it wrote, and keeps a sample of the batches that it was given.
//!
//! The coordinator owns its log's writer, so what the writer knows is passed on after every append.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use wholly::SqliteLog;
use wholly::log::{Entry, Log, Written, intercept_appends};

/// The number of entries of a sample: enough to be like the rest, too few to be felt in memory.
const SAMPLE_ENTRIES: usize = 30_000;

/// The observations of a log.
#[derive(Default)]
pub struct Seen {
    syncs: AtomicU64,
    bytes: AtomicU64,
    sampling: AtomicBool,
    sample: Mutex<Vec<Vec<Entry>>>,
}

/// The log at this path, which is created if it is missing, and what is seen of it.
pub(super) fn observed(path: &Path) -> (impl Log, Arc<Seen>) {
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

    fn note(&self, Written { syncs, bytes }: Written, batch: &[Entry]) {
        self.syncs.store(syncs, Relaxed);
        self.bytes.store(bytes, Relaxed);
        if self.sampling.load(Relaxed) {
            self.keep(batch);
        }
    }

    fn keep(&self, batch: &[Entry]) {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.push(batch.to_vec());
        if sample.iter().map(Vec::len).sum::<usize>() >= SAMPLE_ENTRIES {
            self.sampling.store(false, Relaxed);
        }
    }
}
