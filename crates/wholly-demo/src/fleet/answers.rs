//! The answers of the shop's services and of the coordinator, as far as they are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What the shop's services have in their books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// The orders that were taken, with their items and statuses.
    pub(crate) orders: BTreeMap<String, Value>,
    /// Who paid how much.
    pub(crate) payments: BTreeMap<String, i64>,
    pub(crate) stock: BTreeMap<String, StockLine>,
    /// The number of branches that are prepared and not decided, a service.
    pub(crate) in_doubt: BTreeMap<&'static str, u64>,
}

/// The stock of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct StockLine {
    pub(crate) on_hand: i64,
    pub(crate) available: i64,
    pub(crate) reserved: i64,
}

/// A transaction as the coordinator's API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) id: String,
    /// The order's id; none where the records cannot be read.
    #[serde(default)]
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) settled: bool,
    pub(crate) stuck: bool,
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) branches: Vec<Branch>,
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) history: Vec<Recorded>,
}

/// One thing that happened to a transaction.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) record: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Branch {
    pub(crate) participant: String,
    pub(crate) state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) state: String,
}

impl Transaction {
    /// True if its end is known.
    pub(crate) fn is_decided(&self) -> bool {
        self.has_ended() || self.state == "compensating"
    }

    pub(crate) fn has_ended(&self) -> bool {
        ["committed", "aborted", "completed", "compensated"].contains(&&*self.state)
    }
}
