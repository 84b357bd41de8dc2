//! A service that lives in PostgreSQL: a pool of deadpool-postgres, a connection for a job.
//!
//! Transactions are plain statements, so that a handler has the connection for itself and nothing
//! rolls back behind its back. A connection whose transaction did not end as it should is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::{Object, Pool, StatementCache};
use futures_util::future::join;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::{Client, GenericClient, SimpleQueryMessage};

use super::{ServiceCode, Store, StoreError};
use crate::Failure;
use crate::choreography::handler::{
    Delivered, HandlerError, HandlerOutput, Handlers, Incoming, Reacted, output,
};
use crate::choreography::job::{JobOutput, StoreJob, perform};
use crate::choreography::plan::ReactionIndex;
use crate::choreography::{IntoHandler, IntoRecorder, PublishError, Service};
use crate::declaration::Reaction;
use crate::driver::tokio_postgres::Postgres;
use crate::event::NewEvent;
use crate::session::{Session, SqlError};

type Handling<'a> = Pin<Box<dyn Future<Output = Result<HandlerOutput, HandlerError>> + Send + 'a>>;

/// A reaction's code, over the connection that has its transaction open.
pub type PostgresHandler =
    Box<dyn for<'a> Fn(&'a Client, Delivered, &'a Reaction) -> Handling<'a> + Send + Sync>;

/// A pool of connections to a database on this machine or in a network that is trusted: without
/// TLS. Build one with deadpool-postgres for another.
///
/// # Errors
/// When the text is no connection string.
pub fn pool(url: &str, connections: usize) -> Result<Pool, SqlError> {
    let config: tokio_postgres::Config =
        url.parse().map_err(|why: tokio_postgres::Error| SqlError::of(&why))?;
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    Pool::builder(manager).max_size(connections).build().map_err(|why| SqlError::of(&why))
}

/// READ COMMITTED, whatever the database's default is: the sequencer needs a snapshot for each of
/// its statements, and a reaction one that is newer than the lock it waited for.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Settings with which PostgreSQL loses commits, or keeps only half of one.
const SETTINGS: [(&str, &[&str], &str); 3] = [
    ("fsync", &["on"], "on"),
    ("full_page_writes", &["on"], "on"),
    ("synchronous_commit", &["on", "remote_apply", "remote_write", "local"], "on"),
];

impl Store for Pool {
    type Handler = PostgresHandler;

    async fn check_settings(&self) -> Result<(), StoreError> {
        let client = get(self).await?;
        for (setting, right, advice) in SETTINGS {
            let sql = format!("SHOW {setting}");
            let messages = client.simple_query(&sql).await.map_err(SqlError::from)?;
            let value = messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            let value = value.unwrap_or_default();
            if !right.contains(&value) {
                let (setting, value) = (setting.to_owned(), value.to_owned());
                return Err(StoreError::LosesCommits { setting, value, right: advice });
            }
        }
        Ok(())
    }

    async fn run(
        &self,
        service: &Arc<ServiceCode<PostgresHandler>>,
        job: StoreJob,
    ) -> Result<JobOutput, StoreError> {
        let leased = Leased(Some(get(self).await?));
        let (client, statements) = leased.client()?;
        let mut session = Postgres::pipelined(client, statements);
        // Where this fails, the connection is lost, or the server only reads: nothing else is done.
        session.batch(BEGIN).await?;
        let performed =
            perform(&mut session, &service.plan, &BorrowedHandlers(service), &job).await;
        let end = if performed.is_ok() { "COMMIT" } else { "ROLLBACK" };
        // The end is sent with the last statements. It commits nothing where one of them fails.
        let (answers, ended) = join(session.answers(), client.batch_execute(end)).await;
        drop(session);
        if ended.is_ok() {
            leased.give_back();
        }
        // After the first error all other statements failed, those of the handler too.
        answers?;
        let reply = performed.map_err(|error| transient(error.into()))?;
        // A commit without an answer may have happened; the inbox knows it then.
        ended.map_err(SqlError::from)?;
        Ok(reply)
    }

    fn concurrency(&self) -> usize {
        // Some are for the jobs that no event waits for.
        self.status().max_size.saturating_sub(RESERVED).max(1)
    }
}

/// Connections of the pool that reactions leave to feed, sequencer, retries and time-outs.
const RESERVED: usize = 4;

async fn get(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| StoreError::Database(SqlError::of(&error)))
}

/// A connection for one transaction.
///
/// INVARIANT: it goes back into the pool only where its transaction has ended; else, also where the
/// job's future is dropped half-way, it is closed, which rolls back.
struct Leased(Option<Object>);

impl Leased {
    /// The connection, and its prepared statements.
    fn client(&self) -> Result<(&Client, &StatementCache), SqlError> {
        let gone = || SqlError("the connection was given back already".to_owned());
        let object = self.0.as_ref().ok_or_else(gone)?;
        Ok((object, &object.statement_cache))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// A handler that failed because of the database, and not of the event, is tried again at once:
/// deadlocks and serialization failures, a connection that is lost, a server that ends or is full.
fn transient(error: StoreError) -> StoreError {
    let StoreError::Handler(HandlerError::Failed(failure)) = &error else { return error };
    let Some(cause) = failure.downcast_ref::<tokio_postgres::Error>() else { return error };
    let class = cause.code().map(|code| &code.code()[..2]);
    if cause.is_closed() || matches!(class, Some("08" | "40" | "53" | "57")) {
        return StoreError::Database(SqlError::of(cause));
    }
    error
}

impl Service<Pool> {
    /// Publishes an event with which a choreography begins, in the caller's transaction, and starts
    /// the time-outs that count from it. [`wake`](Self::wake) it after the commit.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(
        &self,
        db: &(impl GenericClient + Sync),
        event: &NewEvent,
    ) -> Result<(), PublishError> {
        self.begin(&mut Postgres::new(db.client()), event).await
    }
}

/// The handlers, borrowed: their futures then go from thread to thread for every lifetime.
struct BorrowedHandlers<'a>(&'a ServiceCode<PostgresHandler>);

impl Handlers<Postgres<'_>> for BorrowedHandlers<'_> {
    async fn handle(
        &self,
        session: &mut Postgres<'_>,
        index: ReactionIndex,
        delivered: Delivered,
    ) -> Result<HandlerOutput, HandlerError> {
        let (handler, reaction) = self.0.handler(index)?;
        handler(session.client(), delivered, reaction).await
    }
}

/// An asynchronous function that borrows the connection: `async fn` items are such functions.
pub trait Reacts<'a, E>: Send + Sync {
    /// What it emits where it succeeds.
    type Done: Serialize;
    /// What it emits where it refuses.
    type Refused: Serialize;
    /// Its future.
    type Future: Future<Output = Result<Reacted<Self::Done, Self::Refused>, Failure>> + Send + 'a;

    /// Calls it.
    fn react(&self, db: &'a Client, incoming: Incoming<E>) -> Self::Future;
}

impl<'a, F, Fut, E, T, R> Reacts<'a, E> for F
where
    F: Fn(&'a Client, Incoming<E>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Reacted<T, R>, Failure>> + Send + 'a,
    T: Serialize,
    R: Serialize,
{
    type Done = T;
    type Refused = R;
    type Future = Fut;

    fn react(&self, db: &'a Client, incoming: Incoming<E>) -> Fut {
        self(db, incoming)
    }
}

impl<F, E> IntoHandler<Pool, E> for F
where
    F: for<'a> Reacts<'a, E> + 'static,
    E: DeserializeOwned + Send + 'static,
{
    fn into_handler(self) -> PostgresHandler {
        let function = Arc::new(self);
        Box::new(move |db, delivered, reaction| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let incoming = delivered.read()?;
                output(function.react(db, incoming).await, reaction)
            })
        })
    }
}

/// An asynchronous function that records the result of a call.
pub trait Records<'a, E, C>: Send + Sync {
    /// What it emits where it succeeds.
    type Done: Serialize;
    /// What it emits where it refuses.
    type Refused: Serialize;
    /// Its future.
    type Future: Future<Output = Result<Reacted<Self::Done, Self::Refused>, Failure>> + Send + 'a;

    /// Calls it.
    fn record(&self, db: &'a Client, incoming: Incoming<E>, called: C) -> Self::Future;
}

impl<'a, F, Fut, E, C, T, R> Records<'a, E, C> for F
where
    F: Fn(&'a Client, Incoming<E>, C) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Reacted<T, R>, Failure>> + Send + 'a,
    T: Serialize,
    R: Serialize,
{
    type Done = T;
    type Refused = R;
    type Future = Fut;

    fn record(&self, db: &'a Client, incoming: Incoming<E>, called: C) -> Fut {
        self(db, incoming, called)
    }
}

impl<F, E, C> IntoRecorder<Pool, C, E> for F
where
    F: for<'a> Records<'a, E, C> + 'static,
    E: DeserializeOwned + Send + 'static,
    C: DeserializeOwned + Send + 'static,
{
    fn into_handler(self) -> PostgresHandler {
        let function = Arc::new(self);
        Box::new(move |db, delivered, reaction| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let called = delivered.called()?;
                let incoming = delivered.read()?;
                output(function.record(db, incoming, called).await, reaction)
            })
        })
    }
}
