//! Events between services with nothing lost: outbox, inbox, feeds, and the choreographed saga.
#![allow(dead_code)]

mod cursor;
mod declaration;
mod driver;
mod event;
pub mod inbox;
mod names;
mod outbox;
mod session;
pub mod sql;

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
