//! Is this file the log, or a copy of it?
//!
//! Two coordinators that run on two copies of one log mint under one identity, and each acts on
//! what the other decides differently. So the log remembers the number of its file (its inode), and
//! one that is found in another file was copied, or moved to another disk: only a person knows
//! which. A backup is marked as a copy. What cannot be told from the file itself, such as the
//! snapshot of a whole disk, has to be said.

use std::path::Path;

use rusqlite::Connection;
use wholly_core::LogId;

/// What a file is opened as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Claim {
    /// The log, where it was.
    #[default]
    Original,
    /// The log, in another file now.
    Moved,
    /// A copy of the log.
    Restored,
}

/// The number of no file.
const UNKNOWN: i64 = 0;
/// The file that a backup says it is in: none.
pub(super) const COPY: i64 = -1;

/// Whether the log was in this file when it was open last, as far as that can be told.
pub(super) fn is_where_it_was(log: &Connection, path: &Path) -> rusqlite::Result<bool> {
    let was: i64 = log.query_row("SELECT file FROM meta", [], |row| row.get(0))?;
    let is = number(path);
    Ok(was == UNKNOWN || (was != COPY && (is == UNKNOWN || is == was)))
}

/// Takes the log over, by a commit of its own: raises the epoch, remembers the file, and gives the
/// log the new identity, if there is one. Returns the identity and the epoch.
pub(super) fn take_over(
    log: &Connection,
    path: &Path,
    identity: Option<[u8; 8]>,
) -> rusqlite::Result<(LogId, u64)> {
    log.query_row(
        "UPDATE meta SET epoch = epoch + 1, file = ?1, identity = coalesce(?2, identity)
         RETURNING identity, epoch",
        (number(path), identity),
        |row| {
            let identity = u64::from_be_bytes(row.get(0)?);
            Ok((LogId::from_bits(identity), row.get::<_, i64>(1)?.unsigned_abs()))
        },
    )
}

#[cfg(unix)]
fn number(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(path).map_or(0, |file| file.ino());
    // Never negative, which would be a copy.
    (inode & i64::MAX as u64) as i64
}

#[cfg(not(unix))]
fn number(_: &Path) -> i64 {
    UNKNOWN
}
