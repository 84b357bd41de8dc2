//! A coordinator's incarnation, and how it is cut off.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::scripted::lock;
use crate::log::memory::MemoryLog;
use crate::log::{AppendError, Entry, Log, LogWriter, Position, intercept_appends};

/// A crash at an append.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrashPoint {
    /// The number of the append in the incarnation, from 0.
    pub append: u64,
    pub moment: Moment,
}

/// The moment of a crash at an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It does not land.
    Before,
    /// It landed, and nobody learns of it.
    During,
    /// The effects of the append have left, and are under way.
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

/// The time from an incarnation's last append to its end: shorter than most calls travel.
const LAST_MOMENTS: Duration = Duration::from_millis(1);

/// The switch that ends an incarnation, shared by the harness and the log.
///
/// INVARIANT: once cut off, nothing is appended any more, and the loop is never polled again.
pub(super) struct Incarnation {
    state: Mutex<IncarnationState>,
    /// Told when the planned crash has come.
    crashed: Notify,
}

struct IncarnationState {
    appends: u64,
    plan: Option<CrashPoint>,
    looping: Option<AbortHandle>,
    over: bool,
}

/// Tells when the loop and its log are gone: nobody holds a sender any more.
pub(super) type Gone = mpsc::Receiver<()>;

impl Incarnation {
    /// An incarnation on this log, and the log for its coordinator: the latter ends with the
    /// incarnation, and durable records stay in the former.
    pub fn begin(log: MemoryLog, plan: Option<CrashPoint>) -> (Arc<Self>, impl Log, Gone) {
        let state = Mutex::new(IncarnationState { appends: 0, plan, looping: None, over: false });
        let incarnation = Arc::new(Self { state, crashed: Notify::new() });
        let (here, gone) = mpsc::channel::<()>(1);
        let lived = incarnation.clone();
        let mortal = intercept_appends(log, move |writer, after, batch| {
            let _held_until_the_log_is_gone = &here;
            lived.append(writer, after, batch)
        });
        (incarnation, mortal, gone)
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

    fn append(
        self: &Arc<Self>,
        writer: &mut dyn LogWriter,
        after: Position,
        batch: &[Entry],
    ) -> Result<Position, AppendError> {
        let moment = self.next_append()?;
        if moment == Some(Moment::Before) {
            self.crash();
            return Err(crashed());
        }
        let landed = writer.append(after, batch)?;
        match moment {
            Some(Moment::During) => {
                self.crash();
                return Err(crashed());
            }
            Some(_) => self.crash_soon(),
            None => {}
        }
        Ok(landed)
    }

    /// Counts an append; `Err` if the incarnation is over, `Some` if it ends at this append.
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
