//! A limit on the size of files (`ulimit -f`, `LimitFSIZE`), which is to be like a full disk.
//!
//! The system sends SIGXFSZ to a process that writes beyond the limit, and its default is to end
//! the process. If the signal has a handler, the write fails with EFBIG instead, and takes the path
//! of every write that fails.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Makes a write beyond the limit an error of that write, for as long as the process lives.
///
/// A process that it starts has the system's default again.
pub fn refuse_writes_beyond_the_limit() -> io::Result<()> {
    // The handler is the process's and stays; the runtime is only needed to install it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}
