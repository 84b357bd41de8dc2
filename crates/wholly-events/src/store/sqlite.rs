//! The store for SQLite: [`wholly_participant::sqlite::Database`], whose thread groups many jobs
//! into one commit.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_participant::sqlite::{Database, TransactionError};

use super::{ServiceCode, Store, StoreError};
use crate::Failure;
use crate::choreography::handler::{
    Delivered, HandlerError, HandlerOutput, Handlers, Incoming, Reacted, output,
};
use crate::choreography::job::{JobOutput, StoreJob, perform};
use crate::choreography::plan::ReactionIndex;
use crate::choreography::react::ReactError;
use crate::choreography::{IntoHandler, IntoRecorder, PublishError, Service};
use crate::declaration::Reaction;
use crate::driver::rusqlite::Sqlite;
use crate::event::NewEvent;
use crate::session::{SqlError, SqlResult};

/// A reaction's handler. It blocks, and one runs at a time.
pub type SqliteHandler = Box<
    dyn Fn(&Connection, Delivered, &Reaction) -> Result<HandlerOutput, HandlerError> + Send + Sync,
>;

/// The number of concurrent jobs; more would only wait for the commit.
const CONCURRENCY: usize = 256;

impl Store for Database {
    type Handler = SqliteHandler;

    async fn check_settings(&self) -> Result<(), StoreError> {
        let read = |db: &rusqlite::Transaction<'_>| {
            let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
            Ok(synchronous)
        };
        match self.transaction(read).await.map_err(of)? {
            2.. => Ok(()),
            less => Err(StoreError::LosesCommits {
                setting: "PRAGMA synchronous".to_owned(),
                value: less.to_string(),
                right: "FULL",
            }),
        }
    }

    async fn run(
        &self,
        service: &Arc<ServiceCode<SqliteHandler>>,
        job: StoreJob,
    ) -> Result<JobOutput, StoreError> {
        let service = Arc::clone(service);
        let work = move |db: &rusqlite::Transaction<'_>| {
            // An error of the closure makes the database roll back.
            perform_ready(db, &service, &job).map_err(|error| Box::new(error) as Failure)
        };
        self.transaction(work).await.map_err(of)
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
}

/// A service's SQLite file, opened by an operator: one connection, one job at a time.
#[derive(Clone)]
pub struct SqliteFile(Arc<Mutex<Connection>>);

impl SqliteFile {
    /// Opens an existing file.
    ///
    /// # Errors
    /// The error of SQLite.
    pub fn open(path: &Path) -> SqlResult<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Turns off durability, for tests that write much and kill nothing.
    #[cfg(test)]
    pub(crate) fn forget_durability(&self) {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.pragma_update(None, "synchronous", "off").unwrap();
    }
}

impl Store for SqliteFile {
    type Handler = SqliteHandler;

    async fn check_settings(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(
        &self,
        service: &Arc<ServiceCode<SqliteHandler>>,
        job: StoreJob,
    ) -> Result<JobOutput, StoreError> {
        // A panic of another job rolled its transaction back.
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behavior = TransactionBehavior::Immediate;
        let db = connection.transaction_with_behavior(behavior).map_err(SqlError::from)?;
        let reply = perform_ready(&db, service, &job)?;
        db.commit().map_err(SqlError::from)?;
        Ok(reply)
    }

    fn concurrency(&self) -> usize {
        1
    }
}

/// Performs a job on SQLite, whose statements never wait.
fn perform_ready(
    db: &Connection,
    service: &ServiceCode<SqliteHandler>,
    job: &StoreJob,
) -> Result<JobOutput, ReactError> {
    let performed = perform(&mut Sqlite(db), &service.plan, service, job).now_or_never();
    performed.unwrap_or_else(|| Err(SqlError("a job of SQLite waited".to_owned()).into()))
}

impl Service<Database> {
    /// Publishes an event that begins a choreography in the caller's transaction, and starts its
    /// time-outs. Call [`wake`](Self::wake) after the commit.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, db: &Connection, event: &NewEvent) -> Result<(), PublishError> {
        let waited = || Err(SqlError("a statement of SQLite waited".to_owned()).into());
        self.begin(&mut Sqlite(db), event).now_or_never().unwrap_or_else(waited)
    }
}

fn of(error: TransactionError) -> StoreError {
    match error {
        TransactionError::Busy => StoreError::Busy,
        TransactionError::Work(failure) => match failure.downcast::<ReactError>() {
            Ok(error) => (*error).into(),
            Err(failure) => StoreError::Database(SqlError(failure.to_string())),
        },
        other => StoreError::Database(SqlError::of(&other)),
    }
}

impl Handlers<Sqlite<'_>> for ServiceCode<SqliteHandler> {
    async fn handle(
        &self,
        session: &mut Sqlite<'_>,
        index: ReactionIndex,
        delivered: Delivered,
    ) -> Result<HandlerOutput, HandlerError> {
        let (handler, reaction) = self.handler(index)?;
        handler(session.0, delivered, reaction)
    }
}

impl<F, E, T, R> IntoHandler<Database, (E, T, R)> for F
where
    F: Fn(&Connection, Incoming<E>) -> Result<Reacted<T, R>, Failure> + Send + Sync + 'static,
    E: DeserializeOwned,
    T: Serialize,
    R: Serialize,
{
    fn into_handler(self) -> SqliteHandler {
        Box::new(move |db, delivered, reaction| output(self(db, delivered.read()?), reaction))
    }
}

impl<F, E, C, T, R> IntoRecorder<Database, C, (E, T, R)> for F
where
    F: Fn(&Connection, Incoming<E>, C) -> Result<Reacted<T, R>, Failure> + Send + Sync + 'static,
    E: DeserializeOwned,
    C: DeserializeOwned,
    T: Serialize,
    R: Serialize,
{
    fn into_handler(self) -> SqliteHandler {
        Box::new(move |db, delivered, reaction| {
            let called = delivered.called()?;
            output(self(db, delivered.read()?, called), reaction)
        })
    }
}
