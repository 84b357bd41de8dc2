//! Services that react to each other's events, with no coordinator.
//!
//! A service declares its part as a [`Choreography`] and starts it over its own database; what runs
//! then is a [`Service`]. Each event of a feed that it follows is dealt with in one local
//! transaction: see [`react`] for what becomes of it.

#[cfg(all(test, feature = "rusqlite"))]
mod bounded;
mod build;
mod follow;
pub(crate) mod handle;
pub(crate) mod job;
pub(crate) mod known;
pub(crate) mod lanes;
mod observe;
mod operator;
pub(crate) mod pace;
pub(crate) mod parked;
pub(crate) mod plan;
pub mod react;
pub(crate) mod reader;
pub(crate) mod service;
pub(crate) mod status;
mod tend;
pub(crate) mod timeout;

pub use build::{CallOut, Choreography, IntoHandler, IntoRecorder, InvalidChoreography};
pub use handle::{Incoming, Reacted, Undone, Unhandled};
pub use observe::Ended;
pub use operator::{DropError, Ending, OperateError, Operator};
pub use parked::{Parked, ParkedState};
pub use plan::{ReactionIndex, Retry};
pub use service::{PublishError, Service, StartError};
pub use status::{FeedStatus, ParkedStatus, ReactionStatus, Status};
