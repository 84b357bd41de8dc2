//! Orders in a stream, and SIGKILL to each service in the middle of it.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::task::JoinSet;

use super::open;
use crate::choreography::Flow;
use crate::demo::teller::Teller;
use crate::demo::{StoryError, ensure};
use crate::fleet::{Books, Fleet, PATIENCE, Role};
use crate::order::{Order, ask_until};
use crate::shop::{ServiceKind, Stock};

/// The number of orders that are placed, and of those at once.
const STREAM: usize = 120;
const AT_ONCE: usize = 8;
/// The stock of item1 when it begins.
const OPENING: u32 = 1_000;

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.scene(&format!(
        "{STREAM} orders, {AT_ONCE} at once; every fifth is declined. Each service is killed once."
    ))?;
    let stock = Stock::from([("item1".to_owned(), OPENING)]);
    let mut fleet = open(Flow::Sequential, stock.clone(), false).await?;
    let orders: Vec<_> = (1..=STREAM).map(order).collect();
    let asked_again = place_and_kill(teller, &mut fleet, &orders).await?;
    let what = format!("all {STREAM} have their end; they had to ask again {asked_again} times");
    teller.event("clients", "are told", &what)?;

    let books = fleet.books().await?;
    let expected = orders.iter().fold(Books::after(&stock, []), |books, order| {
        if order.is_declined() { books.and_cancelled(order) } else { books.and(order) }
    });
    teller.books(&summed(&books))?;
    ensure(books == expected, || format!("the books must be {expected:?} and are {books:?}"))?;
    let paid = books.payments.len();
    let gone = books.stock.get("item1").map_or(0, |line| i64::from(OPENING) - line.on_hand);
    teller.right(&format!(
        "{paid} confirmed, each paid once; {} cancelled; {gone} of item1 went, 2 for each",
        STREAM - paid
    ))?;
    Ok(())
}

fn order(nth: usize) -> Order {
    let order = Order::new(format!("ORD{:03}", 100 + nth), "item1", 2, 100);
    if nth.is_multiple_of(5) { order.declined() } else { order }
}

/// Places all, and kills a service after each quarter of them; returns how often clients asked again.
async fn place_and_kill(
    teller: &Teller,
    fleet: &mut Fleet,
    orders: &[Order],
) -> Result<u64, StoryError> {
    let mut waiting = orders.iter();
    let mut placing = JoinSet::new();
    for order in waiting.by_ref().take(AT_ONCE) {
        placing.spawn(place(fleet, order));
    }
    let mut victims =
        [ServiceKind::Inventory, ServiceKind::Payment, ServiceKind::Order].into_iter();
    let (mut ended, mut asked_again) = (0, 0);
    while let Some(done) = placing.join_next().await {
        asked_again += done??;
        ended += 1;
        if ended % (STREAM / 4) == 0
            && let Some(kind) = victims.next()
        {
            fleet.kill(Role::Service(kind));
            let on_their_way = placing.len();
            let what = format!("{ended} orders have ended, {on_their_way} are on their way");
            teller.killed(kind.as_str(), &what)?;
            fleet.run(Role::Service(kind)).await?;
            teller.event(kind.as_str(), "starts", "its database knows what it has dealt with")?;
        }
        if let Some(order) = waiting.next() {
            placing.spawn(place(fleet, order));
        }
    }
    Ok(asked_again)
}

/// A client that asks until its order has ended as it must; returns how often it had to ask again.
fn place(fleet: &Fleet, order: &Order) -> impl Future<Output = Result<u64, StoryError>> + use<> {
    let url = fleet.url(Role::Service(ServiceKind::Order), "/orders?wait_ms=10000");
    let order = order.clone();
    let expected = if order.is_declined() { "cancelled" } else { "confirmed" };
    async move {
        let asked = ask_until(&url, &order, &[200], PATIENCE).await;
        let (end, asked_again) = asked.map_err(StoryError::Wrong)?;
        ensure(end["status"] == expected, || format!("order {} was answered {end}", order.id))?;
        Ok(asked_again)
    }
}

/// The books, with long lists replaced by their counts.
fn summed(books: &Books) -> Books {
    let mut orders = BTreeMap::new();
    for status in ["created", "confirmed", "cancelled"] {
        let those = books.orders.values().filter(|order| order["status"] == status).count();
        if those > 0 {
            orders.insert(format!("{those} orders"), json!({ "status": status }));
        }
    }
    let payments = [(format!("{} orders", books.payments.len()), books.payments.values().sum())];
    Books { orders, payments: payments.into(), ..books.clone() }
}
