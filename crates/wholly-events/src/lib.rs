//! Events between services with nothing lost: outbox, inbox, feeds, and the choreographed saga.

mod check;
mod declaration;
mod diagram;
mod graph;
mod names;
#[cfg(test)]
mod shops;

pub use check::{Finding, Severity, check};
pub use declaration::{Declaration, Reaction, Timeout};
pub use diagram::diagram;
pub use names::{Correlation, EventId, EventType, InvalidName, ReactionName, ServiceName};
