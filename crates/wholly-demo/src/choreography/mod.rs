//! The shop by events alone: each service reacts to the events of the others, and nobody
//! coordinates.
//!
//! | on | who | does, and emits | or refuses with |
//! |---|---|---|---|
//! | an order of a client | order | creates it: `OrderCreated` | |
//! | `OrderCreated` | inventory | takes the goods: `InventoryReserved` | `InventoryRefused` |
//! | `InventoryReserved`, or in parallel `OrderCreated` | payment | takes the money: `PaymentTaken` | `PaymentRefused` |
//! | `PaymentRefused` | inventory | puts the goods back: `InventoryReleased` | |
//! | in parallel `InventoryRefused` | payment | gives the money back: `PaymentRefunded` | |
//! | what the last of them says | order | `OrderConfirmed` or `OrderCancelled` | |
//!
//! What each service does with its books is in [`shop`](crate::shop); here is what it reacts to.

mod calls;
mod inventory;
mod order;
mod payment;
mod process;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wholly_events::feed::{HttpFeed, InvalidFeed};
use wholly_events::{Choreography, Failure, Reacted};
use wholly_participant::sqlite::Database;

pub use process::EventService;
pub(crate) use process::Told;

use crate::shop::ServiceKind;
use crate::shop::inventory::Reserved;
use crate::shop::payment::Charge;

/// How an order goes through the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flow {
    /// Order, inventory, payment, order: by events.
    Sequential,
    /// Inventory and payment at once: by events.
    Parallel,
    /// Order, inventory, payment, order: each calls the next, and nothing is remembered. It is what
    /// events are measured beside.
    Calls,
}

/// An order, as a client sends it and as events carry it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ordered {
    order_id: String,
    item_id: String,
    quantity: i64,
    amount: i64,
    /// So that it can be seen what happens then.
    #[serde(default)]
    simulate_payment_failure: bool,
}

/// A refusal of an order, and what follows from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refusal {
    order_id: String,
    reason: String,
}

/// What a reaction comes to.
type Step<T> = Result<Reacted<T, Refusal>, Failure>;

impl Ordered {
    fn goods(&self) -> Reserved {
        Reserved { item_id: self.item_id.clone(), quantity: self.quantity }
    }

    fn charge(&self) -> Charge {
        Charge {
            order_id: self.order_id.clone(),
            amount: self.amount,
            simulate_payment_failure: self.simulate_payment_failure,
        }
    }

    /// Goes on with the order where it could be done.
    fn done_or_refused(self, done: Result<(), String>) -> Reacted<Self, Refusal> {
        match done {
            Ok(()) => Reacted::Done(self),
            Err(reason) => Reacted::Refused(Refusal { order_id: self.order_id, reason }),
        }
    }
}

/// The services' ports, in the order of [`ServiceKind::ALL`].
#[derive(Clone, Copy, Debug)]
struct Ports([u16; 3]);

impl Ports {
    fn of(self, kind: ServiceKind) -> u16 {
        let Self([order, payment, inventory]) = self;
        match kind {
            ServiceKind::Order => order,
            ServiceKind::Payment => payment,
            ServiceKind::Inventory => inventory,
        }
    }

    fn url(self, kind: ServiceKind, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.of(kind))
    }
}

/// What a service reacts to, and the feeds that it follows for it.
fn choreography(
    kind: ServiceKind,
    flow: Flow,
    ports: Ports,
) -> Result<Choreography<Database>, InvalidFeed> {
    let (declared, sources): (_, &[ServiceKind]) = match kind {
        ServiceKind::Order => order::choreography(flow),
        ServiceKind::Payment => payment::choreography(flow),
        ServiceKind::Inventory => inventory::choreography(),
    };
    sources.iter().try_fold(declared, |declared, &source| {
        Ok(declared.follow(source.as_str(), HttpFeed::at(&ports.url(source, "/feed"))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_service_reacts_to_another_emits() {
        for flow in [Flow::Sequential, Flow::Parallel] {
            let declared = ServiceKind::ALL.map(|kind| {
                let choreography = choreography(kind, flow, Ports([1, 2, 3])).unwrap();
                choreography.declaration().unwrap().clone()
            });
            let emitted: Vec<_> = declared.iter().flat_map(|one| one.emitted()).collect();
            for reaction in declared.iter().flat_map(|one| &one.reactions) {
                assert!(emitted.contains(&&reaction.on), "{flow:?}: {} of nobody", reaction.on);
            }
        }
    }
}
