//! The log's file: its owner and its identity.
//!
//! *Owner:* the owner holds a lock on the database's file itself. A lock beside it would be another
//! lock for each path that leads to the file, while SQLite would keep a write-ahead log for each of
//! them, and each owner would believe its own.
//!
//! *Identity:* the inode and the time of birth tell a file from a copy of it. The device's number
//! is ignored: it may change with a restart of the machine.
//!
//! INVARIANT: this process closes the file only after SQLite has closed it everywhere. POSIX drops
//! all locks of a process on a file when the process closes any of its descriptors, those that
//! SQLite holds among them; another program would then take the write-ahead log for nobody's, and
//! delete it. So a file is opened once, and whoever has a connection to it keeps it open.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::UNIX_EPOCH;

use super::probe::{Bug, planted};

/// A file that is kept open.
#[derive(Debug)]
pub(super) struct LogFile {
    lock: File,
    owned: AtomicBool,
}

/// The open files, by device and inode: an inode is not reused while a descriptor has it open.
static OPEN: Mutex<BTreeMap<(u64, u64), Weak<LogFile>>> = Mutex::new(BTreeMap::new());

impl LogFile {
    /// Keeps the existing file at `path` open.
    pub(super) fn keep(path: &Path) -> io::Result<Arc<Self>> {
        let path = lock_path(path);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(known) = find(&open, &std::fs::metadata(&path)?) {
            return Ok(known);
        }
        let lock = OpenOptions::new().read(true).write(true).open(&path)?;
        let metadata = lock.metadata()?;
        if let Some(known) = find(&open, &metadata) {
            // The name led elsewhere a moment ago. Closing would drop the locks.
            std::mem::forget(lock);
            return Ok(known);
        }
        let file = Arc::new(Self { lock, owned: AtomicBool::new(false) });
        open.insert(number(&metadata), Arc::downgrade(&file));
        Ok(file)
    }

    /// True if this is the file at `path`, and not one that took its place.
    #[cfg(target_os = "linux")]
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(number(&self.lock.metadata()?) == number(&std::fs::metadata(path)?))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    /// Takes the ownership, unless another has it.
    pub(super) fn own(self: &Arc<Self>) -> Result<Owned, TryLockError> {
        if self.owned.swap(true, SeqCst) {
            return Err(TryLockError::WouldBlock);
        }
        match self.lock.try_lock() {
            Ok(()) => Ok(Owned(Arc::clone(self))),
            Err(error) => {
                self.owned.store(false, SeqCst);
                Err(error)
            }
        }
    }
}

fn find(open: &BTreeMap<(u64, u64), Weak<LogFile>>, of: &Metadata) -> Option<Arc<LogFile>> {
    // On a system without numbers of files, closing one drops nobody's locks either.
    Some(number(of)).filter(|number| *number != UNKNOWN).and_then(|of| open.get(&of)?.upgrade())
}

/// The ownership of a log. It ends with this value; the file stays open for its readers.
#[derive(Debug)]
pub(super) struct Owned(Arc<LogFile>);

impl Owned {
    pub(super) fn file(&self) -> &Arc<LogFile> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A file that cannot be unlocked is unlocked when it is closed.
        let _ = self.0.lock.unlock();
        self.0.owned.store(false, SeqCst);
    }
}

/// The file whose lock marks the owner of the log. On Linux it is the database itself, for there
/// this kind of lock and SQLite's kind do not see each other.
#[cfg(target_os = "linux")]
fn lock_path(path: &Path) -> PathBuf {
    path.to_owned()
}

#[cfg(not(target_os = "linux"))]
fn lock_path(path: &Path) -> PathBuf {
    let lock = beside(path, ".lock");
    // A failure shows when the file is opened.
    let _ = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
    lock
}

/// The path of a file that stands beside the log's.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The one path of a file that may be named in several ways: links are followed.
pub(super) fn canonical(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(io::Error::other("it is a link that leads nowhere"));
            }
            let name = path.file_name().ok_or(error)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            Ok(parent.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        found => found,
    }
}

/// Makes an empty file that nobody else may read, for it will hold payloads; SQLite gives its own
/// files beside it the same rights. An existing file stays as it is.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if !planted(Bug::Public) {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Syncs a file's directory, which makes the file's name durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match cfg!(unix) {
        true => File::open(parent.unwrap_or(Path::new("."))).and_then(|d| d.sync_all()),
        false => Ok(()),
    }
}

/// The numbers that tell a file from another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileId {
    /// The device, for an operator to read.
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The time of its birth, in nanoseconds since the Unix epoch; 0 if unknown.
    pub(super) born_nanos: u64,
}

impl FileId {
    /// The numbers of the file at `path`, and the count of its names.
    pub(super) fn at(path: &Path) -> io::Result<(Self, u64)> {
        let metadata = std::fs::metadata(path)?;
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born_nanos = born.map_or(0, |born| born.as_nanos() as u64);
        let (device, inode) = number(&metadata);
        Ok((Self { device, inode, born_nanos }, links(&metadata)))
    }

    /// True if both are one file, as far as that can be told.
    pub(super) fn is_same(self, other: Self) -> bool {
        let born = [self.born_nanos, other.born_nanos];
        self.inode == other.inode && (born.contains(&0) || born[0] == born[1])
    }
}

/// A file and its write-ahead log as they were when the log was opened. They are checked after each
/// commit: SQLite does not notice when a program moves or removes them, and goes on writing to
/// files that nobody will find.
#[derive(Debug)]
pub(super) struct Watch {
    files: [(PathBuf, (u64, u64)); 2],
}

impl Watch {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let seen = |path: PathBuf| {
            let number = number(&std::fs::metadata(&path)?);
            Ok::<_, io::Error>((path, number))
        };
        Ok(Self { files: [seen(path.to_owned())?, seen(beside(path, "-wal"))?] })
    }

    /// Checks that both are still there, under their names.
    ///
    /// INVARIANT: they are looked at by `stat` alone, see the module's page.
    pub(super) fn look(&self) -> Result<(), String> {
        for (path, known) in &self.files {
            let why = match number_at(path) {
                Ok(number) if number == *known => continue,
                Ok(_) => "was replaced".to_owned(),
                Err(error) => format!("is gone: {error}"),
            };
            return Err(format!("the file {} {why}", path.display()));
        }
        Ok(())
    }
}

/// Reads the file's number and nothing else. Since Linux 6.13 a query of a file's times makes its
/// next write give it new ones, to the nanosecond; each sync of the write-ahead log then writes its
/// inode as well, and takes half as long again.
#[cfg(target_os = "linux")]
fn number_at(path: &Path) -> io::Result<(u64, u64)> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO)?;
    Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

#[cfg(not(target_os = "linux"))]
fn number_at(path: &Path) -> io::Result<(u64, u64)> {
    Ok(number(&std::fs::metadata(path)?))
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(unix)]
fn links(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

/// The number that no file has.
const UNKNOWN: (u64, u64) = (0, 0);

#[cfg(not(unix))]
fn number(_: &Metadata) -> (u64, u64) {
    UNKNOWN
}

#[cfg(not(unix))]
fn links(_: &Metadata) -> u64 {
    1
}
