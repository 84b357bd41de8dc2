//! An unfinished copy of a log, under a name that nobody takes for a log's.
//!
//! A copy is written to `.NAME.unfinished-copy` beside the file that it is to become, and gets that
//! file's name when it is whole and durable. A kill leaves the hidden file, which holds payloads
//! and may be a whole log without the mark of a copy. So no such file is opened, and the next copy
//! to the same folder removes it.
//!
//! INVARIANT: whoever writes such a file owns it, as a coordinator owns its log; one that nobody
//! owns is a leftover.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::file::{LogFile, Owned, beside, sync_directory};
use super::probe::reached;

const SUFFIX: &str = ".unfinished-copy";

/// The files that SQLite makes beside a database, and the lock where it is a file of its own.
const BESIDE: [&str; 4] = ["-journal", "-wal", "-shm", ".lock"];

/// A copy that is being written. Its leftovers go with this value.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    is_named: bool,
    _owned: Owned,
}

impl Unfinished {
    /// Makes an empty file that nobody else may read, for the copy `to`, and removes the leftovers
    /// of killed copies in that folder. `part` tells apart several files for one copy.
    ///
    /// # Errors
    /// `WouldBlock` if another copy to the same file is being written.
    pub(super) fn beside(to: &Path, part: &str) -> Result<Self, TryLockError> {
        let name = to.file_name().ok_or(io::Error::from(ErrorKind::InvalidInput));
        let mut hidden = OsString::from(".");
        hidden.push(name.map_err(TryLockError::Error)?);
        hidden.push(part);
        hidden.push(SUFFIX);
        let path = to.with_file_name(hidden);
        remove_leftovers(&path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lost = |error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotFound => TryLockError::WouldBlock,
            _ => TryLockError::Error(error),
        };
        if let Err(error) = options.open(&path) {
            return Err(match error.kind() {
                // There is no such folder.
                ErrorKind::NotFound => TryLockError::Error(error),
                _ => lost(error),
            });
        }
        // Another copy to the same file may take this one for a leftover until it is owned.
        let owned = LogFile::keep(&path).map_err(lost)?.own()?;
        match owned.file().is_at(&path) {
            Ok(true) => Ok(Self { path, is_named: false, _owned: owned }),
            Ok(false) => Err(TryLockError::WouldBlock),
            Err(error) => Err(lost(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the copy durable, then gives it its name, replacing no file, and makes that durable.
    pub(super) fn named(mut self, to: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        reached("the copy is durable");
        rename_to_nothing(&self.path, to)?;
        self.is_named = true;
        reached("the copy has its name");
        sync_directory(to).inspect_err(|_| {
            // A caller that learns of no copy should find none.
            let _ = fs::remove_file(to);
        })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_named {
            remove(&self.path);
        }
    }
}

/// True for the file of an unfinished copy, by its name.
pub(super) fn is_one(path: &Path) -> bool {
    let bytes = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    bytes.starts_with(b".") && bytes.ends_with(SUFFIX.as_bytes())
}

/// Removes every unfinished copy in the folder that nobody writes. A file that cannot be removed
/// stays: it may be another user's.
fn remove_leftovers(own: &Path) {
    let folder = own.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        // An empty one of another name may have been made a moment ago, and is not owned yet.
        let is_own = path.file_name() == own.file_name();
        let is_old = is_own || path.symlink_metadata().is_ok_and(|file| file.len() > 0);
        if is_one(&path)
            && is_old
            && let Ok(Ok(_owned)) = LogFile::keep(&path).map(|file| file.own())
        {
            remove(&path);
        }
    }
}

/// Removes the file last: by it the others are found.
fn remove(path: &Path) {
    for suffix in BESIDE.into_iter().chain([""]) {
        // A file that cannot be removed has a name that tells its kind.
        let _ = fs::remove_file(beside(path, suffix));
    }
}

/// Gives a file another name, if nothing has that name yet.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}
