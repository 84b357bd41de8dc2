//! Events between services with nothing lost: outbox, inbox, feeds, and the choreographed saga.
#![allow(dead_code)]

#[cfg(feature = "choreography")]
pub mod choreography;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cursor;
mod declaration;
mod driver;
mod event;
#[cfg(feature = "choreography")]
pub mod feed;
pub mod inbox;
mod names;
mod outbox;
mod session;
pub mod sql;
#[cfg(feature = "choreography")]
mod store;
pub mod wire;

#[cfg(feature = "choreography")]
pub use choreography::{Choreography, Incoming, Reacted, Service};
pub use cursor::{Cursor, InvalidCursor};
pub use declaration::{Declaration, Reaction, Timeout};
pub use event::{DATA_LIMIT, Event, InvalidEvent, NewEvent};
pub use names::{Correlation, EventId, EventType, InvalidName, ReactionName, ServiceName};
pub use session::{Cell, Row, Session, SqlError, Value};

/// The outbox and the inbox in SQLite, by rusqlite.
#[cfg(feature = "rusqlite")]
pub mod rusqlite {
    pub use crate::driver::rusqlite::{create_tables, publish, receive_once};
}

/// An error of the service's own code.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
