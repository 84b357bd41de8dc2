//! Orders. The rule: an order needs an `order_id`. An order of the same id replaces the former one.

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::sqlite::Participant;

use super::Shop;

#[derive(Clone)]
pub(super) struct Order;

/// What the client asks: the id may be missing, and is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    order_id: Option<String>,
    item: Option<String>,
}

/// What is prepared: an order that has an id.
#[derive(Serialize, Deserialize)]
pub(super) struct Accepted {
    order_id: String,
    item: Option<String>,
}

impl Participant for Order {
    type Payload = Asked;
    type Prepared = Accepted;

    fn validate(&self, _db: &Transaction<'_>, asked: Asked) -> Result<Vote<Accepted>, Failure> {
        Ok(match asked.order_id.filter(|id| !id.is_empty()) {
            Some(order_id) => Vote::Yes(Accepted { order_id, item: asked.item }),
            None => Vote::No("order_id is required".to_owned()),
        })
    }

    fn apply(&self, db: &Transaction<'_>, accepted: Accepted) -> Result<(), Failure> {
        db.prepare_cached("INSERT OR REPLACE INTO orders VALUES (?1, ?2)")?
            .execute((accepted.order_id, accepted.item))?;
        Ok(())
    }
}

impl Shop for Order {
    const AT_ONCE: &'static str = "/orders";

    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, item TEXT)
                 STRICT, WITHOUT ROWID",
        )
    }

    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value> {
        let mut orders = db.prepare("SELECT order_id, item FROM orders ORDER BY order_id")?;
        let orders = orders.query_map([], |row| {
            let item: Option<String> = row.get(1)?;
            Ok((row.get(0)?, json!({ "item": item })))
        })?;
        Ok(json!({ "orders": orders.collect::<rusqlite::Result<Map<_, _>>>()? }))
    }
}
