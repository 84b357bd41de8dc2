//! Orders. The rule: an order needs an `order_id`.
//!
//! In two-phase an order comes to be when all is decided: it is `confirmed` at once, and replaces the
//! former one of the same id. In a saga it is `created`, and then `confirmed` or `cancelled`; of the
//! same id there is only one, until it is cancelled.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::barrier::saga::ActionOutcome;
use wholly_participant::sqlite::{Actions, Participant};

use super::standing::Standing;
use super::{Shop, held, now_millis};

#[derive(Clone)]
pub(super) struct Order;

/// The client's request: the id may be missing, and is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    order_id: Option<String>,
    item: Option<String>,
}

/// The prepared order, which has an id.
#[derive(Serialize, Deserialize)]
pub(super) struct Accepted {
    order_id: String,
    item: Option<String>,
}

impl Participant for Order {
    type Payload = Asked;
    type Prepared = Accepted;

    fn validate(&self, db: &Transaction<'_>, asked: Asked) -> Result<Vote<Accepted>, Failure> {
        Ok(match asked.order_id.filter(|id| !id.is_empty()) {
            Some(order_id) => {
                held::begin(db, &order_id)?;
                Vote::Yes(Accepted { order_id, item: asked.item })
            }
            None => Vote::No("order_id is required".to_owned()),
        })
    }

    fn apply(&self, db: &Transaction<'_>, accepted: Accepted) -> Result<(), Failure> {
        db.prepare_cached("INSERT OR REPLACE INTO orders VALUES (?1, ?2, 'confirmed', ?3)")?
            .execute((&accepted.order_id, accepted.item, now_millis()))?;
        Ok(held::end(db, &accepted.order_id)?)
    }

    fn release(&self, db: &Transaction<'_>, accepted: Accepted) -> Result<(), Failure> {
        Ok(held::end(db, &accepted.order_id)?)
    }
}

/// The request of a saga.
#[derive(Deserialize)]
struct Ordered {
    order_id: String,
    item_id: String,
}

fn create_order(db: &Transaction<'_>, asked: Ordered) -> Result<ActionOutcome<()>, Failure> {
    if asked.order_id.is_empty() {
        return Ok(ActionOutcome::Refused("order_id is required".to_owned()));
    }
    let created = db
        .prepare_cached(
            "INSERT INTO orders VALUES (?1, ?2, 'created', NULL)
             ON CONFLICT DO UPDATE SET item = excluded.item, status = 'created', ended_at = NULL
             WHERE status = 'cancelled'",
        )?
        .execute((&asked.order_id, asked.item_id))?;
    Ok(match created {
        0 => ActionOutcome::Refused(format!("there is an order {} already", asked.order_id)),
        _ => ActionOutcome::Done(()),
    })
}

/// Creates an order that was never there; true if it did.
pub(crate) fn create(db: &Connection, order_id: &str, item_id: &str) -> rusqlite::Result<bool> {
    let created = db
        .prepare_cached(
            "INSERT INTO orders VALUES (?1, ?2, 'created', NULL) ON CONFLICT DO NOTHING",
        )?
        .execute((order_id, item_id))?;
    Ok(created > 0)
}

/// Ends an order that is `created`; true if there was one.
pub(crate) fn end(db: &Connection, order_id: &str, status: &str) -> rusqlite::Result<bool> {
    let ended = db
        .prepare_cached(
            "UPDATE orders SET status = ?2, ended_at = ?3
             WHERE order_id = ?1 AND status = 'created'",
        )?
        .execute((order_id, status, now_millis()))?;
    Ok(ended > 0)
}

/// An order that two-phase has put in its place meanwhile is another one, and stays.
fn cancel_order(db: &Transaction<'_>, asked: Ordered, (): ()) -> Result<(), Failure> {
    Ok(end(db, &asked.order_id, "cancelled").map(drop)?)
}

fn confirm_order(db: &Transaction<'_>, asked: Ordered) -> Result<ActionOutcome<()>, Failure> {
    Ok(match end(db, &asked.order_id, "confirmed")? {
        false => ActionOutcome::Refused(format!("there is no order {} to confirm", asked.order_id)),
        true => ActionOutcome::Done(()),
    })
}

impl Shop for Order {
    const AT_ONCE: &'static str = "/orders";

    fn actions(&self) -> Actions {
        Actions::new()
            .action("create-order", create_order)
            .undo("cancel-order", cancel_order)
            .action("confirm-order", confirm_order)
            .without_undo()
    }

    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (
                 order_id TEXT PRIMARY KEY,
                 item TEXT,
                 status TEXT NOT NULL CHECK (status IN ('created', 'confirmed', 'cancelled')),
                 ended_at INTEGER -- milliseconds since the Unix epoch
             ) STRICT, WITHOUT ROWID",
        )?;
        held::create(db)
    }

    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value> {
        let mut orders =
            db.prepare("SELECT order_id, item, status FROM orders ORDER BY order_id")?;
        let orders = orders.query_map([], |row| {
            let (item, status): (Option<String>, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, json!({ "item": item, "status": status })))
        })?;
        Ok(json!({ "orders": orders.collect::<rusqlite::Result<Map<_, _>>>()? }))
    }

    fn standing(db: &Connection, order_id: &str) -> rusqlite::Result<Standing> {
        if held::is_held(db, order_id)? {
            return Ok(Standing::Held);
        }
        let status = db
            .prepare_cached("SELECT status FROM orders WHERE order_id = ?1")?
            .query_row([order_id], |row| row.get::<_, String>(0))
            .optional()?;
        Ok(match status.as_deref() {
            Some("created") => Standing::Pending,
            Some("confirmed") => Standing::Done,
            Some(_) => Standing::Undone,
            None => Standing::None,
        })
    }
}
