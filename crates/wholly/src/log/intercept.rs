//! A log whose appends pass a function: for what observes or disturbs a coordinator.

use std::sync::Arc;

use wholly_core::Timestamp;

use super::{
    AppendError, Entry, KnownLog, Log, LogWriter, OpenError, OpenLog, Position, WithoutPayloads,
    Written,
};

/// The log, whose every append is made by `append`; that gets the log's own writer to do so. All
/// writers share `append`, which is dropped with the last of them and the log.
pub fn intercept_appends(
    log: impl Log,
    append: impl Fn(&mut dyn LogWriter, Position, &[Entry]) -> Result<Position, AppendError>
    + Send
    + Sync
    + 'static,
) -> impl Log {
    Intercepted { inner: log, append: Arc::new(append) }
}

type Append =
    dyn Fn(&mut dyn LogWriter, Position, &[Entry]) -> Result<Position, AppendError> + Send + Sync;

/// A log, or its writer.
struct Intercepted<T> {
    inner: T,
    append: Arc<Append>,
}

impl<L: Log> Intercepted<L> {
    fn intercepted(&self, open: OpenLog) -> OpenLog {
        let writer = Intercepted { inner: open.writer, append: self.append.clone() };
        OpenLog { writer: Box::new(writer), ..open }
    }
}

impl<L: Log> Log for Intercepted<L> {
    fn open(&self) -> Result<OpenLog, OpenError> {
        Ok(self.intercepted(self.inner.open()?))
    }

    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError> {
        Ok(self.intercepted(self.inner.reopen(told)?))
    }
}

impl LogWriter for Intercepted<Box<dyn LogWriter>> {
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError> {
        (self.append)(&mut *self.inner, after, batch)
    }

    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError> {
        self.inner.trim(before, limit)
    }

    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError> {
        self.inner.remove_payloads(before, limit, without)
    }

    fn written(&self) -> Written {
        self.inner.written()
    }
}
