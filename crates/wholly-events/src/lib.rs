//! Events between services with nothing lost: outbox, inbox, feeds, and the choreographed saga.

mod declaration;
mod names;

pub use declaration::{Declaration, Reaction, Timeout};
pub use names::{Correlation, EventId, EventType, InvalidName, ReactionName, ServiceName};
