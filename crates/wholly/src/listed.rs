//! Transactions in a list.

use serde::Serialize;
use wholly_core::{Name, Timestamp, TransactionId};

use crate::log::listing::{Cursor, Page, Pattern, Row, State};

/// Some of the transactions that were asked for, newest first.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Listing {
    /// The transactions. There may be fewer than the limit, even none, although more follow.
    pub transactions: Vec<Listed>,
    /// The start of the next page; `None` where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// A transaction in a [`Listing`], as far as it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// The transaction.
    pub id: TransactionId,
    /// Its name.
    pub name: Name,
    /// Its pattern.
    pub pattern: Pattern,
    /// Its state.
    pub state: State,
    /// True if nothing is left to do.
    pub settled: bool,
    /// True if an operator is needed.
    pub stuck: bool,
    /// The time of its acceptance: milliseconds since the Unix epoch.
    pub started: Timestamp,
}

impl Listing {
    /// The transactions' ids.
    pub fn ids(&self) -> Vec<TransactionId> {
        self.transactions.iter().map(|listed| listed.id).collect()
    }
}

impl From<Page> for Listing {
    fn from(page: Page) -> Self {
        let listed = |Row { id, labels, settled }| Listed {
            id,
            started: id.minted_at(),
            name: labels.name,
            pattern: labels.pattern,
            state: labels.state,
            stuck: labels.stuck,
            settled,
        };
        Self { transactions: page.rows.into_iter().map(listed).collect(), next: page.next }
    }
}
