//! The databases of choreographed services, one file each.
//!
//! A store runs a job in one transaction, which is durable when the job returns. Each store has its
//! own type of session and handler.

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

/// The database of a choreographed service.
pub trait Store: Clone + Send + Sync + 'static {
    /// The type of handlers, which run in a transaction of this database.
    type Handler: Send + Sync + 'static;

    /// Refuses database settings that can lose commits.
    fn check_settings(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Performs a job in one transaction, which is durable when this returns.
    #[doc(hidden)]
    fn run(
        &self,
        service: &Arc<ServiceCode<Self::Handler>>,
        job: StoreJob,
    ) -> impl Future<Output = Result<JobOutput, StoreError>> + Send;

    /// The useful number of concurrent jobs.
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

/// The error of a job. Its transaction was rolled back, unless stated otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The handler failed.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The database failed or is unreachable. The transaction may have been committed.
    #[error(transparent)]
    Database(#[from] SqlError),
    /// Too many jobs are waiting.
    #[error("too many transactions wait for the service's database; try again later")]
    Busy,
    /// A setting of the database can lose commits.
    #[error("the database's {setting} is {value}, which can lose commits; set it to {right}")]
    LosesCommits {
        /// The setting.
        setting: String,
        /// Its value.
        value: String,
        /// A safe value.
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
