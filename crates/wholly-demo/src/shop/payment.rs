//! Payments, in whole units of money. The rule: nothing negative is paid.
//!
//! In two-phase a payment for the same order replaces the former one. In a saga an order is paid
//! once, until that is refunded.

use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::barrier::saga::ActionOutcome;
use wholly_participant::sqlite::{Actions, Participant};

use super::standing::Standing;
use super::{Shop, held, now_millis};

#[derive(Clone)]
pub(super) struct Payment;

#[derive(Serialize, Deserialize)]
pub(super) struct Paid {
    order_id: String,
    amount: i64,
}

const NEGATIVE: &str = "an amount cannot be negative";

impl Participant for Payment {
    type Payload = Paid;
    type Prepared = Paid;

    fn validate(&self, db: &Transaction<'_>, paid: Paid) -> Result<Vote<Paid>, Failure> {
        if paid.amount < 0 {
            return Ok(Vote::No(NEGATIVE.to_owned()));
        }
        held::begin(db, &paid.order_id)?;
        Ok(Vote::Yes(paid))
    }

    fn apply(&self, db: &Transaction<'_>, paid: Paid) -> Result<(), Failure> {
        db.prepare_cached("INSERT OR REPLACE INTO payments VALUES (?1, ?2)")?
            .execute((&paid.order_id, paid.amount))?;
        Ok(held::end(db, &paid.order_id)?)
    }

    fn release(&self, db: &Transaction<'_>, paid: Paid) -> Result<(), Failure> {
        Ok(held::end(db, &paid.order_id)?)
    }
}

/// The request of a saga.
#[derive(Deserialize)]
pub(crate) struct Charge {
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    /// True if the payment is to fail, so that the consequences can be seen.
    #[serde(default)]
    pub(crate) simulate_payment_failure: bool,
    /// The time after which nothing is charged, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) expires_at: Option<i64>,
}

/// The reason of a refusal that came of the order's deadline.
pub(crate) const EXPIRED: &str = "the order's deadline has passed";

/// The reason that nothing is charged, whatever was paid before.
pub(crate) fn refusal(asked: &Charge) -> Option<String> {
    match asked {
        Charge { simulate_payment_failure: true, .. } => Some("Payment declined".to_owned()),
        Charge { amount: ..0, .. } => Some(NEGATIVE.to_owned()),
        Charge { expires_at: Some(at), .. } if *at < now_millis() => Some(EXPIRED.to_owned()),
        _ => None,
    }
}

pub(crate) fn paid_already(order_id: &str) -> String {
    format!("order {order_id} is paid already")
}

/// Takes an order's money, or says why it does not.
pub(crate) fn charge(db: &Connection, asked: &Charge) -> rusqlite::Result<Result<(), String>> {
    if let Some(why) = refusal(asked) {
        return Ok(Err(why));
    }
    let paid = db
        .prepare_cached("INSERT INTO payments VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((&asked.order_id, asked.amount))?;
    Ok(match paid {
        0 => Err(paid_already(&asked.order_id)),
        _ => Ok(()),
    })
}

/// Gives an order's money back.
pub(crate) fn refund(db: &Connection, order_id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM payments WHERE order_id = ?1")?.execute([order_id])?;
    Ok(())
}

fn process_payment(db: &Transaction<'_>, asked: Charge) -> Result<ActionOutcome<Paid>, Failure> {
    Ok(match charge(db, &asked)? {
        Ok(()) => ActionOutcome::Done(Paid { order_id: asked.order_id, amount: asked.amount }),
        Err(why) => ActionOutcome::Refused(why),
    })
}

fn refund_payment(db: &Transaction<'_>, _: Charge, paid: Paid) -> Result<(), Failure> {
    Ok(refund(db, &paid.order_id)?)
}

impl Shop for Payment {
    const AT_ONCE: &'static str = "/payments";

    fn actions(&self) -> Actions {
        Actions::new()
            .action("process-payment", process_payment)
            .undo("refund-payment", refund_payment)
    }

    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS payments (
                 order_id TEXT PRIMARY KEY, amount INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID",
        )?;
        held::create(db)
    }

    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value> {
        let mut payments = db.prepare("SELECT order_id, amount FROM payments ORDER BY order_id")?;
        let payments =
            payments.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.into())))?;
        Ok(json!({ "payments": payments.collect::<rusqlite::Result<Map<_, _>>>()? }))
    }

    fn standing(db: &Connection, order_id: &str) -> rusqlite::Result<Standing> {
        if held::is_held(db, order_id)? {
            return Ok(Standing::Held);
        }
        let is_paid =
            db.prepare_cached("SELECT 1 FROM payments WHERE order_id = ?1")?.exists([order_id])?;
        Ok(if is_paid { Standing::Done } else { Standing::None })
    }
}
