//! A coordinator's incarnation, and how it is cut off.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use wholly_core::Timestamp;

use super::scripted::lock;
use crate::log::memory::MemoryLog;
use crate::log::{
    AppendError, Entry, Log, LogWriter, OpenError, OpenLog, Position, Told, WithoutPayloads,
    Written,
};

/// A crash at an append.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrashPoint {
    /// Which append of the incarnation, from 0.
    pub append: u64,
    pub moment: Moment,
}

/// When, at an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It does not land.
    Before,
    /// It landed, and nobody learns of it.
    During,
    /// What follows from it has left, and is under way.
    After,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.moment {
            Moment::Before => "before",
            Moment::During => "as",
            Moment::After => "after",
        };
        write!(f, "the coordinator crashed {when} its append {} was durable", self.append + 1)
    }
}

/// How long an incarnation goes on after the append at which it ends: shorter than most calls travel.
const LAST_MOMENTS: Duration = Duration::from_millis(1);

/// What can end an incarnation, shared by the harness and the log.
///
/// INVARIANT: once cut off, nothing is appended any more, and the loop is never polled again.
pub(super) struct Incarnation {
    state: Mutex<State>,
    /// Told when the planned crash has come.
    crashed: Notify,
}

struct State {
    appends: u64,
    plan: Option<CrashPoint>,
    looping: Option<AbortHandle>,
    over: bool,
}

/// Tells when the loop and its log are gone: nobody holds a sender any more.
pub(super) type Gone = mpsc::Receiver<()>;

impl Incarnation {
    /// An incarnation on this log, and the log through which it is lived.
    pub fn begin(log: MemoryLog, plan: Option<CrashPoint>) -> (Arc<Self>, IncarnationLog, Gone) {
        let state = Mutex::new(State { appends: 0, plan, looping: None, over: false });
        let incarnation = Arc::new(Self { state, crashed: Notify::new() });
        let (here, gone) = mpsc::channel(1);
        (incarnation.clone(), IncarnationLog { log, incarnation, here }, gone)
    }

    pub fn is_lived_by(&self, looping: AbortHandle) {
        lock(&self.state).looping = Some(looping);
    }

    /// Waits for the planned crash.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Calls the planned crash off, if it has not come.
    pub fn disarm(&self) {
        lock(&self.state).plan = None;
    }

    /// Stops the loop. An append that is under way may still land.
    pub fn stop_loop(&self) {
        if let Some(looping) = &lock(&self.state).looping {
            looping.abort();
        }
    }

    /// Ends it, here and now.
    pub fn cut_off(&self) {
        lock(&self.state).over = true;
        self.stop_loop();
    }

    /// Ends it here and now, as it was planned.
    fn crash(&self) {
        self.cut_off();
        self.crashed.notify_one();
    }

    /// Ends it soon, unless that is called off.
    fn crash_soon(self: &Arc<Self>) {
        let incarnation = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_MOMENTS).await;
            let is_planned = lock(&incarnation.state).plan.is_some();
            if is_planned {
                incarnation.crash();
            }
        });
    }

    /// Counts an append; `Err` where the incarnation is over, `Some` where it ends at this append.
    fn next_append(&self) -> Result<Option<Moment>, AppendError> {
        let mut state = lock(&self.state);
        if state.over {
            return Err(crashed());
        }
        let this = state.appends;
        state.appends += 1;
        Ok(state.plan.filter(|plan| plan.append == this).map(|plan| plan.moment))
    }
}

fn crashed() -> AppendError {
    AppendError::Storage { why: "the coordinator has crashed".to_owned() }
}

/// A log that ends with its coordinator's incarnation; what is durable stays in the one beneath.
pub(super) struct IncarnationLog {
    log: MemoryLog,
    incarnation: Arc<Incarnation>,
    here: mpsc::Sender<()>,
}

impl Log for IncarnationLog {
    fn open(&self) -> Result<OpenLog, OpenError> {
        Ok(self.mortal(self.log.open()?))
    }

    fn reopen(&self, told: Told) -> Result<OpenLog, OpenError> {
        Ok(self.mortal(self.log.reopen(told)?))
    }
}

impl IncarnationLog {
    fn mortal(&self, open: OpenLog) -> OpenLog {
        let (incarnation, here) = (self.incarnation.clone(), self.here.clone());
        let writer = Box::new(MortalWriter { writer: open.writer, incarnation, _here: here });
        OpenLog { writer, ..open }
    }
}

struct MortalWriter {
    writer: Box<dyn LogWriter>,
    incarnation: Arc<Incarnation>,
    _here: mpsc::Sender<()>,
}

impl LogWriter for MortalWriter {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        let moment = self.incarnation.next_append()?;
        if moment == Some(Moment::Before) {
            self.incarnation.crash();
            return Err(crashed());
        }
        let landed = self.writer.append(after, batch)?;
        match moment {
            Some(Moment::During) => {
                self.incarnation.crash();
                return Err(crashed());
            }
            Some(_) => self.incarnation.crash_soon(),
            None => {}
        }
        Ok(landed)
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
