//! The same order by events alone: nobody coordinates, and nothing is lost.

mod stream;

use serde_json::{Value, json};

use super::teller::Teller;
use super::{StoryError, check, ensure};
use crate::choreography::{Flow, ServiceReport};
use crate::fleet::{Books, Fleet, Layout, Role};
use crate::order::Order;
use crate::shop::{ServiceKind, Stock, opening_stock};

use ServiceKind::{Inventory, Order as Orders, Payment};

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    let teller = &teller.of_sagas();
    teller.title("Choreography: by events alone, with no coordinator")?;
    teller.say(
        "Each service follows the events of the others and reacts to them, in one transaction \
         with its own\nchange, its inbox and its outbox.",
    )?;
    let mut fleet = open(Flow::Sequential, opening_stock(), true).await?;
    let books = Books::after(&opening_stock(), []);
    let books = succeed(teller, &mut fleet, books).await?;
    let books = decline(teller, &mut fleet, books).await?;
    catch_up(teller, &mut fleet, books).await?;
    drop(fleet);
    stream::play(teller).await?;
    let mut fleet = open(Flow::Parallel, opening_stock(), true).await?;
    let books = at_once(teller, &mut fleet, Books::after(&opening_stock(), [])).await?;
    overtake(teller, &mut fleet, books).await
}

async fn open(flow: Flow, stock: Stock, tell: bool) -> Result<Fleet, StoryError> {
    Ok(Layout { flow: Some(flow), tell, ..Layout::of(stock) }.start().await?)
}

async fn succeed(teller: &Teller, fleet: &mut Fleet, books: Books) -> Result<Books, StoryError> {
    teller.scene("ORD001 takes 2 of item1 for 1000.")?;
    let order = Order::new("ORD001", "item1", 2, 1_000);
    place(teller, fleet, &order).await?;
    let mut story = Story { teller, fleet, order: &order.id };
    story.done(Inventory, "OrderCreated", "InventoryReserved").await?;
    story.done(Payment, "InventoryReserved", "PaymentTaken").await?;
    story.done(Orders, "PaymentTaken", "OrderConfirmed").await?;
    let books = books.and(&order);
    check(teller, fleet, &books).await?;
    teller.right("the order is confirmed and paid, and item1 went from 10 to 8")?;
    Ok(books)
}

async fn decline(teller: &Teller, fleet: &mut Fleet, books: Books) -> Result<Books, StoryError> {
    teller.scene("ORD002 takes 1 of item1 for 500. The payment is declined.")?;
    let order = Order::new("ORD002", "item1", 1, 500).declined();
    place(teller, fleet, &order).await?;
    let mut story = Story { teller, fleet, order: &order.id };
    story.done(Inventory, "OrderCreated", "InventoryReserved").await?;
    story.refused(Payment, "InventoryReserved", "PaymentRefused", "Payment declined").await?;
    story.done(Inventory, "PaymentRefused", "InventoryReleased").await?;
    story.done(Orders, "InventoryReleased", "OrderCancelled").await?;
    let books = books.and_cancelled(&order);
    check(teller, fleet, &books).await?;
    teller.right("the order is cancelled, item1 is 8 again, and no payment was kept")?;
    Ok(books)
}

/// A service is away while events flow.
async fn catch_up(teller: &Teller, fleet: &mut Fleet, books: Books) -> Result<(), StoryError> {
    teller.scene("ORD003 to ORD005 are placed while the payment service is down.")?;
    fleet.kill(Role::Service(Payment));
    teller.killed("payment", "nothing waits for it: orders are taken all the same")?;
    let orders = ["ORD003", "ORD004", "ORD005"].map(|id| Order::new(id, "item1", 1, 100));
    for order in &orders {
        place(teller, fleet, order).await?;
        Story { teller, fleet, order: &order.id }
            .done(Inventory, "OrderCreated", "InventoryReserved")
            .await?;
    }
    let mut halfway = books.clone();
    halfway.in_doubt.remove(Payment.as_str());
    halfway.payments.clear();
    for order in &orders {
        halfway = halfway.and(order);
        halfway.payments.clear();
        halfway.orders.insert(order.id.clone(), in_state(order, "created"));
    }
    check(teller, fleet, &halfway).await?;
    fleet.run(Role::Service(Payment)).await?;
    teller.event("payment", "starts", "its database knows how far it has read")?;
    for order in &orders {
        let mut story = Story { teller, fleet, order: &order.id };
        story.done(Payment, "InventoryReserved", "PaymentTaken").await?;
        story.done(Orders, "PaymentTaken", "OrderConfirmed").await?;
    }
    check(teller, fleet, &orders.iter().fold(books, Books::and)).await?;
    teller.right("what it had missed it has caught up with, and nothing twice")?;
    Ok(())
}

async fn at_once(teller: &Teller, fleet: &mut Fleet, books: Books) -> Result<Books, StoryError> {
    teller.scene("In parallel: ORD006 goes to payment and inventory at once.")?;
    let order = Order::new("ORD006", "item1", 2, 1_000);
    place(teller, fleet, &order).await?;
    let mut story = Story { teller, fleet, order: &order.id };
    story.done(Inventory, "OrderCreated", "InventoryReserved").await?;
    story.done(Payment, "OrderCreated", "PaymentTaken").await?;
    // They come in any order.
    let first = story.heard(Orders, |_| true).await?;
    let second = story.heard(Orders, |_| true).await?;
    let is_so = first.emitted.is_none() && second.emitted.as_deref() == Some("OrderConfirmed");
    ensure(is_so, || format!("the order service said {first:?} and {second:?}"))?;
    let books = books.and(&order);
    check(teller, fleet, &books).await?;
    teller.right("the order was confirmed when both had come, and not before")?;
    Ok(books)
}

/// A refusal comes before the event whose reaction it takes back.
async fn overtake(teller: &Teller, fleet: &mut Fleet, books: Books) -> Result<(), StoryError> {
    teller
        .scene("ORD007 takes 100 of item2. The payment hears of the refusal before the order.")?;
    fleet.kill(Role::Service(Payment));
    teller.killed("payment", "it will be late")?;
    let order = Order::new("ORD007", "item2", 100, 500);
    place(teller, fleet, &order).await?;
    let why = "insufficient stock for item2: 100 asked, 5 available";
    Story { teller, fleet, order: &order.id }
        .refused(Inventory, "OrderCreated", "InventoryRefused", why)
        .await?;
    fleet.kill(Role::Service(Orders));
    teller.killed("order", "so the payment hears of the refusal first")?;
    fleet.run(Role::Service(Payment)).await?;
    teller.event("payment", "starts", "it has heard neither of the order nor of the refusal")?;
    let mut story = Story { teller, fleet, order: &order.id };
    story.done(Payment, "InventoryRefused", "PaymentRefunded").await?;
    fleet.run(Role::Service(Orders)).await?;
    teller.event("order", "starts", "the order comes late")?;
    let mut story = Story { teller, fleet, order: &order.id };
    story.outcome(Payment, "OrderCreated", "suppressed").await?;
    story.done(Orders, "PaymentRefunded", "OrderCancelled").await?;
    check(teller, fleet, &books.and_cancelled(&order)).await?;
    teller.right("nothing was charged: what was taken back before it came stays undone")?;
    Ok(())
}

/// An order on its way, as the services tell it.
struct Story<'a> {
    teller: &'a Teller,
    fleet: &'a mut Fleet,
    order: &'a str,
}

impl Story<'_> {
    /// The reaction took effect, and emitted this.
    async fn done(&mut self, kind: ServiceKind, on: &str, emitted: &str) -> Result<(), StoryError> {
        let told = self.outcome(kind, on, "done").await?;
        ensure(told.emitted.as_deref() == Some(emitted), || format!("the {kind} said {told:?}"))
    }

    async fn refused(
        &mut self,
        kind: ServiceKind,
        on: &str,
        emitted: &str,
        why: &str,
    ) -> Result<(), StoryError> {
        let told = self.outcome(kind, on, "refused").await?;
        let is_so = told.emitted.as_deref() == Some(emitted) && told.reason.as_deref() == Some(why);
        ensure(is_so, || format!("the {kind} said {told:?}"))
    }

    async fn outcome(
        &mut self,
        kind: ServiceKind,
        on: &str,
        outcome: &str,
    ) -> Result<ServiceReport, StoryError> {
        let told = self.heard(kind, |told| told.on.as_deref() == Some(on)).await?;
        let is_so = told.outcome.as_deref() == Some(outcome);
        ensure(is_so, || format!("the {kind} must have {outcome} {on}, and said {told:?}"))?;
        Ok(told)
    }

    /// The next that a service says of the order and that is looked for.
    async fn heard(
        &mut self,
        kind: ServiceKind,
        is_it: impl Fn(&ServiceReport) -> bool,
    ) -> Result<ServiceReport, StoryError> {
        loop {
            let told = line(self.fleet, kind).await?;
            if told.order == self.order && is_it(&told) {
                self.teller.reacted(kind, &told)?;
                return Ok(told);
            }
        }
    }
}

async fn line(fleet: &mut Fleet, kind: ServiceKind) -> Result<ServiceReport, StoryError> {
    let line = fleet.line(Role::Service(kind)).await?;
    let told = serde_json::from_str(&line);
    told.map_err(|_| StoryError::Wrong(format!("the {kind} service said {line:?}")))
}

/// Places an order, and does not wait for its end.
async fn place(teller: &Teller, fleet: &mut Fleet, order: &Order) -> Result<(), StoryError> {
    let reply = fleet.ask(Orders, "/orders", &order.input()).await?;
    ensure(reply.status == 202, || format!("order {} was answered {reply:?}", order.id))?;
    let told = line(fleet, Orders).await?;
    let is_so = told.order == order.id && told.emitted.as_deref() == Some("OrderCreated");
    ensure(is_so, || format!("the order service said {told:?}"))?;
    Ok(teller.reacted(Orders, &told)?)
}

fn in_state(order: &Order, status: &str) -> Value {
    json!({ "item": order.item, "status": status })
}
