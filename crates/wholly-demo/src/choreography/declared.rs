//! The reactions of each service and the feeds that it follows, the same for every database.

use wholly_events::Choreography;
use wholly_events::choreography::IntoHandler;
use wholly_events::store::Store;

use super::Flow;
use crate::shop::ServiceKind;

/// The services whose feeds a service follows.
pub(super) fn sources(kind: ServiceKind, flow: Flow) -> &'static [ServiceKind] {
    match (kind, flow) {
        (ServiceKind::Order, _) => &[ServiceKind::Inventory, ServiceKind::Payment],
        (ServiceKind::Inventory, _) => &[ServiceKind::Order, ServiceKind::Payment],
        (ServiceKind::Payment, Flow::Parallel) => &[ServiceKind::Order, ServiceKind::Inventory],
        (ServiceKind::Payment, _) => &[ServiceKind::Inventory],
    }
}

/// Takes goods for an order, and puts them back where the payment is refused.
pub(super) fn inventory<S: Store, A, B>(
    reserve: impl IntoHandler<S, A> + Copy,
    release: impl IntoHandler<S, B>,
) -> Choreography<S> {
    Choreography::new("inventory")
        .on("OrderCreated", reserve)
        .emits("InventoryReserved")
        .refuses("InventoryRefused")
        .on("PaymentRefused", release)
        .undoes(reserve)
        .emits("InventoryReleased")
}

/// Takes an order's money, after the goods or at once; and gives it back where the goods are
/// refused.
pub(super) fn payment<S: Store, A, B>(
    flow: Flow,
    charge: impl IntoHandler<S, A> + Copy,
    refund: impl IntoHandler<S, B>,
) -> Choreography<S> {
    let charged_on = |event| {
        Choreography::new("payment")
            .on(event, charge)
            .emits("PaymentTaken")
            .refuses("PaymentRefused")
    };
    match flow {
        Flow::Parallel => charged_on("OrderCreated")
            .on("InventoryRefused", refund)
            .undoes(charge)
            .emits("PaymentRefunded"),
        Flow::Sequential | Flow::Calls | Flow::InTurn => charged_on("InventoryReserved"),
    }
}

/// Ends an order by the events of the other services.
pub(super) fn order<S: Store, A, B, C>(
    flow: Flow,
    confirm: impl IntoHandler<S, A>,
    join: impl IntoHandler<S, B> + Copy,
    cancel: impl IntoHandler<S, C> + Copy,
) -> Choreography<S> {
    let declared = Choreography::new("order").begins("OrderCreated");
    let declared = match flow {
        Flow::Parallel => declared
            .on("InventoryReserved", join)
            .emits("OrderConfirmed")
            .on("PaymentTaken", join)
            .emits("OrderConfirmed")
            // Each is said once its side has ended; the other side has refused, and so ended before.
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled")
            .on("PaymentRefunded", cancel)
            .emits("OrderCancelled"),
        Flow::Sequential | Flow::Calls | Flow::InTurn => declared
            .on("PaymentTaken", confirm)
            .emits("OrderConfirmed")
            .on("InventoryRefused", cancel)
            .emits("OrderCancelled")
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled"),
    };
    declared.ends("OrderConfirmed").ends("OrderCancelled")
}
