//! An external gateway that moves money: a call takes effect at most once for a key.

use std::collections::{BTreeMap, BTreeSet};

use super::shop::{LIMIT, Order};
use crate::event::Event;

#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub(super) answers: BTreeMap<String, bool>,
    /// The money that it has taken for each order, in charges.
    pub(super) charged: BTreeMap<String, u64>,
    /// The orders for which it was asked for anything.
    pub(super) asked: BTreeSet<String>,
    /// Calls of processes that do not wait for them any more, and that may still arrive.
    pub(super) late: Vec<(String, GatewayCall)>,
    /// The percentage of its turns in which it acts.
    pub(super) haste: u64,
}

#[derive(Clone, Debug)]
pub(super) enum GatewayCall {
    Charge(Order),
    Refund(Order),
}

impl GatewayCall {
    /// The order that it is made for.
    pub(super) fn order(&self) -> &str {
        let (Self::Charge(order) | Self::Refund(order)) = self;
        &order.order
    }
}

impl Gateway {
    /// The call that an event leads to.
    pub(super) fn call_of(&self, event: &Event) -> GatewayCall {
        let order: Order = event.data().unwrap();
        match event.kind.as_str() {
            "OrderCreated" => GatewayCall::Charge(order),
            _ => GatewayCall::Refund(order),
        }
    }

    /// Returns whether it is done: the same for the same key.
    pub(super) fn take(&mut self, key: &str, call: &GatewayCall) -> bool {
        if let Some(answer) = self.answers.get(key) {
            return *answer;
        }
        self.asked.insert(call.order().to_owned());
        let answer = match call {
            GatewayCall::Charge(order) if order.amount > LIMIT => false,
            GatewayCall::Charge(order) => {
                *self.charged.entry(order.order.clone()).or_default() += 1;
                true
            }
            // It gives back all that there is, for it is not told how much that is.
            GatewayCall::Refund(order) => {
                self.charged.remove(&order.order);
                true
            }
        };
        self.answers.insert(key.to_owned(), answer);
        answer
    }
}
