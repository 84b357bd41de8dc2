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
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct StockLine {
    pub on_hand: i64,
    pub available: i64,
    pub reserved: i64,
}

/// A transaction as the coordinator's API shows it.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Transaction {
    pub id: String,
    /// The order's id; none where the records cannot be read.
    #[serde(default)]
    pub key: String,
    pub state: String,
    pub settled: bool,
    pub stuck: bool,
    pub reason: Option<String>,
    #[serde(default)]
    pub branches: Vec<Branch>,
    #[serde(default)]
    pub steps: Vec<ShownStep>,
    #[serde(default)]
    pub history: Vec<Recorded>,
}

/// One thing that happened to a transaction.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Recorded {
    pub record: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Branch {
    pub participant: String,
    pub state: String,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct ShownStep {
    pub name: String,
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
