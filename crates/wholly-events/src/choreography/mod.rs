//! Services that react to each other's events, with no coordinator.
//!
//! A program declares a service's part as a [`Choreography`] and starts it over the service's own
//! database, as a [`Service`]. Each event of a followed feed is handled in one local transaction,
//! which [`react`] specifies.

pub(crate) mod backoff;
mod builder;
pub(crate) mod correlation_queues;
pub(crate) mod feed_reader;
mod follow;
pub(crate) mod handler;
pub(crate) mod job;
mod observer;
mod operator;
pub(crate) mod parked;
pub(crate) mod plan;
pub mod react;
pub(crate) mod read_horizon;
pub(crate) mod service;
pub(crate) mod status;
#[cfg(all(test, feature = "rusqlite"))]
mod table_growth;
mod tasks;
pub(crate) mod timeout;

pub use builder::{CallOut, Choreography, IntoHandler, IntoRecorder, InvalidChoreography};
pub use handler::{HandlerError, Incoming, Reacted, Undone};
pub use observer::EndedReaction;
pub use operator::{DropError, Ending, OperateError, Operator};
pub use parked::{ParkedEvent, ParkedState};
pub use plan::{ReactionIndex, RetryPolicy};
pub use service::{PublishError, Service, StartError};
pub use status::{FeedStatus, ParkedStatus, ReactionStatus, ServiceStatus};
