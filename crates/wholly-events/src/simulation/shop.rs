//! The shops: three services, and what each declares.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::choreography::plan::{RetryPolicy, ServicePlan};
use crate::declaration::Declaration;

/// The way in which the three services go about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShopKind {
    /// One after the other: reserve, then charge.
    Sequential,
    /// Both at once; each undoes its own where the other refuses, which may be before it began. A
    /// client may note something for an order, and may withdraw it.
    Parallel,
    /// Both at once, money by an external gateway, and an order that gives up after a time.
    Gateway,
}

pub(super) const ORDER: usize = 0;
pub(super) const INVENTORY: usize = 1;
pub(super) const PAYMENT: usize = 2;
pub(super) const NAMES: [&str; 3] = ["order", "inventory", "payment"];

/// The data of every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: String,
    pub(super) quantity: u32,
    pub(super) amount: u32,
}

/// The most that a payment is approved for.
pub(super) const LIMIT: u32 = 100;
/// The goods that there are at first.
pub(super) const STOCK: u32 = 12;

impl ShopKind {
    pub(super) const ALL: [Self; 3] = [Self::Sequential, Self::Parallel, Self::Gateway];

    pub(super) fn plan(self, service: usize) -> ServicePlan {
        let text = match (self, service) {
            (Self::Sequential, ORDER) => SEQUENTIAL_ORDER,
            (Self::Sequential, INVENTORY) => SEQUENTIAL_INVENTORY,
            (Self::Sequential, _) => SEQUENTIAL_PAYMENT,
            (Self::Parallel, ORDER) => PARALLEL_ORDER,
            (Self::Parallel | Self::Gateway, INVENTORY) => PARALLEL_INVENTORY,
            (Self::Parallel, _) => PARALLEL_PAYMENT,
            (Self::Gateway, ORDER) => GATEWAY_ORDER,
            (Self::Gateway, _) => GATEWAY_PAYMENT,
        };
        let declaration: Declaration = serde_json::from_str(text).unwrap();
        let retry = RetryPolicy { most: Duration::from_secs(10), ..RetryPolicy::default() };
        ServicePlan { declaration, retry }
    }
}

const SEQUENTIAL_ORDER: &str = r#"{"service": "order", "begins": ["OrderCreated"], "reactions": [
    {"name": "PaymentTaken", "on": "PaymentTaken", "emits": "OrderConfirmed"},
    {"name": "InventoryRefused", "on": "InventoryRefused", "emits": "OrderCancelled"},
    {"name": "InventoryReleased", "on": "InventoryReleased", "emits": "OrderCancelled"}]}"#;

const SEQUENTIAL_INVENTORY: &str = r#"{"service": "inventory", "reactions": [
    {"name": "OrderCreated", "on": "OrderCreated",
        "emits": "InventoryReserved", "refuses": "InventoryRefused"},
    {"name": "PaymentRefused", "on": "PaymentRefused", "undoes": ["OrderCreated"],
        "emits": "InventoryReleased"}]}"#;

const SEQUENTIAL_PAYMENT: &str = r#"{"service": "payment", "reactions": [
    {"name": "InventoryReserved", "on": "InventoryReserved",
        "emits": "PaymentTaken", "refuses": "PaymentRefused"}]}"#;

const PARALLEL_ORDER: &str = r#"{"service": "order",
    "begins": ["OrderCreated", "OrderNoted", "OrderWithdrawn"], "reactions": [
    {"name": "PaymentTaken", "on": "PaymentTaken"},
    {"name": "PaymentRefused", "on": "PaymentRefused", "emits": "OrderCancelled"},
    {"name": "PaymentRefunded", "on": "PaymentRefunded"},
    {"name": "InventoryReserved", "on": "InventoryReserved"},
    {"name": "InventoryRefused", "on": "InventoryRefused", "emits": "OrderCancelled"},
    {"name": "InventoryReleased", "on": "InventoryReleased"}]}"#;

const PARALLEL_INVENTORY: &str = r#"{"service": "inventory", "reactions": [
    {"name": "OrderCreated", "on": "OrderCreated",
        "emits": "InventoryReserved", "refuses": "InventoryRefused"},
    {"name": "PaymentRefused", "on": "PaymentRefused", "undoes": ["OrderCreated"],
        "emits": "InventoryReleased"},
    {"name": "PaymentRefunded", "on": "PaymentRefunded", "undoes": ["OrderCreated"],
        "emits": "InventoryReleased"},
    {"name": "OrderNoted", "on": "OrderNoted"},
    {"name": "OrderWithdrawn", "on": "OrderWithdrawn", "undoes": ["OrderCreated"],
        "emits": "InventoryReleased"}]}"#;

const PARALLEL_PAYMENT: &str = r#"{"service": "payment", "reactions": [
    {"name": "OrderCreated", "on": "OrderCreated",
        "emits": "PaymentTaken", "refuses": "PaymentRefused"},
    {"name": "InventoryRefused", "on": "InventoryRefused", "undoes": ["OrderCreated"],
        "emits": "PaymentRefunded"},
    {"name": "OrderNoted", "on": "OrderNoted"},
    {"name": "OrderWithdrawn", "on": "OrderWithdrawn", "undoes": ["OrderCreated"],
        "emits": "PaymentRefunded"}]}"#;

const GATEWAY_ORDER: &str = r#"{"service": "order", "begins": ["OrderCreated"], "reactions": [
    {"name": "PaymentTaken", "on": "PaymentTaken"},
    {"name": "PaymentRefused", "on": "PaymentRefused", "emits": "OrderCancelled"},
    {"name": "PaymentRefunded", "on": "PaymentRefunded"},
    {"name": "InventoryReserved", "on": "InventoryReserved"},
    {"name": "InventoryRefused", "on": "InventoryRefused", "emits": "OrderCancelled"},
    {"name": "InventoryReleased", "on": "InventoryReleased"},
    {"name": "OrderTimedOut", "on": "OrderTimedOut", "emits": "OrderCancelled"}],
    "timeouts": [{"after": "OrderCreated", "awaits": ["PaymentTaken", "PaymentRefused",
        "InventoryRefused"], "within_ms": 600000, "emits": "OrderTimedOut"}]}"#;

const GATEWAY_PAYMENT: &str = r#"{"service": "payment", "reactions": [
    {"name": "OrderCreated", "on": "OrderCreated", "calls": true,
        "emits": "PaymentTaken", "refuses": "PaymentRefused"},
    {"name": "InventoryRefused", "on": "InventoryRefused", "calls": true,
        "undoes": ["OrderCreated"], "emits": "PaymentRefunded"},
    {"name": "OrderTimedOut", "on": "OrderTimedOut", "calls": true,
        "undoes": ["OrderCreated"], "emits": "PaymentRefunded"}]}"#;
