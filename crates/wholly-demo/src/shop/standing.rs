//! The standing of an order in one service, as that service tells a reader: `GET /orders/{id}`.

use serde::{Deserialize, Serialize};

/// The standing of an order in the database of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// Nothing is known of it.
    None,
    /// Prepared, and in doubt: another one decides.
    Held,
    /// Begun, and neither confirmed nor cancelled: what a saga shows while it runs.
    Pending,
    /// Confirmed, paid, or taken from the stock.
    Done,
    /// Cancelled, or put back.
    Undone,
}

/// The answer of a service to a reader.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StandingAnswer {
    pub(crate) state: Standing,
}
