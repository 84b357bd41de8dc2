//! The payment by events: takes an order's money, after the goods or at once; and gives it back
//! where the goods are refused.

use rusqlite::Connection;
use wholly_events::{Choreography, Incoming, Reacted};
use wholly_participant::sqlite::Database;

use super::{Flow, Ordered, Refusal, Step};
use crate::shop::ServiceKind;
use crate::shop::payment;

/// What it declares, and whom it follows.
pub(super) fn choreography(flow: Flow) -> (Choreography<Database>, &'static [ServiceKind]) {
    let charged_on = |event| {
        Choreography::new("payment")
            .on(event, charge)
            .emits("PaymentTaken")
            .refuses("PaymentRefused")
    };
    match flow {
        Flow::Parallel => {
            let declared = charged_on("OrderCreated")
                .on("InventoryRefused", refund)
                .undoes(charge)
                .emits("PaymentRefunded");
            (declared, &[ServiceKind::Order, ServiceKind::Inventory])
        }
        Flow::Sequential | Flow::Calls => {
            (charged_on("InventoryReserved"), &[ServiceKind::Inventory])
        }
    }
}

fn charge(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    let charged = payment::charge(db, &order.charge())?;
    Ok(order.data.done_or_refused(charged))
}

fn refund(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    // Nothing is there to give back where nothing was taken: the refusal may come first.
    if refused.undone.iter().any(|(_, emitted)| emitted.is_some()) {
        payment::refund(db, &refused.order_id)?;
    }
    Ok(Reacted::Done(refused.data))
}
