//! The shop by events over SQLite: each reaction is a function of the open transaction.

use axum::Router;
use rusqlite::{Connection, OptionalExtension};
use wholly_events::{Choreography, Failure, Incoming, Reacted};
use wholly_participant::sqlite::Database;

use super::store::{Begun, Change, FORGET, ShopStore, possible};
use super::{Flow, Ordered, Refusal, Step, declared, undone_orders};
use crate::shop::order::{create, end};
use crate::shop::{ServiceKind, Stock, books_of, inventory, payment};

impl ShopStore for Database {
    async fn books_of(&self, kind: ServiceKind, stock: Stock) -> Result<Router, Failure> {
        self.transaction(|db| Ok(db.execute_batch(ARRIVED)?)).await?;
        Ok(books_of(kind, self.clone(), stock).await?)
    }

    fn choreography(kind: ServiceKind, flow: Flow) -> Choreography<Self> {
        match kind {
            ServiceKind::Order => declared::order(flow, confirm, join, cancel),
            ServiceKind::Payment => declared::payment(flow, charge, refund),
            ServiceKind::Inventory => declared::inventory(reserve, release),
        }
    }

    async fn begin(&self, order: Ordered, says_so: bool) -> Result<Begun, Failure> {
        Ok(self.transaction(move |db| begin(db, &order, says_so)).await?)
    }

    async fn change(&self, change: Change, order: Ordered) -> Result<(), Failure> {
        let work = move |db: &rusqlite::Transaction<'_>| match change {
            Change::Create => possible(change, create(db, &order.order_id, &order.item_id)?),
            Change::Reserve => Ok(inventory::take(db, &order.goods())??),
            Change::Charge => Ok(payment::charge(db, &order.charge())??),
            Change::Confirm => possible(change, end(db, &order.order_id, "confirmed")?),
            Change::Cancel => possible(change, end(db, &order.order_id, "cancelled")?),
        };
        Ok(self.transaction(work).await?)
    }

    async fn say_apart(&self, order: Ordered) -> Result<(), Failure> {
        Ok(self.transaction(move |db| say(db, &order)).await?)
    }

    async fn forget_inbox(&self) -> Result<(), Failure> {
        let forget = |db: &rusqlite::Transaction<'_>| {
            wholly_events::rusqlite::create_tables(db)?;
            Ok(db.execute_batch(FORGET)?)
        };
        Ok(self.transaction(forget).await?)
    }
}

/// The events that have come for an order that awaits two.
const ARRIVED: &str = "CREATE TABLE IF NOT EXISTS arrived (
    order_id TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (order_id, event)
) STRICT, WITHOUT ROWID";

fn begin(db: &Connection, order: &Ordered, says_so: bool) -> Result<Begun, Failure> {
    if create(db, &order.order_id, &order.item_id)? {
        if says_so {
            say(db, order)?;
        }
        return Ok(Begun::New);
    }
    let status = db
        .prepare_cached("SELECT status FROM orders WHERE order_id = ?1")?
        .query_row([&order.order_id], |row| row.get(0))
        .optional()?;
    Ok(Begun::There(status.ok_or("the order is neither new nor there")?))
}

fn say(db: &Connection, order: &Ordered) -> Result<(), Failure> {
    Ok(wholly_events::rusqlite::publish(db, &order.created()?)?)
}

fn reserve(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    let taken = inventory::take(db, &order.goods())?;
    Ok(order.data.done_or_refused(taken))
}

fn release(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    for order in undone_orders(&refused)? {
        inventory::put_back(db, &order.goods())?;
    }
    Ok(Reacted::Done(refused.data))
}

fn charge(db: &Connection, order: Incoming<Ordered>) -> Step<Ordered> {
    let charged = payment::charge(db, &order.charge())?;
    Ok(order.data.done_or_refused(charged))
}

fn refund(db: &Connection, refused: Incoming<Refusal>) -> Step<Refusal> {
    for order in undone_orders(&refused)? {
        payment::refund(db, &order.order_id)?;
    }
    Ok(Reacted::Done(refused.data))
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
