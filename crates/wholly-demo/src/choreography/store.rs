//! The database of the shop by events, beyond the tables of the events.

use axum::Router;
use wholly_events::store::Store;
use wholly_events::{Choreography, Failure};

use super::{Flow, Ordered};
use crate::shop::{ServiceKind, Stock};

/// A database in which the shop's services keep their books.
pub(super) trait ShopStore: Store {
    /// Makes the tables of a service where they are not there; the route that shows its books.
    fn books_of(
        &self,
        kind: ServiceKind,
        stock: Stock,
    ) -> impl Future<Output = Result<Router, Failure>> + Send;

    /// The reactions of a service.
    fn choreography(kind: ServiceKind, flow: Flow) -> Choreography<Self>;

    /// Creates an order where there is none and says so, in one transaction; returns how it stands.
    /// Without `says_so` it is wrong on purpose.
    fn begin(
        &self,
        order: Ordered,
        says_so: bool,
    ) -> impl Future<Output = Result<Begun, Failure>> + Send;

    /// Makes a change in the books in a committed transaction of its own, as a plain service does.
    fn change(
        &self,
        change: Change,
        order: Ordered,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Says that an order was created, in a transaction of its own, which no service may do.
    fn say_apart(&self, order: Ordered) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Forgets the events that were dealt with, which no service may do.
    fn forget_inbox(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A change in the books of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Reserve,
    Charge,
    Confirm,
    Cancel,
}

impl Change {
    #[cfg(test)]
    /// The changes that the service without a coordinator is made of.
    pub(super) const ALL: [Self; 5] =
        [Self::Create, Self::Reserve, Self::Charge, Self::Confirm, Self::Cancel];
}

/// A failure where an order was not as the change needs it.
pub(super) fn possible(change: Change, is_done: bool) -> Result<(), Failure> {
    match (change, is_done) {
        (_, true) => Ok(()),
        (Change::Create, false) => Err("there is such an order already".into()),
        (_, false) => Err("there is no such order".into()),
    }
}

/// The standing of an order that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is created now.
    New,
    /// It was there, in this state.
    There(String),
}

/// The statements that forget, also how far the feeds were read, so that all events come again.
pub(super) const FORGET: &str = "DELETE FROM wholly_inbox; DELETE FROM wholly_cursor";
