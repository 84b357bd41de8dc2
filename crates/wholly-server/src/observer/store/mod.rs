//! The observer's store: one SQLite file beside the log.
//!
//! Nothing in it is lost for good: the feeds have it. So a file that cannot be read, or is of
//! another version, is set aside and begun anew, at a start and while the server runs; and events
//! lost by a power failure are read again, for a feed's cursor and events are one commit.

mod events;
mod rows;
mod services;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub use events::Observed;
pub use rows::{ChoreographyRow, Filter, StoredChoreography};
pub use services::Parked;

/// The version of the tables. There is no way from one to another: the feeds are read again.
const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE feed (source TEXT PRIMARY KEY, cursor TEXT, declaration TEXT);
    CREATE TABLE event (
        source TEXT NOT NULL, id TEXT NOT NULL, position INTEGER NOT NULL, type TEXT NOT NULL,
        at INTEGER NOT NULL, correlation TEXT NOT NULL, causation TEXT, data TEXT,
        UNIQUE (source, id));
    CREATE INDEX event_of ON event (correlation, at);
    CREATE TABLE choreography (
        number INTEGER PRIMARY KEY AUTOINCREMENT, correlation TEXT NOT NULL UNIQUE,
        started INTEGER NOT NULL, latest INTEGER NOT NULL, state TEXT NOT NULL,
        settled INTEGER NOT NULL, due INTEGER, deadline INTEGER, reasons TEXT,
        stuck_since INTEGER, left_out INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX in_state ON choreography (state, number);
    CREATE INDEX is_due ON choreography (due) WHERE due IS NOT NULL;
    CREATE INDEX is_stuck ON choreography (number) WHERE reasons IS NOT NULL;
    CREATE INDEX is_latest ON choreography (latest);
    CREATE TABLE parked (
        service TEXT NOT NULL, number INTEGER NOT NULL, reaction TEXT NOT NULL,
        source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, correlation TEXT NOT NULL,
        state TEXT NOT NULL, stuck INTEGER NOT NULL, tries INTEGER NOT NULL, error TEXT,
        PRIMARY KEY (service, number));
    CREATE INDEX parked_of ON parked (correlation);";

/// The file, opened.
#[derive(Clone)]
pub struct Store {
    file: PathBuf,
    db: Arc<Mutex<Connection>>,
}

/// The error of a read or write of the observer's file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite says so.
    #[error("the observed choreographies cannot be read or written in {}: {why}", .file.display())]
    Database { file: PathBuf, why: rusqlite::Error },
    /// The file is unusable, and cannot be renamed.
    #[error("{} is unusable and cannot be renamed: {why}; move it away", .file.display())]
    Quarantined { file: PathBuf, why: io::Error },
    /// The thread that was to do it is gone.
    #[error("the observed choreographies cannot be read or written now; try again")]
    Gone,
}

impl Store {
    /// Opens the file, or begins it.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let db = match connect(file) {
            Ok(Some(db)) => db,
            Ok(None) => anew(file, "it is of another version, or another program's")?,
            Err(why) if is_damage(&why) => anew(file, &why.to_string())?,
            Err(why) => return Err(StoreError::Database { file: file.to_owned(), why }),
        };
        Ok(Self { file: file.to_owned(), db: Arc::new(Mutex::new(db)) })
    }

    /// Does the work in one transaction, on a thread that may wait for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut db = store.lock();
            let why = match in_transaction(&mut db, work) {
                Ok(done) => return Ok(done),
                Err(why) => why,
            };
            if is_damage(&why) {
                *db = anew(&store.file, &why.to_string())?;
            }
            Err(StoreError::Database { file: store.file.clone(), why })
        });
        done.await.unwrap_or(Err(StoreError::Gone))
    }

    /// A connection is whole after a panic: its transaction was rolled back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_transaction<T>(
    db: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// The file with its tables, which are made if there are none; `None` if they are of another
/// version.
fn connect(file: &Path) -> rusqlite::Result<Option<Connection>> {
    // Events hold data, which is for the server's user alone. On a failure SQLite gives the reason.
    drop(OpenOptions::new().append(true).create(true).mode(0o600).open(file));
    let mut db = Connection::open(file)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let named = "SELECT count(*) FROM sqlite_schema
        WHERE name IN ('feed', 'event', 'choreography', 'parked')";
    let own: i64 = db.query_row(named, [], |row| row.get(0))?;
    match (version, tables) {
        (VERSION, _) if own == 4 => Ok(Some(db)),
        (0, 0) => {
            in_transaction(&mut db, |db| {
                db.execute_batch(SCHEMA)?;
                db.pragma_update(None, "user_version", VERSION)
            })?;
            Ok(Some(db))
        }
        _ => Ok(None),
    }
}

/// A new file in the place of one that is of no use, which is kept under another name.
fn anew(file: &Path, why: &str) -> Result<Connection, StoreError> {
    let with = |more: &str| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(more);
        file.with_file_name(name)
    };
    let aside = with("-set-aside");
    tracing::warn!(
        "the observed choreographies are read again from the feeds, because {} cannot be used: \
         {why}; the file was renamed to {}",
        file.display(),
        aside.display()
    );
    let failed = |why| StoreError::Quarantined { file: file.to_owned(), why };
    std::fs::rename(file, &aside).map_err(failed)?;
    for more in ["-wal", "-shm"] {
        match std::fs::remove_file(with(more)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(failed(why)),
            _ => {}
        }
    }
    let database = |why| StoreError::Database { file: file.to_owned(), why };
    connect(file).map_err(database)?.ok_or_else(|| database(rusqlite::Error::InvalidQuery))
}

/// True if the file itself is at fault, and not the disk or another process that has it.
fn is_damage(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests;
