//! The inventory by events: takes goods for an order, and puts them back where the payment is
//! refused.

use rusqlite::Connection;
use wholly_events::{Choreography, Incoming, Reacted};
use wholly_participant::sqlite::Database;

use super::{Ordered, Refusal, Step};
use crate::shop::ServiceKind;
use crate::shop::inventory::{put_back, take};

/// What it declares, and whom it follows.
pub(super) fn choreography() -> (Choreography<Database>, &'static [ServiceKind]) {
    let declared = Choreography::new("inventory")
        .on("OrderCreated", reserve)
        .emits("InventoryReserved")
        .refuses("InventoryRefused")
        .on("PaymentRefused", release)
        .undoes(reserve)
        .emits("InventoryReleased");
    (declared, &[ServiceKind::Order, ServiceKind::Payment])
}

fn reserve(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    let taken = take(db, &order.goods())?;
    Ok(order.data.done_or_refused(taken))
}

fn release(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    // Nothing is there to put back where nothing was taken: the refusal may come first.
    for reserved in refused.undone.iter().filter_map(|(_, emitted)| emitted.as_deref()) {
        let order: Ordered = serde_json::from_str(reserved)?;
        put_back(db, &order.goods())?;
    }
    Ok(Reacted::Done(refused.data))
}
