//! A backup: a copy of the log as it stood at one moment, made while a coordinator runs.
//!
//! `VACUUM INTO` reads in one transaction, which sees only durable commits, and writes a file
//! without free pages, so that no deleted data is in it. SQLite does not sync that file; this does,
//! before it gets its name, which never replaces a file: see [`super::unfinished`].
//!
//! INVARIANT: what has the name is whole, durable, and marked as a copy.

use std::fs::TryLockError;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::BUSY_TIMEOUT;
use super::file::LogFile;
use super::look::make_sure_it_is_one;
use super::meta::{Meta, MetaError};
use super::probe::reached;
use super::unfinished::{self, Unfinished};
use super::write_ahead::broken_frame;
use crate::log::OpenError;
use crate::log::maintenance::CopyError;

pub(super) fn backup(log: &Path, to: &Path) -> Result<(), CopyError> {
    let storage = |why: String| {
        let (log, to) = (log.to_owned(), to.to_owned());
        CopyError::Storage { log, to, why }
    };
    if !log.try_exists().map_err(|why| storage(why.to_string()))? {
        return Err(OpenError::Missing { log: log.display().to_string() }.into());
    }
    if unfinished::is_one(to) {
        return Err(CopyError::Name { to: to.to_owned() });
    }
    let exists = || CopyError::Exists { to: to.to_owned() };
    if to.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let sqlite = |error: rusqlite::Error| storage(error.to_string());
    let _kept = LogFile::keep(log).map_err(|why| storage(why.to_string()))?;
    // Otherwise SQLite, when closed, copies the readable part into the database and drops the rest.
    if let Some(frame) = broken_frame(log).map_err(|why| storage(why.to_string()))? {
        let why = format!("frame {frame} of its write-ahead log is broken");
        return Err(OpenError::Damaged { log: log.display().to_string(), why }.into());
    }
    let from = read(log).map_err(sqlite)?;
    make_sure_it_is_one(&from, log)?;
    let unfinished = Unfinished::beside(to, "").map_err(|error| match error {
        TryLockError::WouldBlock => CopyError::InProgress { to: to.to_owned() },
        TryLockError::Error(error) => storage(error.to_string()),
    })?;
    reached("the copy is begun");
    copy(&from, unfinished.path()).map_err(|why| storage(why.to_string()))?;
    match unfinished.named(to) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Err(exists()),
        named => named.map_err(|why| storage(why.to_string())),
    }
}

/// Opens a connection that reads, but may write: otherwise it would leave SQLite's files behind, in
/// its own name, if no coordinator runs.
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
