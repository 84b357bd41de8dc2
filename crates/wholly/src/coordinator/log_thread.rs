//! The thread that appends: the log's calls block, and the loop must not.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wholly_core::entry;

use crate::clock::Clock;
use crate::engine::{Batch, PendingEntry};
use crate::log::{AppendError, Entry, LogWriter, Position};
use crate::meter::Meter;

/// The handle of the thread. Batches go in one at a time; each is answered.
pub(super) enum LogThread {
    Thread {
        batches: blocking::Sender<Batch>,
        thread: JoinHandle<()>,
    },
    /// On virtual time a task, because a paused clock would not wait for a thread.
    Task {
        batches: mpsc::UnboundedSender<Batch>,
        task: tokio::task::JoinHandle<()>,
    },
}

/// What became of a batch.
pub(super) type Appended = Result<Position, AppendError>;

/// How long the thread stays awake after a batch of few entries: about as long as a call takes to
/// a participant on the same machine, whose answer is in the next batch.
const AWAKE_FOR: Duration = Duration::from_micros(200);

/// So many entries in a batch are few: latency is what counts. Where there are more, the
/// processors have other work, and the next batch gathers for longer than a wake-up takes.
const FEW: usize = 4;

/// How long an append takes on virtual time: others go on meanwhile.
const VIRTUAL_APPEND: Duration = Duration::from_millis(1);

impl LogThread {
    /// Starts the thread, which owns the writer until it ends.
    pub fn start(
        mut writer: Box<dyn LogWriter>,
        appended: mpsc::UnboundedSender<Appended>,
        clock: &Clock,
        meter: Arc<Meter>,
    ) -> std::io::Result<Self> {
        if clock.is_virtual() {
            return Ok(Self::start_task(writer, appended, meter));
        }
        let (batches, incoming) = blocking::channel::<Batch>();
        let run = move || {
            let mut awake_for = Duration::ZERO;
            while let Some(batch) = next(&incoming, awake_for) {
                awake_for = if batch.entries.len() <= FEW { AWAKE_FOR } else { Duration::ZERO };
                let result = append(&mut *writer, batch, &meter);
                let failed = result.is_err();
                if appended.send(result).is_err() || failed {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("wholly-log".to_owned()).spawn(run)?;
        Ok(Self::Thread { batches, thread })
    }

    fn start_task(
        mut writer: Box<dyn LogWriter>,
        appended: mpsc::UnboundedSender<Appended>,
        meter: Arc<Meter>,
    ) -> Self {
        let (batches, mut incoming) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(batch) = incoming.recv().await {
                tokio::time::sleep(VIRTUAL_APPEND).await;
                let result = append(&mut *writer, batch, &meter);
                let failed = result.is_err();
                if appended.send(result).is_err() || failed {
                    break;
                }
            }
        });
        Self::Task { batches, task }
    }

    /// Hands over a batch.
    pub fn append(&self, batch: Batch) {
        // The thread ends only after it has answered with an error, which ends the loop's life.
        let _ = match self {
            Self::Thread { batches, .. } => batches.send(batch).ok(),
            Self::Task { batches, .. } => batches.send(batch).ok(),
        };
    }

    /// Ends the thread and waits until it has let go of the log.
    pub async fn close(self) {
        match self {
            Self::Thread { batches, thread } => {
                drop(batches);
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            Self::Task { batches, task } => {
                drop(batches);
                let _ = task.await;
            }
        }
    }
}

/// The next batch. One that follows at once is waited for without going to sleep: waking up again
/// takes about as long as half a sync. Whoever else wants the processor meanwhile gets it.
fn next(incoming: &blocking::Receiver<Batch>, awake_for: Duration) -> Option<Batch> {
    let asleep_at = Instant::now() + awake_for;
    while Instant::now() < asleep_at {
        match incoming.try_recv() {
            Ok(batch) => return Some(batch),
            Err(blocking::TryRecvError::Disconnected) => return None,
            Err(blocking::TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    incoming.recv().ok()
}

fn append(writer: &mut dyn LogWriter, batch: Batch, meter: &Meter) -> Appended {
    let text = |pending: PendingEntry| {
        let PendingEntry { transaction, sequence, records, key, labels, ends } = pending;
        let text = entry::encode(&records)?;
        Ok::<_, serde_json::Error>(Entry { transaction, sequence, text, key, labels, ends })
    };
    let after = batch.after;
    let entries = batch.entries.into_iter().map(text).collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|error| AppendError::Storage { why: error.to_string() })?;
    let (before, began) = (writer.written(), Instant::now());
    let appended = writer.append(after, &entries);
    meter.append_time.saw(began.elapsed());
    meter.batch_entries.saw(entries.len());
    meter.written(before, writer.written());
    appended
}
