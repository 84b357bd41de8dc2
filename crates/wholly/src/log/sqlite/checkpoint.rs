//! Checkpoints, and the account of the bytes and syncs that reached storage.
//!
//! A thread copies the write-ahead log into the database while batches go on. The next batch's
//! writer copies the little that was appended meanwhile, so that nothing is left over and the
//! write-ahead log starts again at its beginning: its size stays bounded and its blocks, once
//! allocated, are used again, which makes a sync cheap.
//!
//! The account: SQLite reports after each commit the number of frames in the write-ahead log (a
//! frame is a page and 24 bytes), and after each checkpoint the frames copied; each page among them
//! is written once. A commit is one sync, the start of a write-ahead log one more (its header), and
//! a checkpoint two (the write-ahead log, then the database).

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::super::Written;
use super::{BUSY_TIMEOUT, connect, create::PAGE_BYTES};

/// The number of frames that makes a checkpoint worth while: 4 MiB.
const WORTH_WHILE: u32 = 2_048;
/// The number of frames at which the writer checkpoints itself, if the thread lags behind.
const TOO_MANY: u32 = 8 * WORTH_WHILE;

const FRAME_HEADER_BYTES: u64 = 24;
const WAL_HEADER_BYTES: u64 = 32;

thread_local! {
    /// The write-ahead log's frames after this thread's last commit: SQLite's hook takes a plain
    /// function, and calls it on the thread that commits.
    static FRAMES: Cell<u32> = const { Cell::new(0) };
}

/// The writer's end.
pub(super) struct Checkpoints {
    account: Arc<Account>,
    /// The write-ahead log's frames after the last commit.
    frames: u32,
    asked: bool,
    /// `None` only while dropping: closing it ends the thread.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The state that the writer and the thread share.
struct Account {
    write_ahead: PathBuf,
    syncs: AtomicU64,
    bytes: AtomicU64,
    /// The number of frames of the write-ahead log that are in the database already.
    copied: AtomicU32,
    /// True if the thread has done its part.
    mostly_done: AtomicBool,
}

impl Checkpoints {
    /// Begins the account of `file`, and the thread. The write-ahead log is empty.
    pub(super) fn start(file: &Connection, path: &Path) -> Result<Self, String> {
        file.wal_hook(Some(|_, frames| {
            FRAMES.set(frames.unsigned_abs());
            Ok(())
        }));
        let mut write_ahead = path.as_os_str().to_owned();
        write_ahead.push("-wal");
        let account = Arc::new(Account {
            write_ahead: write_ahead.into(),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            copied: AtomicU32::new(0),
            mostly_done: AtomicBool::new(false),
        });
        let own = connect(path, 256).map_err(|error| error.to_string())?;
        let (wake, woken) = sync_channel(1);
        let for_thread = account.clone();
        let thread = std::thread::Builder::new()
            .name("wholly-checkpoint".to_owned())
            .spawn(move || run(&own, &for_thread, &woken))
            .map_err(|error| error.to_string())?;
        let thread = Some(thread);
        Ok(Self { account, frames: 0, asked: false, wake: Some(wake), thread })
    }

    /// Accounts for a commit that this thread just made, and keeps the write-ahead log bounded.
    pub(super) fn committed(&mut self, file: &Connection) {
        let frames = FRAMES.replace(0);
        if frames == 0 {
            return; // Nothing was written.
        }
        let mut new = frames.saturating_sub(self.frames);
        if self.frames == 0 || frames <= self.frames {
            new = frames;
            self.account.copied.store(0, SeqCst);
            self.account.add(1, WAL_HEADER_BYTES);
        }
        self.frames = frames;
        self.account.add(1, u64::from(new) * (PAGE_BYTES + FRAME_HEADER_BYTES));

        if self.account.mostly_done.swap(false, SeqCst) {
            self.asked = false;
            self.account.checkpoint(file);
        } else if frames >= TOO_MANY {
            self.account.checkpoint(file);
        } else if frames >= WORTH_WHILE && !self.asked {
            self.asked = self.wake.as_ref().is_some_and(|wake| wake.try_send(()).is_ok());
        }
    }

    /// Copies everything, and cuts the write-ahead log off, so that nothing is left in it. Returns
    /// true if it could, without waiting for present readers and copiers.
    pub(super) fn cut_off(&mut self, file: &Connection) -> bool {
        self.account.checkpoint(file);
        let cut = file.busy_timeout(Duration::ZERO).and_then(|()| {
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        });
        let waits_again = file.busy_timeout(BUSY_TIMEOUT);
        let done = matches!(cut, Ok(false)) && waits_again.is_ok();
        if done {
            self.frames = 0;
        }
        done
    }

    pub(super) fn written(&self) -> Written {
        Written { syncs: self.account.syncs.load(SeqCst), bytes: self.account.bytes.load(SeqCst) }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has harmed nothing: the next opening copies the rest.
            let _ = thread.join();
        }
    }
}

fn run(file: &Connection, account: &Account, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        account.checkpoint(file);
        account.mostly_done.store(true, SeqCst);
    }
}

impl Account {
    /// Copies as much as it can without waiting for anyone. A failure is left to the next
    /// checkpoint: the write-ahead log still holds everything.
    fn checkpoint(&self, file: &Connection) {
        let before = self.copied.load(SeqCst);
        let done = file
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2))
            .ok()
            .and_then(|frames| u32::try_from(frames).ok())
            .unwrap_or(before);
        if done > before {
            let pages = self.distinct_pages(before, done).unwrap_or(u64::from(done - before));
            self.add(2, pages * PAGE_BYTES);
            self.copied.store(done, SeqCst);
        }
    }

    /// Counts the different pages in the frames from `from` on up to `to`.
    ///
    /// Reading the file beside SQLite is safe here, and only here: closing a file drops the
    /// process's locks on it, and SQLite locks the database and its `-shm`, never its `-wal`.
    fn distinct_pages(&self, from: u32, to: u32) -> std::io::Result<u64> {
        let frame_bytes = (PAGE_BYTES + FRAME_HEADER_BYTES) as usize;
        let mut wal = BufReader::with_capacity(256 * frame_bytes, File::open(&self.write_ahead)?);
        wal.seek_relative((WAL_HEADER_BYTES + u64::from(from) * frame_bytes as u64) as i64)?;
        let mut pages = HashSet::new();
        let mut frame = vec![0; frame_bytes];
        for _ in from..to {
            wal.read_exact(&mut frame)?;
            pages.insert([frame[0], frame[1], frame[2], frame[3]]);
        }
        Ok(pages.len() as u64)
    }

    fn add(&self, syncs: u64, bytes: u64) {
        self.syncs.fetch_add(syncs, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }
}
