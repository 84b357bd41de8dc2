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
//! What each service reacts to is in `declared`; what it does with its books then in `sqlite` and
//! `postgres`.

mod calls;
mod declared;
mod desk;
mod in_turn;
mod postgres;
mod process;
mod sqlite;
mod store;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wholly_events::choreography::InvalidChoreography;
use wholly_events::feed::{HttpFeed, InvalidFeed};
use wholly_events::{Choreography, Declaration, Failure, Incoming, NewEvent, Reacted};

use wholly_participant::sqlite::Database;

pub(crate) use process::ServiceReport;
pub use process::{EventService, Staging, Wrong};
use store::ShopStore;

use crate::shop::ServiceKind;
use crate::shop::inventory::Reserved;
use crate::shop::payment::Charge;

/// The way of an order through the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flow {
    /// Order, inventory, payment, order: by events.
    Sequential,
    /// Inventory and payment at once: by events.
    Parallel,
    /// Order, inventory, payment, order: each calls the next, and nothing is remembered. It is what
    /// events are measured beside.
    Calls,
    /// Order calls payment and then inventory, and gives up where one fails: what is written first.
    InTurn,
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
    /// The time after which it is not paid any more, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// True if a reader asks how it stands: the inventory keeps a row for it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_watched: bool,
}

/// A refusal of an order, and what follows from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refusal {
    order_id: String,
    reason: String,
}

/// The outcome of a reaction.
type Step<T> = Result<Reacted<T, Refusal>, Failure>;

impl Ordered {
    fn goods(&self) -> Reserved {
        Reserved {
            order_id: self.is_watched.then(|| self.order_id.clone()),
            item_id: self.item_id.clone(),
            quantity: self.quantity,
        }
    }

    fn charge(&self) -> Charge {
        Charge {
            order_id: self.order_id.clone(),
            amount: self.amount,
            simulate_payment_failure: self.simulate_payment_failure,
            expires_at: self.expires_at,
        }
    }

    /// The event that it is there.
    fn created(&self) -> Result<NewEvent, Failure> {
        Ok(NewEvent::new("OrderCreated", &self.order_id, self)?)
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

/// The orders for which something was done that is to be taken back. There are none where nothing
/// was done: what takes back may come first.
fn undone_orders(refused: &Incoming<Refusal>) -> serde_json::Result<Vec<Ordered>> {
    let emitted = refused.undone.iter().filter_map(|(_, emitted)| emitted.as_deref());
    emitted.map(serde_json::from_str).collect()
}

/// The services whose feeds a service follows.
pub fn sources(kind: ServiceKind, flow: Flow) -> &'static [ServiceKind] {
    declared::sources(kind, flow)
}

/// The declaration of a service.
pub fn declaration(kind: ServiceKind, flow: Flow) -> Result<Declaration, InvalidChoreography> {
    Database::choreography(kind, flow).declaration().cloned()
}

/// The number of changes of the services without a coordinator.
#[cfg(test)]
pub(crate) fn changes() -> u32 {
    store::Change::ALL.len() as u32
}

/// The reactions of a service, and the feeds that it follows for them.
fn choreography<S: ShopStore>(
    kind: ServiceKind,
    flow: Flow,
    ports: Ports,
) -> Result<Choreography<S>, InvalidFeed> {
    let declared = S::choreography(kind, flow);
    declared::sources(kind, flow).iter().try_fold(declared, |declared, &source| {
        Ok(declared.follow(source.as_str(), HttpFeed::at(&ports.url(source, "/feed"))?))
    })
}

#[cfg(test)]
mod tests {
    use wholly_events::store::Pool;

    use super::*;

    #[test]
    fn a_service_declares_the_same_whatever_database_it_lives_in() {
        for flow in [Flow::Sequential, Flow::Parallel] {
            for kind in ServiceKind::ALL {
                let over_sqlite = Database::choreography(kind, flow);
                let over_postgres = Pool::choreography(kind, flow);
                assert_eq!(over_sqlite.declaration(), over_postgres.declaration());
            }
        }
    }

    #[test]
    fn what_one_service_reacts_to_another_emits() {
        for flow in [Flow::Sequential, Flow::Parallel] {
            let declared = ServiceKind::ALL.map(|kind| {
                let choreography = choreography::<Database>(kind, flow, Ports([1, 2, 3])).unwrap();
                choreography.declaration().unwrap().clone()
            });
            let emitted: Vec<_> = declared.iter().flat_map(|one| one.emitted()).collect();
            for reaction in declared.iter().flat_map(|one| &one.reactions) {
                assert!(emitted.contains(&&reaction.on), "{flow:?}: {} of nobody", reaction.on);
            }
        }
    }
}
