//! The log in one SQLite file: the embedded default.
//!
//! The file is in WAL mode with `synchronous=FULL`, so a batch is one SQLite transaction and one
//! sync. Its layout is described in `docs/log-format.md`; why it is as it is:
//!
//! - **What a batch writes is appended and nothing else.** In WAL mode a commit writes every page
//!   that it touched, so a batch of 32 small entries costs far more in touched index pages than in
//!   content. Entries go to the end of one table, whose key is the batch's position and the
//!   entry's place in it (so the position needs no page of its own). The indexes (by transaction,
//!   by label, by key, the unsettled) follow in sorted runs of some thousand entries; what they do
//!   not hold yet is the *tail*, kept in memory and read back by the next opening.
//! - **Pages are small** (2 KiB), for the same reason: a batch rewrites the pages at the edges of
//!   the table, with pages of 4 KiB twice as many bytes. In pages of 1 KiB half of the room stays
//!   empty, because one start of a transaction fits in and a second does not.
//! - **Large entries share their pages with small ones**: see `pack`.
//! - **What a list asks for is one small number** in each entry, its label: see `labels`. The index
//!   by label gives a page of a list without looking at what does not match: see `list`.
//! - **Checkpoints run on a thread of their own**, and the batch that follows one finishes it, so
//!   that the write-ahead log starts over and stays bounded.
//!
//! SQLite shows a commit to other connections only after it synced it (`synchronous=FULL` syncs
//! the frames before the wal-index learns of them), so readers see only what is durable. The
//! exception is a commit of a killed process, which is why opening checkpoints first.
//!
//! # Whether it is the log, and whole
//!
//! Storage is assumed to keep what `fsync` promised, and to write a sector without harming its
//! neighbours (SQLite's powersafe overwrite). A network file system keeps neither promise. What it
//! gives back is not believed:
//!
//! | module | what it finds |
//! |---|---|
//! | `side` | an older copy, another log, a loss at the end: a file beside the database knows better |
//! | `file` | the same log by another path, several names, a file that vanished or was replaced |
//! | `write_ahead` | a broken frame in the middle of the write-ahead log |
//! | `checksum`, `row` | an entry that is not what was written |
//! | `tail`, `index` | an entry that is missing among those that a restart acts on |
//! | `find`, `check`, `background` | an index that says something else than the entries |
//! | `verify`, `salvage` | all of it, for an operator; and a copy of what is whole |
//!
//! # What the indexes of its own earn
//!
//! The tail, the runs, the packing and the merged lists are 594 lines, and comparing them with the
//! entries some 150 more. Measured against a log that is the same but for indexes of SQLite's, always
//! current (an index by ordinal on `entries`; `transactions` with partial indexes by key, by label and
//! by what is unsettled; lists as one `UNION ALL` by label), about 500 lines fewer; medians of four
//! pairs in turns, three participants, payloads of 100 bytes:
//!
//! | workload | log bytes a transaction, own | plain | transactions a second, plain by own |
//! |---|---|---|---|
//! | in process, 1 at once | 7,353 | 27,910 | noise |
//! | in process, 8 at once | 3,841 | 10,280 | noise |
//! | in process, 64 at once | 2,199 | 3,228 | 0.80 |
//! | in process, 64 at once, random keys | 5,575 | 8,863 | 0.71 |
//! | the same, 2 million keys stored | 8,727 | 10,617 | 1.04 |
//! | in process, 1,000 at once | 1,957 | 2,269 | 1.14 |
//! | over HTTP, 64 at once | 2,455 | 3,981 | 0.98 |
//!
//! Of lists of 5 million transactions warm p99 is 0.02 to 0.64 ms with its own and 0.03 to 3.0 ms with
//! plain ones (the median ratio 1.4); cold p50 of filters that few match 0.3 and 6 to 8 ms, which an
//! index that covers the id would mend. Files are as large (876 and 883 bytes a transaction).
//!
//! They stay: with plain ones a transaction over HTTP writes 1.6 times as much, and 2.7 to 3.8 times
//! where few are in flight, which is where most servers are most of the time, on disks that are paid
//! by what is written to them. Where many are in flight, or many random keys are stored (each dirties
//! a page of the index, whatever its kind), they earn little.

mod background;
mod backup;
mod check;
mod checkpoint;
mod checksum;
mod create;
mod ends;
mod file;
mod find;
mod id;
mod index;
mod labels;
mod list;
mod look;
mod meta;
mod open;
mod pack;
mod probe;
mod reader;
mod retention;
mod row;
mod salvage;
mod side;
mod tail;
mod unfinished;
mod verify;
mod write_ahead;
mod writer;

#[cfg(test)]
mod attack;
#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use wholly_core::LogId;

use super::maintenance::{
    CopyError, Maintenance, Provenance, Salvaged, Unsupported, Verified, VerifyError,
};
use super::{AppendError, DamageRegister, KnownLog, Log, OpenError, OpenLog, ReadError};

/// The log in one SQLite file, readable with everyone's tools: `select * from history`.
///
/// ```
/// use wholly::SqliteLog;
/// use wholly::log::Log;
/// use wholly::log::listing::Query;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("wholly.db");
/// let open = SqliteLog::at(path).create_if_missing().open()?;
/// assert!(open.reader.list(&Query::newest(10))?.rows.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteLog {
    path: PathBuf,
    create: bool,
    /// What the next opening takes the file for.
    provenance: Arc<Mutex<Provenance>>,
    damage: DamageRegister,
}

impl SqliteLog {
    /// The log in the file at `path`, which is there. Beside it stand `-wal` and `-shm`, which are
    /// SQLite's, and `-side`, which tells the log from an older copy of it: they belong together.
    pub fn at(path: impl AsRef<Path>) -> Self {
        let damage = DamageRegister::default();
        Self { path: path.as_ref().to_owned(), create: false, provenance: Arc::default(), damage }
    }

    /// Where there is no log, the first opening makes one, and says so. A program whose log may be
    /// on a disk that is not mounted yet had better not say this, and [`create`](Maintenance::create) it
    /// once.
    #[must_use]
    pub fn create_if_missing(self) -> Self {
        Self { create: true, ..self }
    }

    /// The log in this file, which is a copy: see [`Provenance::Restored`]. Only the first opening
    /// gives it an identity of its own.
    #[must_use]
    pub fn restored(self) -> Self {
        self.declared(Provenance::Restored)
    }

    /// The log in this file, to which it was moved: see [`Provenance::Moved`].
    #[must_use]
    pub fn moved(self) -> Self {
        self.declared(Provenance::Moved)
    }

    fn declared(self, provenance: Provenance) -> Self {
        Self { provenance: Arc::new(Mutex::new(provenance)), ..self }
    }

    fn provenance(&self) -> MutexGuard<'_, Provenance> {
        self.provenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, told: Option<KnownLog>) -> Result<OpenLog, OpenError> {
        let mut provenance = self.provenance();
        let how = open::How {
            provenance: *provenance,
            create: self.create && told.is_none(),
            told,
            damage: self.damage.clone(),
            bounds: list::BOUNDS,
        };
        let open = open::open(&self.path, &how)?;
        // The same program opens the log again after a failure: by then it is the log itself.
        *provenance = Provenance::Original;
        Ok(open)
    }
}

impl Log for SqliteLog {
    fn open(&self) -> Result<OpenLog, OpenError> {
        self.opened(None)
    }

    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError> {
        self.opened(Some(told))
    }
}

impl Maintenance for SqliteLog {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn declare(&self, provenance: Provenance) -> Result<(), Unsupported> {
        *self.provenance() = provenance;
        Ok(())
    }

    fn create(&self) -> Result<LogId, OpenError> {
        if self.path.metadata().is_ok_and(|file| file.len() > 0) {
            return Err(OpenError::Exists { log: self.path.display().to_string() });
        }
        // One that is made meanwhile is in use, or is opened: it is a log that holds nothing yet.
        let made = Self::at(&self.path).create_if_missing().open()?;
        Ok(made.identity)
    }

    fn backup(&self, to: &Path) -> Result<(), CopyError> {
        backup::backup(&self.path, to)
    }

    fn verify(&self) -> Result<Verified, VerifyError> {
        verify::verify(&self.path)
    }

    fn salvage(&self, to: &Path) -> Result<Salvaged, CopyError> {
        salvage::salvage(&self.path, to)
    }
}

/// How long a connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection to the log sets.
fn connect(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    use rusqlite::OpenFlags;
    // INVARIANT: SQLite creates no file. It would be one that everybody may read, and where a log is
    // gone, an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA wal_autocheckpoint = 0;"
    ))?;
    Ok(connection)
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage { why: error.to_string() }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        let why = error.to_string();
        if is_damage(&error) { Self::Damaged { why } } else { Self::Storage { why } }
    }
}

/// Whether it is the file's content that SQLite cannot use.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    let found = error.sqlite_error_code();
    let corrupt = matches!(found, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    let of_another_type = matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    );
    corrupt || of_another_type
}
