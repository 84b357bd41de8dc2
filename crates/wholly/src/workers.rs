//! Threads for blocking work: the log is read on them, because neither the loop nor the runtime may
//! wait for a disk.
//!
//! They are the coordinator's own. The runtime's blocking threads are the whole program's, and may
//! all be held by something that hangs. Nobody waits for their end: they stop with the coordinator,
//! each after the job that it has begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::clock::Clock;

/// A fixed number of threads, which do one job after the other. The callers, and the look-ups that
/// the engine lets out, bound the number of jobs; a job whose caller is gone costs nothing.
pub(crate) struct Workers {
    /// `None` on virtual time: a job is done here and now. A paused clock leaps when the runtime
    /// idles, and another thread's pace is no part of a seed.
    jobs: Option<mpsc::Sender<Job>>,
}

type Job = Box<dyn FnOnce() + Send>;

/// A job that was lost because it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the thread that was to do it panicked")]
pub(crate) struct Lost;

impl Workers {
    /// Starts `count` threads of this name.
    pub fn start(name: &str, count: usize, clock: &Clock) -> std::io::Result<Self> {
        if clock.is_virtual() {
            return Ok(Self { jobs: None });
        }
        let (jobs, incoming) = mpsc::channel();
        let incoming = Arc::new(Mutex::new(incoming));
        for _ in 0..count {
            let incoming = incoming.clone();
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || {
                while let Some(job) = next(&incoming) {
                    // A waiting caller sees that its answer is gone.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self { jobs: Some(jobs) })
    }

    /// Begins a job, which answers by itself if at all.
    pub fn begin(&self, job: impl FnOnce() + Send + 'static) {
        match &self.jobs {
            None => job(),
            // The threads end only after the sender.
            Some(jobs) => drop(jobs.send(Box::new(job))),
        }
    }

    /// Begins a job, and waits for its result. A job whose future was dropped before a thread was
    /// free is not done.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Lost>> + Send {
        let (to, done) = oneshot::channel();
        self.begin(move || {
            if !to.is_closed() {
                let _ = to.send(job());
            }
        });
        async { done.await.map_err(|_| Lost) }
    }
}

fn next(incoming: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    incoming.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_costs_its_own_job_only_and_what_nobody_wants_is_not_done() {
        let workers = Workers::start("test", 1, &Clock::system()).unwrap();
        assert!(workers.run(|| panic!("a planted bug")).await.is_err());
        let (go, gone) = mpsc::channel::<()>();
        let busy = workers.run(move || gone.recv().is_err());
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |text: &'static str| {
            let done = done.clone();
            move || done.lock().unwrap().push(text)
        };
        drop(workers.run(note("nobody waits")));
        let wanted = workers.run(note("somebody waits"));
        drop(go);
        let soon = Duration::from_secs(20);
        assert!(tokio::time::timeout(soon, busy).await.unwrap().unwrap());
        tokio::time::timeout(soon, wanted).await.unwrap().unwrap();
        assert_eq!(*done.lock().unwrap(), ["somebody waits"]);
    }
}
