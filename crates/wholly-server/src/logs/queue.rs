//! Log messages on their way to the standard error, which a thread of its own writes.
//!
//! INVARIANT: a thread that logs never waits for whoever reads the standard error. The queue has a
//! limit; a message beyond it is counted and dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// The limit of the queue, in bytes: about a thousand lines.
const LIMIT: usize = 256 * 1024;

static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The messages that were dropped since the process began.
pub fn dropped() -> Counter {
    DROPPED.clone()
}

/// A handle of the queue.
#[derive(Clone, Default)]
pub struct Queue(Arc<QueueState>);

#[derive(Default)]
struct QueueState {
    waiting: Mutex<WaitingLines>,
    /// Something was added, or written.
    changed: Condvar,
}

#[derive(Default)]
struct WaitingLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
}

impl Queue {
    /// Starts the thread that writes. Nobody waits for its end: the reader of the standard error
    /// may never come.
    ///
    /// # Errors
    /// When the system denies the thread.
    pub fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let lines = queue.clone();
        let write = move || lines.write_all(to);
        std::thread::Builder::new().name("wholly-messages".to_owned()).spawn(write)?;
        Ok(queue)
    }

    /// Adds a line, or drops it where there is no room.
    pub fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.saturating_add(line.len()) > LIMIT {
            DROPPED.inc();
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_owned());
        self.0.changed.notify_all();
    }

    /// Waits until all lines added before are written, and no longer than this.
    pub fn flush(&self, limit: Duration) {
        let unwritten =
            |waiting: &mut WaitingLines| waiting.is_writing || !waiting.lines.is_empty();
        let flushed = self.0.changed.wait_timeout_while(self.lock(), limit, unwritten);
        drop(flushed);
    }

    fn write_all(&self, mut to: impl Write) {
        let mut told = 0;
        loop {
            let line = self.next();
            if to.write_all(&line).and_then(|()| to.flush()).is_err() {
                DROPPED.inc();
            }
            let is_last = {
                let mut waiting = self.lock();
                waiting.is_writing = false;
                self.0.changed.notify_all();
                waiting.lines.is_empty()
            };
            let dropped = DROPPED.get();
            if is_last && dropped > told {
                let since = dropped - told;
                told = dropped;
                tracing::warn!("{since} log messages were dropped: the standard error took none");
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.is_writing = true;
                return line;
            }
            waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, WaitingLines> {
        // A panic happens only between two changes.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event is one write.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a line whenever the test lets it.
    struct Gate(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(line.to_owned()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_fits_is_written_in_order_and_the_rest_is_counted() {
        let ((open, gate), (written, lines)) = (mpsc::channel(), mpsc::channel());
        let queue = Queue::start(Gate(gate, written)).unwrap();
        let before = dropped().get();
        let line = |number: usize| {
            let mut line = vec![b'x'; LIMIT / 4];
            line[0] = number as u8;
            line
        };
        // At most one is with the writer, and four wait.
        (0..10).for_each(|number| queue.add(&line(number)));
        let lost = (dropped().get() - before) as usize;
        assert!((5..=6).contains(&lost), "{lost} were dropped");
        queue.flush(Duration::from_millis(1));
        (lost..10).for_each(|_| open.send(()).unwrap());
        let first = |_| lines.recv_timeout(Duration::from_secs(60)).unwrap()[0];
        let firsts: Vec<_> = (lost..10).map(first).collect();
        assert!(firsts.is_sorted() && firsts[0] == 0, "{firsts:?}");
    }
}
