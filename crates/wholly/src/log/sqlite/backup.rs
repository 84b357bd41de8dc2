//! A backup: a copy of the log as it stood at one moment, made while a coordinator runs.
//!
//! `VACUUM INTO` reads in one transaction, which sees only what is durable, and writes a file
//! without free pages, so that nothing that was deleted is in it. SQLite does not sync that file;
//! this does, before it gets its name, which never replaces a file: see [`super::unfinished`].
//!
//! INVARIANT: what has the name is whole, durable, and marked as a copy.

use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::BUSY_TIMEOUT;
use super::file::LogFile;
use super::look::make_sure_it_is_one;
use super::meta::{Meta, MetaError};
use super::probe::reached;
use super::unfinished::{self, Unfinished};
use super::write_ahead::broken_frame;
use crate::log::OpenError;

/// Why there is no copy: no backup, or nothing salvaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// What should be copied is no log, or one of a newer version; or, to be salvaged, it is in use,
    /// or there is none.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// There is no such log.
    #[error("there is no log {}", .log.display())]
    NoLog {
        /// The log.
        log: PathBuf,
    },
    /// There is nothing in it that could be read, to be salvaged.
    #[error("nothing can be read from the log {}: {why}", .log.display())]
    Nothing {
        /// The log.
        log: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// There is something in its place.
    #[error("{} exists already; a copy replaces nothing: name another file", .to.display())]
    Exists {
        /// The copy's path.
        to: PathBuf,
    },
    /// Another copy to the same file is being made.
    #[error("another copy is being written to {}: wait for it, or name another file", .to.display())]
    InProgress {
        /// The copy's path.
        to: PathBuf,
    },
    /// Its name would be that of a copy that is not finished, which nobody opens.
    #[error("{} is a name of unfinished copies, which are not opened: name another file", .to.display())]
    Name {
        /// The copy's path.
        to: PathBuf,
    },
    /// Storage failed.
    #[error("the log {} cannot be copied to {}: {why}", .log.display(), .to.display())]
    Storage {
        /// The log.
        log: PathBuf,
        /// The copy's path.
        to: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// A copy that is to be made.
#[derive(Clone, Copy)]
pub(super) struct Copying<'a> {
    pub(super) log: &'a Path,
    pub(super) to: &'a Path,
}

impl Copying<'_> {
    pub(super) fn storage(self, why: &impl ToString) -> CopyError {
        let (log, to, why) = (self.log.to_owned(), self.to.to_owned(), why.to_string());
        CopyError::Storage { log, to, why }
    }

    /// Makes sure that the copy may have its name.
    pub(super) fn make_sure_of_the_name(self) -> Result<(), CopyError> {
        let to = self.to.to_owned();
        if unfinished::is_one(&to) {
            return Err(CopyError::Name { to });
        }
        if to.symlink_metadata().is_ok() {
            return Err(CopyError::Exists { to });
        }
        Ok(())
    }

    pub(super) fn begin(self, part: &str) -> Result<Unfinished, CopyError> {
        Unfinished::beside(self.to, part).map_err(|error| match error {
            TryLockError::WouldBlock => CopyError::InProgress { to: self.to.to_owned() },
            TryLockError::Error(error) => self.storage(&error),
        })
    }

    pub(super) fn finish(self, copy: Unfinished) -> Result<(), CopyError> {
        copy.named(self.to).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => CopyError::Exists { to: self.to.to_owned() },
            _ => self.storage(&error),
        })
    }
}

pub(super) fn backup(log: &Path, to: &Path) -> Result<(), CopyError> {
    let copying = Copying { log, to };
    let io = |error: io::Error| copying.storage(&error);
    if !log.try_exists().map_err(io)? {
        return Err(CopyError::NoLog { log: log.to_owned() });
    }
    copying.make_sure_of_the_name()?;
    let _kept = LogFile::keep(log).map_err(io)?;
    // Else SQLite would copy what it can read into the database when it is closed, and drop the rest.
    if let Some(frame) = broken_frame(log).map_err(io)? {
        let why = format!("frame {frame} of its write-ahead log is broken");
        return Err(OpenError::Damaged { log: log.display().to_string(), why }.into());
    }
    let from = read(log).map_err(|error| copying.storage(&error))?;
    make_sure_it_is_one(&from, log)?;
    let unfinished = copying.begin("")?;
    reached("the copy is begun");
    copy(&from, unfinished.path()).map_err(|error| copying.storage(&error))?;
    copying.finish(unfinished)
}

/// A connection that reads, and is allowed to write: else it would leave SQLite's files behind, in
/// its own name, where no coordinator runs.
fn read(log: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(log, flags)?;
    from.busy_timeout(BUSY_TIMEOUT)?;
    from.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    Ok(from)
}

fn copy(from: &Connection, to: &Path) -> Result<(), MetaError> {
    from.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    reached("the copy holds all");
    let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Meta { copy: true, ..Meta::read(&copy)? }.write(&copy)?;
    copy.close().map_err(|(_, error)| error)?;
    reached("the copy is marked");
    Ok(())
}
