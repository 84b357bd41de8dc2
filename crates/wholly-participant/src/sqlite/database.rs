//! The service's SQLite file, and the one thread that writes it.
//!
//! The change of a call is on disk before its answer, and a sync to disk costs far more than the change.
//! So all calls that wait are executed in one SQLite transaction, each in a savepoint of its own, synced
//! once, and then answered (*group commit*; DeWitt et al., 1984).
//!
//! INVARIANT: no answer, not even a repeated one, leaves before the change that it tells of is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::statements;
use crate::Failure;
use crate::local::{Retention, TransactionError};

/// The most jobs that wait for the thread; more are rejected as busy.
const QUEUE_LIMIT: usize = 1024;

/// The most jobs in one SQLite transaction.
const BATCH_LIMIT: usize = 256;

/// The longest wait for another process that writes to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A service's own SQLite file: its business data, and the barrier's rows.
///
/// Clones share the open file, which is closed when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Database {
    jobs: mpsc::Sender<Box<dyn Job>>,
    counters: Arc<Counters>,
    retention: Arc<Retention>,
}

/// The writes to a database since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// The transactions that changed something: calls, and the service's own.
    pub transactions: u64,
    /// The commits that changed something, each of which is one sync to disk. Several transactions
    /// share one.
    pub commits: u64,
}

#[derive(Debug, Default)]
struct Counters {
    transactions: AtomicU64,
    commits: AtomicU64,
}

/// A database that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// SQLite could not open the file, or cannot write it.
    #[error("the database {path} cannot be opened: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file cannot have a write-ahead log, as one in memory.
    #[error("the database {path} cannot keep a write-ahead log; put it on a local disk")]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// The system started no thread.
    #[error("no thread can be started for the database {path}: {source}")]
    Thread {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Database {
    /// Opens the file, and creates it and the barrier's table if they do not exist.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(sqlite)?;
        if !set_up(&connection).map_err(sqlite)? {
            return Err(OpenError::NoWriteAheadLog { path: path.to_owned() });
        }
        let youngest = statements::youngest(&connection).map_err(sqlite)?;
        let retention = Arc::new(Retention::new(youngest));
        let (jobs, queue) = mpsc::channel(QUEUE_LIMIT);
        let counters = Arc::<Counters>::default();
        std::thread::Builder::new()
            .name("wholly-sqlite".to_owned())
            .spawn({
                let counters = Arc::clone(&counters);
                move || work_off(connection, queue, &counters)
            })
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { jobs, counters, retention })
    }

    /// The count of writes since the database was opened.
    pub fn written(&self) -> WriteCounts {
        let Counters { transactions, commits } = &*self.counters;
        WriteCounts { transactions: transactions.load(Relaxed), commits: commits.load(Relaxed) }
    }

    /// Does `work` in a transaction, which is durable when this returns.
    ///
    /// It is for everything that the service does beside its part in transactions, reads included.
    /// Dropping the future does not cancel the work.
    ///
    /// # Errors
    /// See [`TransactionError`]. If the work fails, its writes are rolled back.
    pub async fn transaction<T, W>(&self, work: W) -> Result<T, TransactionError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), done: None, reply });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => TransactionError::Busy,
            mpsc::error::TrySendError::Closed(_) => gone(),
        })?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Deletes the rows of branches and steps that ended longer than `age` ago; returns how many.
    ///
    /// Prepared branches are never deleted. The age must be longer than the longest deadline of a
    /// transaction, with room for clocks that differ: the row of an abort that came first must outlive
    /// the prepare that it overtook. For two-phase a day is a good age, for sagas a month: an action
    /// can be compensated only as long as its row exists, and a saga that turns back waits for every
    /// service that is down.
    ///
    /// Call it regularly, as once an hour. Nothing is deleted within an hour of a jump of the wall clock,
    /// or of an opening whose clock disagrees with the youngest row or is more than an hour later: the
    /// clock may be wrong, and the ages with it.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn purge(&self, age: Duration) -> Result<usize, TransactionError> {
        let delete = |expired| {
            self.transaction(move |db: &Transaction<'_>| Ok(statements::delete(db, &expired)?))
        };
        self.retention.purge(age, delete).await
    }
}

/// Runs `work`, whose writes stay only if it succeeds and `keep` is true of its result.
pub(super) fn savepoint<T, E>(
    db: &Transaction<'_>,
    keep: impl FnOnce(&T) -> bool,
    work: impl FnOnce() -> Result<T, E>,
) -> rusqlite::Result<Result<T, E>> {
    db.prepare_cached("SAVEPOINT wholly")?.execute([])?;
    let result = work();
    if !result.as_ref().is_ok_and(keep) {
        db.prepare_cached("ROLLBACK TO wholly")?.execute([])?;
    }
    db.prepare_cached("RELEASE wholly")?.execute([])?;
    Ok(result)
}

/// Returns true if the file has a write-ahead log.
fn set_up(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(statements::SCHEMA)?;
    // INVARIANT: opening makes durable what it found. A killed process may have written something that
    // it had not synced: an answer that rests on it would break its promise at a power failure. A commit
    // syncs the whole write-ahead log, with what was in it before.
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS wholly_opening (id INTEGER PRIMARY KEY, openings INTEGER);
         INSERT INTO wholly_opening VALUES (1, 1)
             ON CONFLICT DO UPDATE SET openings = openings + 1;",
    )?;
    Ok(mode == "wal")
}

/// A piece of work that waits for the thread. It is executed, and answered once that is durable.
trait Job: Send {
    fn execute(&mut self, db: &Transaction<'_>);
    fn answer(self: Box<Self>, committed: Result<(), String>);
}

struct Pending<W, T> {
    work: Option<W>,
    done: Option<Result<T, TransactionError>>,
    reply: oneshot::Sender<Result<T, TransactionError>>,
}

impl<W, T> Job for Pending<W, T>
where
    W: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send,
    T: Send,
{
    fn execute(&mut self, db: &Transaction<'_>) {
        let Some(work) = self.work.take() else { return };
        // A panic of the service's code ends neither the thread nor the batch.
        let work = || match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(result) => result,
            Err(_) => Err("it panicked".into()),
        };
        self.done = Some(match savepoint(db, |_| true, work) {
            Ok(result) => result.map_err(TransactionError::Work),
            Err(error) => Err(TransactionError::Storage(error.to_string())),
        });
    }

    fn answer(self: Box<Self>, committed: Result<(), String>) {
        let result = match (committed, self.done) {
            (Ok(()), Some(done)) => done,
            (Err(why), _) => Err(TransactionError::Storage(why)),
            (Ok(()), None) => Err(gone()),
        };
        // The caller may be gone; the work remains done.
        let _ = self.reply.send(result);
    }
}

fn gone() -> TransactionError {
    TransactionError::Storage("the thread that writes it has ended".to_owned())
}

/// The thread: executes the jobs batch by batch, until the last handle is dropped.
fn work_off(
    mut connection: Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    counters: &Counters,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_LIMIT
            && let Ok(job) = queue.try_recv()
        {
            batch.push(job);
        }
        let committed = commit(&mut connection, &mut batch, counters);
        let committed = committed.map_err(|error| error.to_string());
        for job in batch {
            job.answer(committed.clone());
        }
    }
}

fn commit(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    counters: &Counters,
) -> Result<(), Failure> {
    let db = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut writers = 0;
    for job in batch {
        let before = db.total_changes();
        job.execute(&db);
        writers += u64::from(db.total_changes() > before);
        // SQLite rolls back by itself when the disk is full or fails. What came before in the
        // batch is then gone, and what comes after would be in no transaction at all.
        if db.is_autocommit() {
            return Err("the transaction was rolled back (is the disk full?)".into());
        }
    }
    db.commit()?;
    counters.transactions.fetch_add(writers, Relaxed);
    counters.commits.fetch_add(u64::from(writers > 0), Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_transactions_that_change_something_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path().join("service.db")).unwrap();
        let run = |sql: &'static str| database.transaction(move |db| Ok(db.execute(sql, [])?));
        run("CREATE TABLE line (number INTEGER PRIMARY KEY)").await.unwrap();
        let before = database.written();
        run("INSERT INTO line VALUES (1)").await.unwrap();
        run("DELETE FROM line WHERE number = 2").await.unwrap();
        database.transaction(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)).await.unwrap();
        let after = database.written();
        let written = (after.transactions - before.transactions, after.commits - before.commits);
        assert_eq!(written, (1, 1));
    }
}
