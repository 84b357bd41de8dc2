//! The services' handlers, over tables without keys, so that repeated effects are visible.

use std::cell::Cell;

use rusqlite::Connection;

use super::session::SimulatedSession;
use super::shop::{INVENTORY, LIMIT, ORDER, Order, STOCK, ShopKind};
use crate::choreography::handler::{self, Delivered, HandlerError, HandlerOutput, Reacted};
use crate::choreography::plan::ReactionIndex;

/// The handlers of one service.
pub(super) struct ShopHandlers {
    service: usize,
    names: Vec<String>,
    /// The next handler fails: before or after it has made its change.
    pub(super) fails: Cell<Option<FailurePoint>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailurePoint {
    Before,
    After,
}

impl ShopHandlers {
    pub(super) fn new(shop: ShopKind, service: usize) -> Self {
        let plan = shop.plan(service);
        let names = plan.declaration.reactions.iter().map(|one| one.name.to_string()).collect();
        Self { service, names, fails: Cell::new(None) }
    }
}

/// The tables of a service.
pub(super) fn create_tables(db: &Connection, service: usize) {
    let effects = "CREATE TABLE effect (nth INTEGER PRIMARY KEY AUTOINCREMENT,
        reaction TEXT, source TEXT, id TEXT, correlation TEXT)";
    db.execute_batch(effects).unwrap();
    let own = match service {
        ORDER => "CREATE TABLE orders (id TEXT, paid INTEGER, reserved INTEGER, cancelled INTEGER)"
            .to_owned(),
        INVENTORY => format!(
            "CREATE TABLE stock (count INTEGER); INSERT INTO stock VALUES ({STOCK});
            CREATE TABLE reservation (id TEXT, quantity INTEGER)"
        ),
        _ => "CREATE TABLE payment (id TEXT, amount INTEGER)".to_owned(),
    };
    db.execute_batch(&own).unwrap();
}

impl<const SEQUENCED: bool> handler::Handlers<SimulatedSession<'_, SEQUENCED>> for ShopHandlers {
    async fn handle(
        &self,
        session: &mut SimulatedSession<'_, SEQUENCED>,
        index: ReactionIndex,
        delivered: Delivered,
    ) -> Result<HandlerOutput, HandlerError> {
        let fails = self.fails.take();
        if fails == Some(FailurePoint::Before) {
            return Err(HandlerError::failed("the handler failed"));
        }
        let order = delivered.event.data();
        let order: Order = order.map_err(|why| HandlerError::Unreadable(why.to_string()))?;
        let said = self.change(session.db, &self.names[index.0], &order, delivered);
        if fails == Some(FailurePoint::After) {
            return Err(HandlerError::failed("the handler failed after its change"));
        }
        said.map_err(HandlerError::failed)
    }
}

impl ShopHandlers {
    fn change(
        &self,
        db: &Connection,
        reaction: &str,
        order: &Order,
        delivered: Delivered,
    ) -> rusqlite::Result<HandlerOutput> {
        let event = &delivered.event;
        let effect = "INSERT INTO effect (reaction, source, id, correlation) VALUES (?, ?, ?, ?)";
        let values =
            [reaction, event.source.as_str(), event.id.as_str(), event.correlation.as_str()];
        db.execute(effect, values)?;
        let is_done = match self.service {
            _ if reaction == "OrderNoted" => true,
            ORDER => update(db, reaction, order)?,
            INVENTORY if reaction == "OrderCreated" => reserve(db, order)?,
            INVENTORY => release(db, order, &delivered)?,
            _ if delivered.undone.is_empty() => charge(db, order, &delivered)?,
            _ => refund(db, order, &delivered)?,
        };
        let data = delivered.event.data;
        Ok(if is_done { Reacted::Done(data) } else { Reacted::Refused(data) })
    }
}

fn update(db: &Connection, reaction: &str, order: &Order) -> rusqlite::Result<bool> {
    let change = match reaction {
        "PaymentTaken" => "paid = paid + 1",
        "InventoryReserved" => "reserved = reserved + 1",
        _ => "cancelled = cancelled + 1",
    };
    let sql = format!("UPDATE orders SET {change} WHERE id = ?");
    db.execute(&sql, [&order.order]).map(|_| true)
}

/// Returns whether there are enough goods.
fn reserve(db: &Connection, order: &Order) -> rusqlite::Result<bool> {
    let values = (&order.order, order.quantity);
    db.execute("INSERT INTO reservation VALUES (?1, ?2)", values)?;
    let sql = "UPDATE stock SET count = count - ?1 WHERE count >= ?1";
    Ok(db.execute(sql, [order.quantity])? == 1)
}

fn release(db: &Connection, order: &Order, delivered: &Delivered) -> rusqlite::Result<bool> {
    if has_happened(delivered) {
        db.execute("UPDATE stock SET count = count + ?1", [order.quantity])?;
        take_one(db, "reservation", order)?;
    }
    Ok(true)
}

/// Returns whether the charge was approved: by the gateway, where that was called.
fn charge(db: &Connection, order: &Order, delivered: &Delivered) -> rusqlite::Result<bool> {
    db.execute("INSERT INTO payment VALUES (?1, ?2)", (&order.order, order.amount))?;
    match delivered.called.as_deref() {
        Some(answer) => Ok(answer == "true"),
        None => Ok(order.amount <= LIMIT),
    }
}

fn refund(db: &Connection, order: &Order, delivered: &Delivered) -> rusqlite::Result<bool> {
    if has_happened(delivered) {
        take_one(db, "payment", order)?;
    }
    Ok(true)
}

fn has_happened(delivered: &Delivered) -> bool {
    delivered.undone.iter().any(|(_, output)| output.is_some())
}

/// Deletes one row of the order, of those that there are.
fn take_one(db: &Connection, table: &str, order: &Order) -> rusqlite::Result<()> {
    let one = format!("SELECT rowid FROM {table} WHERE id = ?1 LIMIT 1");
    db.execute(&format!("DELETE FROM {table} WHERE rowid = ({one})"), [&order.order]).map(drop)
}
