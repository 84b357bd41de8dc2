//! A check of a large log, in the background of its owner.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::check::FileCheck;
use super::connect;
use super::file::LogFile;
use super::meta::Meta;
use crate::log::{DamageRegister, ReadError};

/// The check rests after each piece for this many times its duration, so that appends and reads
/// have the disk and the processors to themselves nine tenths of the time. It need not be fast:
/// without a rest, 5 million transactions took half of the throughput for a minute.
const RESTS: u32 = 9;
/// The longest rest, where the disk is slow.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A check that runs until it is done, or this is dropped.
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Begins a check of the entries indexed by now. `checking` is true until it is done.
    pub(super) fn start(
        path: &Path,
        meta: Meta,
        damage: DamageRegister,
        checking: Arc<AtomicBool>,
        file: Arc<LogFile>,
    ) -> Result<Self, String> {
        let connection = connect(path, 2_000).map_err(|error| error.to_string())?;
        // Of what is there by now: what is appended meanwhile has greater ordinals.
        let mut check = FileCheck::begin(&connection, meta).map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        checking.store(true, SeqCst);
        let run = move || {
            let mut told = 0;
            let mut tell = |what: String| {
                told += 1;
                damage.note(what);
            };
            let ended = loop {
                let begun = Instant::now();
                match check.piece(&connection, &mut |problem| tell(problem.what)) {
                    Ok(true) if !stopped.load(SeqCst) => {
                        std::thread::park_timeout((begun.elapsed() * RESTS).min(LONGEST_REST));
                    }
                    ended => break ended,
                }
            };
            match ended {
                Ok(false) => {
                    let checked = check.transactions;
                    tracing::info!(
                        "the log was checked: {checked} transactions, {told} damaged places"
                    );
                }
                Ok(true) => {}
                Err(ReadError::Damaged { why }) => tell(why),
                Err(error) => tracing::warn!("the check of the log stopped early: {error}"),
            }
            checking.store(false, SeqCst);
            // The connection goes before the file that it keeps open.
            drop(connection);
            drop(file);
        };
        let thread = std::thread::Builder::new()
            .name("wholly-check".to_owned())
            .spawn(run)
            .map_err(|error| error.to_string())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there has harmed nothing: it only reads.
            let _ = thread.join();
        }
    }
}
