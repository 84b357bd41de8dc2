//! The databases in which a choreographed service lives, a file each.
//!
//! A store runs a job in one transaction, which is durable when it answers. Its sessions and its
//! handlers are its own.

#[cfg(feature = "tokio-postgres")]
mod listen;
#[cfg(feature = "tokio-postgres")]
pub(crate) mod postgres;
#[cfg(feature = "rusqlite")]
pub(crate) mod sqlite;

#[cfg(feature = "tokio-postgres")]
pub use deadpool_postgres::Pool;
#[cfg(feature = "tokio-postgres")]
pub use postgres::{PostgresHandler, Reacts, Records, pool};
#[cfg(feature = "rusqlite")]
pub use sqlite::{SqliteFile, SqliteHandler};

use std::sync::Arc;

use crate::choreography::handler::HandlerError;
use crate::choreography::job::{JobOutput, StoreJob};
use crate::choreography::plan::{ReactionIndex, ServicePlan};
use crate::choreography::react::ReactError;
use crate::declaration::Reaction;
use crate::session::SqlError;

/// A database in which a choreographed service lives.
pub trait Store: Clone + Send + Sync + 'static {
    /// The service's code for a reaction, in a transaction of this database.
    type Handler: Send + Sync + 'static;

    /// Refuses settings of the database with which a commit can be lost.
    fn check_settings(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Does the job in one transaction, which is durable when this returns.
    #[doc(hidden)]
    fn run(
        &self,
        service: &Arc<ServiceCode<Self::Handler>>,
        job: StoreJob,
    ) -> impl Future<Output = Result<JobOutput, StoreError>> + Send;

    /// The most jobs that are of use at once.
    fn concurrency(&self) -> usize;
}

/// A service's plan, and its handlers in the order of its reactions.
#[derive(Debug)]
pub struct ServiceCode<H> {
    pub(crate) plan: ServicePlan,
    pub(crate) handlers: Vec<H>,
}

impl<H> ServiceCode<H> {
    /// The handler of a reaction, and the reaction.
    fn handler(&self, index: ReactionIndex) -> Result<(&H, &Reaction), HandlerError> {
        let found = self.handlers.get(index.0).zip(self.plan.reaction(index));
        found.ok_or_else(|| HandlerError::failed("the reaction has no handler"))
    }
}

/// Why a job was not done: its transaction was rolled back, or may have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The service's handler failed; its transaction was rolled back.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The database failed, or cannot be reached. A commit may have happened.
    #[error(transparent)]
    Database(#[from] SqlError),
    /// Too many jobs wait already.
    #[error("too many transactions wait for the service's database")]
    Busy,
    /// A setting of the database loses commits.
    #[error("{setting} is {value}, with which a commit can be lost; set it to {right}")]
    LosesCommits {
        /// The setting.
        setting: String,
        /// Its value.
        value: String,
        /// A value that is right.
        right: &'static str,
    },
}

impl From<ReactError> for StoreError {
    fn from(error: ReactError) -> Self {
        match error {
            ReactError::Handler(failure) => Self::Handler(failure),
            ReactError::Sql(error) => Self::Database(error),
        }
    }
}
