//! Orders by events: each is ended by what the other services say.

use rusqlite::Connection;
use wholly_events::{Choreography, Incoming, Reacted};
use wholly_participant::sqlite::{Database, TransactionError};

use super::{Flow, Ordered, Refusal, Step};
use crate::shop::ServiceKind;
use crate::shop::order::end;

/// What it declares, and whom it follows.
pub(super) fn choreography(flow: Flow) -> (Choreography<Database>, &'static [ServiceKind]) {
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
        Flow::Sequential | Flow::Calls => declared
            .on("PaymentTaken", confirm)
            .emits("OrderConfirmed")
            .on("InventoryRefused", cancel)
            .emits("OrderCancelled")
            .on("InventoryReleased", cancel)
            .emits("OrderCancelled"),
    };
    let declared = declared.ends("OrderConfirmed").ends("OrderCancelled");
    (declared, &[ServiceKind::Inventory, ServiceKind::Payment])
}

/// Makes the table of what has come of an order that awaits two events.
pub(super) async fn create_table(database: &Database) -> Result<(), TransactionError> {
    let table = "CREATE TABLE IF NOT EXISTS arrived (
        order_id TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (order_id, event)
    ) STRICT, WITHOUT ROWID";
    database.transaction(move |db| Ok(db.execute_batch(table)?)).await
}

/// Confirms the order once both events have come.
fn join(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    db.prepare_cached("INSERT INTO arrived VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((&order.order_id, order.event.kind.as_str()))?;
    let arrived: u32 = db
        .prepare_cached("SELECT count(*) FROM arrived WHERE order_id = ?1")?
        .query_row([&order.order_id], |row| row.get(0))?;
    match arrived {
        2 => confirm(db, order),
        _ => Ok(Reacted::Silent),
    }
}

fn confirm(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    match end(db, &order.order_id, "confirmed")? {
        true => Ok(Reacted::Done(order.data)),
        false => Ok(Reacted::Silent),
    }
}

/// Cancels the order, once: where both sides refuse, both say that they have ended.
fn cancel(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    match end(db, &refused.order_id, "cancelled")? {
        true => Ok(Reacted::Done(refused.data)),
        false => Ok(Reacted::Silent),
    }
}
