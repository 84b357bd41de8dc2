//! Stock. The rule: it must suffice, and what one transaction has prepared is not available to
//! another until that one has ended. To reserve nothing changes nothing: a read-only vote.
//!
//! A saga's goods are taken at once, and put back if it turns back.
//!
//! A row for each named order tells the fate of its goods, and when.
//!
//! INVARIANT: `0 <= reserved <= on_hand`; SQLite checks it on every write.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::barrier::saga::ActionOutcome;
use wholly_participant::sqlite::{Actions, Participant};

use super::standing::Standing;
use super::{Shop, Stock, now_millis};

#[derive(Clone)]
pub(super) struct Inventory {
    /// The stock of each item when the database is new.
    pub(super) stock: Stock,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Reserved {
    /// The order for which they are, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<String>,
    pub(crate) item_id: String,
    pub(crate) quantity: i64,
}

impl Participant for Inventory {
    type Payload = Reserved;
    type Prepared = Reserved;

    fn validate(&self, db: &Transaction<'_>, asked: Reserved) -> Result<Vote<Reserved>, Failure> {
        if asked.quantity < 0 {
            return Ok(Vote::No(NEGATIVE.to_owned()));
        }
        let reserved = db
            .prepare_cached(
                "UPDATE stock SET reserved = reserved + ?2
                 WHERE item_id = ?1 AND on_hand - reserved >= ?2",
            )?
            .execute((&asked.item_id, asked.quantity))?;
        if reserved == 1 {
            hold(db, &asked, "held")?;
        }
        Ok(match (reserved, asked.quantity) {
            (1, 0) => Vote::ReadOnly,
            (1, _) => Vote::Yes(asked),
            _ => Vote::No(why_not(db, &asked)?),
        })
    }

    fn apply(&self, db: &Transaction<'_>, reserved: Reserved) -> Result<(), Failure> {
        db.prepare_cached(
            "UPDATE stock SET on_hand = on_hand - ?2, reserved = reserved - ?2 WHERE item_id = ?1",
        )?
        .execute((&reserved.item_id, reserved.quantity))?;
        Ok(end(db, &reserved, "done")?)
    }

    fn release(&self, db: &Transaction<'_>, reserved: Reserved) -> Result<(), Failure> {
        db.prepare_cached("UPDATE stock SET reserved = reserved - ?2 WHERE item_id = ?1")?
            .execute((&reserved.item_id, reserved.quantity))?;
        Ok(end(db, &reserved, "undone")?)
    }
}

/// Notes that the goods of an order are held for it, or taken at once.
fn hold(db: &Connection, asked: &Reserved, state: &str) -> rusqlite::Result<()> {
    let Some(order_id) = &asked.order_id else { return Ok(()) };
    db.prepare_cached("INSERT OR REPLACE INTO reservations VALUES (?1, ?2, ?3, ?4, ?5, NULL)")?
        .execute((order_id, &asked.item_id, asked.quantity, state, now_millis()))?;
    Ok(())
}

/// Notes that the goods of an order are gone, or back.
fn end(db: &Connection, reserved: &Reserved, state: &str) -> rusqlite::Result<()> {
    let Some(order_id) = &reserved.order_id else { return Ok(()) };
    db.prepare_cached("UPDATE reservations SET state = ?2, ended_at = ?3 WHERE order_id = ?1")?
        .execute((order_id, state, now_millis()))?;
    Ok(())
}

pub(crate) const NEGATIVE: &str = "a quantity cannot be negative";

/// The reason that it cannot be had, where so much is available.
pub(crate) fn insufficient(asked: &Reserved, available: i64) -> String {
    let Reserved { item_id, quantity, .. } = asked;
    format!("insufficient stock for {item_id}: {quantity} asked, {available} available")
}

fn why_not(db: &Connection, asked: &Reserved) -> rusqlite::Result<String> {
    let available: Option<i64> = db
        .prepare_cached("SELECT on_hand - reserved FROM stock WHERE item_id = ?1")?
        .query_row([&asked.item_id], |row| row.get(0))
        .optional()?;
    Ok(insufficient(asked, available.unwrap_or(0)))
}

/// Takes goods at once, where there are enough; else says why it does not.
pub(crate) fn take(db: &Connection, asked: &Reserved) -> rusqlite::Result<Result<(), String>> {
    if asked.quantity < 0 {
        return Ok(Err(NEGATIVE.to_owned()));
    }
    let taken = db
        .prepare_cached(
            "UPDATE stock SET on_hand = on_hand - ?2
             WHERE item_id = ?1 AND on_hand - reserved >= ?2",
        )?
        .execute((&asked.item_id, asked.quantity))?;
    Ok(match taken {
        0 => Err(why_not(db, asked)?),
        _ => Ok(hold(db, asked, "done")?),
    })
}

/// Puts goods that were taken back.
pub(crate) fn put_back(db: &Connection, taken: &Reserved) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE stock SET on_hand = on_hand + ?2 WHERE item_id = ?1")?
        .execute((&taken.item_id, taken.quantity))?;
    end(db, taken, "undone")
}

fn reserve_inventory(
    db: &Transaction<'_>,
    asked: Reserved,
) -> Result<ActionOutcome<Reserved>, Failure> {
    Ok(match take(db, &asked)? {
        Ok(()) => ActionOutcome::Done(asked),
        Err(why) => ActionOutcome::Refused(why),
    })
}

fn release_inventory(db: &Transaction<'_>, _: Reserved, taken: Reserved) -> Result<(), Failure> {
    Ok(put_back(db, &taken)?)
}

impl Shop for Inventory {
    const AT_ONCE: &'static str = "/reservations";

    fn actions(&self) -> Actions {
        Actions::new()
            .action("reserve-inventory", reserve_inventory)
            .undo("release-inventory", release_inventory)
    }

    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        // A saga's reservation is done at once, and ends only where it is put back.
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS reservations (
                 order_id TEXT PRIMARY KEY,
                 item_id TEXT NOT NULL,
                 quantity INTEGER NOT NULL,
                 state TEXT NOT NULL CHECK (state IN ('held', 'done', 'undone')),
                 began_at INTEGER NOT NULL, -- milliseconds since the Unix epoch
                 ended_at INTEGER
             ) STRICT, WITHOUT ROWID",
        )?;
        if db.table_exists(None, "stock")? {
            return Ok(());
        }
        db.execute_batch(
            "CREATE TABLE stock (
                 item_id TEXT PRIMARY KEY,
                 on_hand INTEGER NOT NULL,
                 reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND on_hand)
             ) STRICT, WITHOUT ROWID",
        )?;
        let mut insert = db.prepare("INSERT INTO stock (item_id, on_hand) VALUES (?1, ?2)")?;
        for (item, quantity) in &self.stock {
            insert.execute((item, quantity))?;
        }
        Ok(())
    }

    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value> {
        let mut stock = db.prepare(
            "SELECT item_id, on_hand, on_hand - reserved, reserved FROM stock ORDER BY item_id",
        )?;
        let stock = stock.query_map([], |row| {
            let (on_hand, available, reserved): (i64, i64, i64) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
            let line = json!({ "on_hand": on_hand, "available": available, "reserved": reserved });
            Ok((row.get(0)?, line))
        })?;
        Ok(json!({ "stock": stock.collect::<rusqlite::Result<Map<_, _>>>()? }))
    }

    fn standing(db: &Connection, order_id: &str) -> rusqlite::Result<Standing> {
        let state = db
            .prepare_cached("SELECT state FROM reservations WHERE order_id = ?1")?
            .query_row([order_id], |row| row.get::<_, String>(0))
            .optional()?;
        Ok(match state.as_deref() {
            Some("held") => Standing::Held,
            Some("done") => Standing::Done,
            Some(_) => Standing::Undone,
            None => Standing::None,
        })
    }
}
