//! The thread that appends: the log's calls block, and the loop must not.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::retention::{Removal, Removed};
use crate::clock::Clock;
use crate::engine::{Batch, PendingEntry};
use crate::log::{AppendError, LogWriter, Position};
use crate::meter::Meter;

/// The handle of the thread. Batches go in one at a time, and between them pieces of a removal;
/// each is answered.
pub(super) enum LogThread {
    Thread {
        work: blocking::Sender<Work>,
        /// Closed once the thread has let go of the log.
        ended: oneshot::Receiver<()>,
    },
    /// On virtual time a task, because a paused clock would not wait for a thread.
    Task { work: mpsc::UnboundedSender<Work>, task: tokio::task::JoinHandle<()> },
}

/// A piece of work for the thread.
pub(super) enum Work {
    Append(Batch),
    Remove(Removal),
}

/// The result of an append.
pub(super) type Appended = Result<Position, AppendError>;

/// The channels for the results of its work.
pub(super) struct Answers {
    pub appended: mpsc::UnboundedSender<Appended>,
    pub removed: mpsc::UnboundedSender<Removed>,
}

impl Answers {
    /// Does the work; `false` where it was the last.
    fn to(&self, work: Work, writer: &mut dyn LogWriter, meter: &Meter) -> bool {
        match work {
            Work::Append(batch) => {
                let appended = append(writer, batch, meter);
                let failed = appended.is_err();
                self.appended.send(appended).is_ok() && !failed
            }
            Work::Remove(removal) => {
                let removed = removal.run(writer);
                let failed = removed.is_err();
                self.removed.send(removed).is_ok() && !failed
            }
        }
    }
}

/// The time for which the thread stays awake after a batch of one entry: about as long as a few
/// calls take to participants on the same machine, whose answers are in the next batch. After a
/// larger batch, the next comes sooner.
const AWAKE_FOR: Duration = Duration::from_micros(500);

/// The number of entries that makes a batch small: latency counts. Where there are more, the
/// processors have other work, and the next batch gathers for longer than a wake-up takes.
const FEW: u32 = 4;

/// The time that an append takes on virtual time: others go on meanwhile.
const VIRTUAL_APPEND: Duration = Duration::from_millis(1);

impl LogThread {
    /// Starts the thread, which owns the writer until it ends.
    pub fn start(
        writer: Box<dyn LogWriter>,
        answers: Answers,
        clock: &Clock,
        meter: Arc<Meter>,
    ) -> std::io::Result<Self> {
        if clock.is_virtual() {
            return Ok(Self::start_task(writer, answers, meter));
        }
        let (work, incoming) = blocking::channel::<Work>();
        let (ending, ended) = oneshot::channel::<()>();
        let run = move || {
            // Locals are dropped last to first: the writer before the end is told.
            let _ending = ending;
            let mut writer = writer;
            let mut awake_for = Duration::ZERO;
            while let Some(work) = next(&incoming, awake_for) {
                awake_for = match &work {
                    Work::Append(batch) => awake_after(batch.entries.len()),
                    Work::Remove(_) => Duration::ZERO,
                };
                if !answers.to(work, &mut *writer, &meter) {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("wholly-log".to_owned()).spawn(run)?;
        Ok(Self::Thread { work, ended })
    }

    fn start_task(mut writer: Box<dyn LogWriter>, answers: Answers, meter: Arc<Meter>) -> Self {
        let (work, mut incoming) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(work) = incoming.recv().await {
                tokio::time::sleep(VIRTUAL_APPEND).await;
                if !answers.to(work, &mut *writer, &meter) {
                    break;
                }
            }
        });
        Self::Task { work, task }
    }

    /// Hands over a batch.
    pub fn append(&self, batch: Batch) {
        self.hand_over(Work::Append(batch));
    }

    /// Hands over a piece to remove.
    pub fn remove(&self, removal: Removal) {
        self.hand_over(Work::Remove(removal));
    }

    fn hand_over(&self, given: Work) {
        // The thread ends only after it has answered with an error, which ends the incarnation.
        let _ = match self {
            Self::Thread { work, .. } => work.send(given).ok(),
            Self::Task { work, .. } => work.send(given).ok(),
        };
    }

    /// Ends the thread and waits until it has let go of the log.
    pub async fn close(self) {
        match self {
            Self::Thread { work, ended } => {
                drop(work);
                let _ = ended.await;
            }
            Self::Task { work, task } => {
                drop(work);
                let _ = task.await;
            }
        }
    }
}

fn awake_after(entries: usize) -> Duration {
    match u32::try_from(entries) {
        Ok(few @ 1..=FEW) => AWAKE_FOR / few,
        _ => Duration::ZERO,
    }
}

/// The next work. A batch that follows at once is waited for without going to sleep: waking up
/// again takes about as long as half a sync. Any other thread that wants the processor gets it.
fn next(incoming: &blocking::Receiver<Work>, awake_for: Duration) -> Option<Work> {
    let asleep_at = Instant::now() + awake_for;
    while Instant::now() < asleep_at {
        match incoming.try_recv() {
            Ok(work) => return Some(work),
            Err(blocking::TryRecvError::Disconnected) => return None,
            Err(blocking::TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    incoming.recv().ok()
}

fn append(writer: &mut dyn LogWriter, batch: Batch, meter: &Meter) -> Appended {
    let after = batch.after;
    let entries = batch.entries.into_iter().map(PendingEntry::into_entry);
    let entries = entries.collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|error| AppendError::Storage { why: error.to_string() })?;
    if !meter.runs() {
        return writer.append(after, &entries);
    }
    let (before, began) = (writer.written(), Instant::now());
    let appended = writer.append(after, &entries);
    meter.appended(entries.len(), began, before, writer.written());
    appended
}
