//! The shop by events over PostgreSQL: the same business as over SQLite, in asynchronous functions
//! of the connection that has the transaction open.

mod books;

use axum::Router;
use tokio_postgres::Client;
use wholly_events::store::Pool;
use wholly_events::{Choreography, Failure, Incoming, Reacted};

use super::store::{Begun, Change, FORGET, ShopStore, possible};
use super::{Flow, Ordered, Refusal, Step, declared, undone_orders};
use crate::shop::{ServiceKind, Stock, inventory, payment};

impl ShopStore for Pool {
    async fn books_of(&self, kind: ServiceKind, stock: Stock) -> Result<Router, Failure> {
        books::of(self.clone(), kind, stock).await
    }

    fn choreography(kind: ServiceKind, flow: Flow) -> Choreography<Self> {
        match kind {
            ServiceKind::Order => declared::order(flow, confirm, join, cancel),
            ServiceKind::Payment => declared::payment(flow, charge, refund),
            ServiceKind::Inventory => declared::inventory(reserve, release),
        }
    }

    async fn begin(&self, order: Ordered, says_so: bool) -> Result<Begun, Failure> {
        let mut client = self.get().await?;
        let tx = client.transaction().await?;
        if !create(tx.client(), &order).await? {
            let status = "SELECT status FROM orders WHERE order_id = $1";
            return Ok(Begun::There(tx.query_one(status, &[&order.order_id]).await?.try_get(0)?));
        }
        if says_so {
            wholly_events::tokio_postgres::publish(&*tx, &order.created()?).await?;
        }
        tx.commit().await?;
        Ok(Begun::New)
    }

    async fn change(&self, change: Change, order: Ordered) -> Result<(), Failure> {
        let mut client = self.get().await?;
        let tx = client.transaction().await?;
        let db = tx.client();
        match change {
            Change::Create => possible(change, create(db, &order).await?)?,
            Change::Reserve => take(db, &order).await??,
            Change::Charge => pay(db, &order).await??,
            Change::Confirm => possible(change, end(db, &order.order_id, "confirmed").await?)?,
            Change::Cancel => possible(change, end(db, &order.order_id, "cancelled").await?)?,
        }
        Ok(tx.commit().await?)
    }

    async fn say_apart(&self, order: Ordered) -> Result<(), Failure> {
        let client = self.get().await?;
        Ok(wholly_events::tokio_postgres::publish(&**client, &order.created()?).await?)
    }

    async fn forget_inbox(&self) -> Result<(), Failure> {
        let client = self.get().await?;
        wholly_events::tokio_postgres::create_tables(&**client).await?;
        Ok(client.batch_execute(FORGET).await?)
    }
}

async fn create(db: &Client, order: &Ordered) -> Result<bool, Failure> {
    let create = "INSERT INTO orders VALUES ($1, $2, 'created') ON CONFLICT DO NOTHING";
    Ok(db.execute(create, &[&order.order_id, &order.item_id]).await? > 0)
}

async fn reserve(db: &Client, order: Incoming<Ordered>) -> Step<Ordered> {
    let taken = take(db, &order).await?;
    Ok(order.data.done_or_refused(taken))
}

async fn take(db: &Client, order: &Ordered) -> Result<Result<(), String>, Failure> {
    let goods = order.goods();
    if goods.quantity < 0 {
        return Ok(Err(inventory::NEGATIVE.to_owned()));
    }
    let take = "UPDATE stock SET on_hand = on_hand - $2
        WHERE item_id = $1 AND on_hand - reserved >= $2";
    if db.execute(take, &[&goods.item_id, &goods.quantity]).await? > 0 {
        return Ok(Ok(()));
    }
    let available = "SELECT on_hand - reserved FROM stock WHERE item_id = $1";
    let available = match db.query_opt(available, &[&goods.item_id]).await? {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    Ok(Err(inventory::insufficient(&goods, available)))
}

async fn release(db: &Client, refused: Incoming<Refusal>) -> Step<Refusal> {
    for order in undone_orders(&refused)? {
        let put_back = "UPDATE stock SET on_hand = on_hand + $2 WHERE item_id = $1";
        db.execute(put_back, &[&order.item_id, &order.quantity]).await?;
    }
    Ok(Reacted::Done(refused.data))
}

async fn charge(db: &Client, order: Incoming<Ordered>) -> Step<Ordered> {
    let charged = pay(db, &order).await?;
    Ok(order.data.done_or_refused(charged))
}

async fn pay(db: &Client, order: &Ordered) -> Result<Result<(), String>, Failure> {
    let asked = order.charge();
    if let Some(why) = payment::refusal(&asked) {
        return Ok(Err(why));
    }
    let pay = "INSERT INTO payments VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(match db.execute(pay, &[&asked.order_id, &asked.amount]).await? {
        0 => Err(payment::paid_already(&asked.order_id)),
        _ => Ok(()),
    })
}

async fn refund(db: &Client, refused: Incoming<Refusal>) -> Step<Refusal> {
    for order in undone_orders(&refused)? {
        db.execute("DELETE FROM payments WHERE order_id = $1", &[&order.order_id]).await?;
    }
    Ok(Reacted::Done(refused.data))
}

/// Confirms the order once both events have come.
async fn join(db: &Client, order: Incoming<Ordered>) -> Step<Ordered> {
    let arrives = "INSERT INTO arrived VALUES ($1, $2) ON CONFLICT DO NOTHING";
    db.execute(arrives, &[&order.order_id, &order.event.kind.as_str()]).await?;
    let arrived = "SELECT count(*) FROM arrived WHERE order_id = $1";
    let arrived: i64 = db.query_one(arrived, &[&order.order_id]).await?.try_get(0)?;
    match arrived {
        2 => confirm(db, order).await,
        _ => Ok(Reacted::Silent),
    }
}

async fn confirm(db: &Client, order: Incoming<Ordered>) -> Step<Ordered> {
    match end(db, &order.order_id, "confirmed").await? {
        true => Ok(Reacted::Done(order.data)),
        false => Ok(Reacted::Silent),
    }
}

/// Cancels the order, once: where both sides refuse, both say that they have ended.
async fn cancel(db: &Client, refused: Incoming<Refusal>) -> Step<Refusal> {
    match end(db, &refused.order_id, "cancelled").await? {
        true => Ok(Reacted::Done(refused.data)),
        false => Ok(Reacted::Silent),
    }
}

async fn end(db: &Client, order_id: &str, status: &str) -> Result<bool, Failure> {
    let end = "UPDATE orders SET status = $2 WHERE order_id = $1 AND status = 'created'";
    Ok(db.execute(end, &[&order_id, &status]).await? > 0)
}
