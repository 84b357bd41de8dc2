//! The store for PostgreSQL: a pool of deadpool-postgres, with one connection for each job.
//!
//! Transactions are plain statements, so a handler has the whole connection. A connection whose
//! transaction did not end properly is closed.

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
use crate::session::{Session, SqlError, SqlResult};

type Handling<'a> = Pin<Box<dyn Future<Output = Result<HandlerOutput, HandlerError>> + Send + 'a>>;

/// A reaction's handler, which runs on the connection of its transaction.
pub type PostgresHandler =
    Box<dyn for<'a> Fn(&'a Client, Delivered, &'a Reaction) -> Handling<'a> + Send + Sync>;

/// A pool of connections without TLS, for a database on this machine or in a trusted network. Use
/// deadpool-postgres to build one with TLS.
///
/// # Errors
/// If the text is not a connection string.
pub fn pool(url: &str, connections: usize) -> SqlResult<Pool> {
    let config: tokio_postgres::Config =
        url.parse().map_err(|why: tokio_postgres::Error| SqlError::of(&why))?;
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    Pool::builder(manager).max_size(connections).build().map_err(|why| SqlError::of(&why))
}

/// READ COMMITTED, whatever the database's default: the sequencer needs a new snapshot for each
/// statement, and a reaction needs one from after its lock was granted.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Settings that can lose commits or parts of them: name, safe values, recommended value.
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
        // An error here means a lost connection or a read-only server.
        session.batch(BEGIN).await?;
        let performed =
            perform(&mut session, &service.plan, &BorrowedHandlers(service), &job).await;
        let end = if performed.is_ok() { "COMMIT" } else { "ROLLBACK" };
        // The end is sent with the last statements. It commits nothing if one of them fails.
        let (answers, ended) = join(session.answers(), client.batch_execute(end)).await;
        drop(session);
        if ended.is_ok() {
            leased.give_back();
        }
        // After the first error all later statements failed, including the handler's.
        answers?;
        let reply = performed.map_err(|error| transient(error.into()))?;
        // A commit without an answer may have happened. The inbox shows it at the retry.
        ended.map_err(SqlError::from)?;
        Ok(reply)
    }

    fn concurrency(&self) -> usize {
        // The rest serves the feed and the background tasks.
        self.status().max_size.saturating_sub(RESERVED).max(1)
    }
}

/// Connections of the pool reserved for feed, sequencer, retries and time-outs.
const RESERVED: usize = 4;

async fn get(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| StoreError::Database(SqlError::of(&error)))
}

/// A connection for one transaction.
///
/// INVARIANT: the connection returns to the pool only after its transaction has ended. Otherwise,
/// also when the job's future is dropped, it is closed, which rolls back.
struct Leased(Option<Object>);

impl Leased {
    /// The connection, and its prepared statements.
    fn client(&self) -> SqlResult<(&Client, &StatementCache)> {
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

/// Turns a handler's error into a database error if the database caused it, so that the job is
/// retried at once: deadlocks, serialization failures, lost connections, a server that stops or is
/// full.
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
    /// Publishes an event that begins a choreography in the caller's transaction, and starts its
    /// time-outs. Call [`wake`](Self::wake) after the commit.
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

/// The handlers, borrowed. The compiler proves the futures of this type `Send`.
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

/// An asynchronous function that borrows the connection, like every `async fn` with this signature.
pub trait Reacts<'a, E>: Send + Sync {
    /// The data emitted on success.
    type Done: Serialize;
    /// The data emitted on refusal.
    type Refused: Serialize;
    /// The function's future.
    type Future: Future<Output = Result<Reacted<Self::Done, Self::Refused>, Failure>> + Send + 'a;

    /// Calls the function.
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
    /// The data emitted on success.
    type Done: Serialize;
    /// The data emitted on refusal.
    type Refused: Serialize;
    /// The function's future.
    type Future: Future<Output = Result<Reacted<Self::Done, Self::Refused>, Failure>> + Send + 'a;

    /// Calls the function.
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
