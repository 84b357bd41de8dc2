//! The answers of the shop's services and of the coordinator, as far as they are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The books of the shop's services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The orders that were taken, with their items and statuses.
    pub orders: BTreeMap<String, Value>,
    /// The payments, by order.
    pub payments: BTreeMap<String, i64>,
    /// The stock of each item.
    pub stock: BTreeMap<String, StockLine>,
    /// The number of branches that are prepared and not decided, a service.
    pub in_doubt: BTreeMap<&'static str, u64>,
}

/// The stock of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct StockLine {
    /// The pieces that are there.
    pub on_hand: i64,
    /// Those that are not reserved.
    pub available: i64,
    /// Those that are reserved.
    pub reserved: i64,
}

/// A transaction as the coordinator's API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Transaction {
    /// Its id.
    pub id: String,
    /// The order's id; none where the records cannot be read.
    #[serde(default)]
    pub key: String,
    /// Its state.
    pub state: String,
    /// True if nothing is outstanding.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The reason why it turned back.
    pub reason: Option<String>,
    /// Its branches, in two-phase.
    #[serde(default)]
    pub branches: Vec<Branch>,
    /// Its steps, of a saga.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Its records, in their order.
    #[serde(default)]
    pub history: Vec<Recorded>,
}

/// One thing that happened to a transaction.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// The record.
    pub record: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Branch {
    pub participant: String,
    pub state: String,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
}

impl Transaction {
    /// True if its end is known.
    pub fn is_decided(&self) -> bool {
        self.has_ended() || self.state == "compensating"
    }

    /// True if nothing about it changes any more but what is outstanding.
    pub fn has_ended(&self) -> bool {
        ["committed", "aborted", "completed", "compensated"].contains(&&*self.state)
    }
}
