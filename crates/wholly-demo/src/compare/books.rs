//! The databases of the three services at the end of a run, read from their files.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

use super::CompareError;
use super::verdict::Collect;
use crate::fleet::Fleet;
use crate::shop::payment::EXPIRED;
use crate::shop::{ServiceKind, Stock, standing};

/// The contents of the services' databases.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// Of each order, what order, payment and inventory have.
    pub(super) orders: BTreeMap<String, Collect>,
    /// When the order service confirmed each order, in milliseconds since the Unix epoch.
    pub(super) confirmed_at: BTreeMap<String, i64>,
    pub(super) reservations: Vec<Reservation>,
    /// The inventory's refusals for want of stock.
    pub(super) refusals: Vec<Refusal>,
    /// The orders whose payment was refused because their deadline had passed.
    pub(super) expired: Vec<String>,
    /// The stock of each item.
    pub(super) on_hand: BTreeMap<String, i64>,
}

/// Goods of an order. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) order: String,
    pub(super) item: String,
    pub(super) quantity: i64,
    pub(super) began_at: i64,
    /// When the inventory itself ended it; what a saga takes is taken at once, and ends only if it
    /// is put back.
    pub(super) ended_at: Option<i64>,
    pub(super) is_undone: bool,
}

/// An order that was refused because there was too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) item: String,
    pub(super) missing: i64,
    pub(super) at: i64,
}

impl Books {
    /// Reads what the databases have of these orders.
    pub(super) fn read<'a>(
        fleet: &Fleet,
        orders: impl Iterator<Item = &'a str>,
    ) -> Result<Self, CompareError> {
        let open = |kind| {
            Connection::open_with_flags(fleet.database(kind), OpenFlags::SQLITE_OPEN_READ_ONLY)
        };
        let databases =
            [open(ServiceKind::Order)?, open(ServiceKind::Payment)?, open(ServiceKind::Inventory)?];
        let mut books = Self::default();
        for order in orders {
            let mut states = [None; 3];
            for ((state, kind), db) in states.iter_mut().zip(ServiceKind::ALL).zip(&databases) {
                *state = Some(standing(kind, db, order)?);
            }
            books.orders.insert(order.to_owned(), states);
        }
        let [order, payment, inventory] = databases;
        let confirmed = "SELECT order_id, ended_at FROM orders
            WHERE status = 'confirmed' AND ended_at IS NOT NULL";
        books.confirmed_at = rows(&order, confirmed, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let on_hand = "SELECT item_id, on_hand FROM stock";
        books.on_hand = rows(&inventory, on_hand, |row| Ok((row.get(0)?, row.get(1)?)))?;
        books.reservations = reservations(&inventory)?;
        books.refusals = refusals(&inventory)?;
        let expired = published(&payment, "PaymentRefused")?.into_iter();
        let expired = expired.filter(|(event, _)| event.reason == EXPIRED);
        books.expired = expired.map(|(event, _)| event.order_id).collect();
        Ok(books)
    }

    /// The items of which there is more or less than the orders that have goods leave.
    pub(super) fn wrong_stock(&self, opening: &Stock) -> usize {
        let taken = |item: &str| -> i64 {
            let of_item = self.reservations.iter().filter(|one| one.item == item && !one.is_undone);
            of_item.map(|one| one.quantity).sum()
        };
        let is_wrong = |(item, had): (&String, &u32)| {
            self.on_hand.get(item) != Some(&(i64::from(*had) - taken(item)))
        };
        opening.iter().filter(|line| is_wrong(*line)).count()
    }
}

fn reservations(db: &Connection) -> rusqlite::Result<Vec<Reservation>> {
    let all = "SELECT order_id, item_id, quantity, began_at, ended_at, state FROM reservations";
    rows(db, all, |row| {
        Ok(Reservation {
            order: row.get(0)?,
            item: row.get(1)?,
            quantity: row.get(2)?,
            began_at: row.get(3)?,
            ended_at: row.get(4)?,
            is_undone: row.get::<_, String>(5)? == "undone",
        })
    })
}

/// The barrier's rows keep the reason of a refusal; by events an event does.
fn refusals(db: &Connection) -> Result<Vec<Refusal>, CompareError> {
    let refused = "SELECT data, changed_at FROM wholly_branch
        WHERE state IN ('refused', 'action-refused') AND data IS NOT NULL";
    let mut all: Vec<(String, i64)> = rows(db, refused, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let events = published(db, "InventoryRefused")?;
    all.extend(events.into_iter().map(|(event, at)| (event.reason, at)));
    Ok(all.iter().filter_map(|(reason, at)| Refusal::parse(reason, *at)).collect())
}

impl Refusal {
    /// Reads `insufficient stock for ITEM: N asked, M available`.
    fn parse(reason: &str, at: i64) -> Option<Self> {
        let rest = reason.strip_prefix("insufficient stock for ")?;
        let (item, rest) = rest.split_once(": ")?;
        let (asked, available) = rest.strip_suffix(" available")?.split_once(" asked, ")?;
        let missing = asked.parse::<i64>().ok()? - available.parse::<i64>().ok()?;
        Some(Self { item: item.to_owned(), missing, at })
    }
}

#[derive(Deserialize)]
struct BookedEvent {
    order_id: String,
    reason: String,
}

/// The events of this kind that a service published, where it publishes any.
fn published(db: &Connection, kind: &str) -> Result<Vec<(BookedEvent, i64)>, CompareError> {
    if !db.table_exists(None, "wholly_outbox")? {
        return Ok(Vec::new());
    }
    let mut events = db.prepare("SELECT data, time FROM wholly_outbox WHERE type = ?1")?;
    let events = events.query_map([kind], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let events = events.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
    events.into_iter().map(|(data, at)| Ok((serde_json::from_str(&data)?, at))).collect()
}

fn rows<T, C: FromIterator<T>>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    db.prepare(sql)?.query_map([], read)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::inventory::{Reserved, insufficient};

    #[test]
    fn a_refusal_is_read_as_the_inventory_writes_it() {
        let asked = Reserved { order_id: None, item_id: "hot1".to_owned(), quantity: 3 };
        let refusal = Refusal { item: "hot1".to_owned(), missing: 2, at: 7 };
        assert_eq!(Refusal::parse(&insufficient(&asked, 1), 7), Some(refusal));
        assert_eq!(Refusal::parse("an amount cannot be negative", 7), None);
    }

    #[test]
    fn stock_that_is_wrong_is_found() {
        let taken = |is_undone| Reservation {
            order: "A".to_owned(),
            item: "hot1".to_owned(),
            quantity: 2,
            began_at: 0,
            ended_at: None,
            is_undone,
        };
        let mut books = Books {
            reservations: vec![taken(false), taken(true)],
            on_hand: [("hot1".to_owned(), 8)].into(),
            ..Books::default()
        };
        let opening = Stock::from([("hot1".to_owned(), 10)]);
        assert_eq!(books.wrong_stock(&opening), 0);
        books.on_hand.insert("hot1".to_owned(), 10);
        assert_eq!(books.wrong_stock(&opening), 1);
    }
}
