//! Payments, in whole units of money. The rule: nothing negative is paid. A payment for the same
//! order replaces the former one.

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::sqlite::Participant;

use super::Shop;

#[derive(Clone)]
pub(super) struct Payment;

#[derive(Serialize, Deserialize)]
pub(super) struct Paid {
    order_id: String,
    amount: i64,
}

impl Participant for Payment {
    type Payload = Paid;
    type Prepared = Paid;

    fn validate(&self, _db: &Transaction<'_>, paid: Paid) -> Result<Vote<Paid>, Failure> {
        Ok(match paid {
            Paid { amount: ..0, .. } => Vote::No("an amount cannot be negative".to_owned()),
            paid => Vote::Yes(paid),
        })
    }

    fn apply(&self, db: &Transaction<'_>, paid: Paid) -> Result<(), Failure> {
        db.prepare_cached("INSERT OR REPLACE INTO payments VALUES (?1, ?2)")?
            .execute((paid.order_id, paid.amount))?;
        Ok(())
    }
}

impl Shop for Payment {
    const AT_ONCE: &'static str = "/payments";

    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS payments (
                 order_id TEXT PRIMARY KEY, amount INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID",
        )
    }

    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value> {
        let mut payments = db.prepare("SELECT order_id, amount FROM payments ORDER BY order_id")?;
        let payments =
            payments.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.into())))?;
        Ok(json!({ "payments": payments.collect::<rusqlite::Result<Map<_, _>>>()? }))
    }
}
