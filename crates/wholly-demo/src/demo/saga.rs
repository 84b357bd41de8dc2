//! The same order as a saga: step by step, and step by step back.

use serde_json::json;

use super::teller::Teller;
use super::{StoryError, check, ensure, go_on, heard, newest, place, told, withheld, withhold};
use crate::fleet::{Books, Fleet, Layout, Role, Transaction};
use crate::order::Order;
use crate::service::Said;
use crate::shop::{ServiceKind, opening_stock};

use ServiceKind::{Inventory, Order as Orders, Payment};

const CANCEL_ORDER: &str = "cancel-order";

/// Plays success and failure; the shop goes on running.
pub(super) async fn play(teller: &Teller) -> Result<Fleet, StoryError> {
    let teller = &teller.of_sagas();
    teller.title("Saga: step by step, and step by step back")?;
    teller.say(
        "Each step is done at once, by one service alone; nobody is prepared, and nothing is \
         held.\nWhere a step is refused, those before it are compensated, in reverse order.",
    )?;
    let mut fleet = Layout { tell: true, ..Layout::of(opening_stock()) }.start().await?;
    succeed(teller, &mut fleet).await?;
    fail(teller, &mut fleet).await?;
    Ok(fleet)
}

fn confirmed() -> Order {
    Order::new("ORD001", "item1", 2, 1_000).by_saga()
}

fn cancelled() -> Order {
    Order::new("ORD002", "item1", 1, 500).declined()
}

/// The books when this has been played.
pub(super) fn books_after() -> Books {
    Books::after(&opening_stock(), [&confirmed()]).and_cancelled(&cancelled())
}

async fn succeed(teller: &Teller, fleet: &mut Fleet) -> Result<(), StoryError> {
    teller.scene("ORD001 takes 2 of item1 for 1000.")?;
    let order = confirmed();
    let placed = place(fleet, &order);
    action(teller, fleet, Orders, "create-order", "completed").await?;
    action(teller, fleet, Inventory, "reserve-inventory", "completed").await?;
    action(teller, fleet, Payment, "process-payment", "completed").await?;
    action(teller, fleet, Orders, "confirm-order", "completed").await?;
    ended(teller, fleet, "completed", ["completed"; 4]).await?;
    told(teller, placed, "completed").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [&order])).await?;
    teller.right("the order is confirmed and paid, and item1 went from 10 to 8")?;
    Ok(())
}

async fn fail(teller: &Teller, fleet: &mut Fleet) -> Result<(), StoryError> {
    teller.scene("ORD002 takes 1 of item1 for 500. The payment is declined.")?;
    let placed = place(fleet, &cancelled());
    until_declined(teller, fleet).await?;
    turned_back(teller, fleet).await?;
    compensation(teller, fleet, Inventory, "release-inventory").await?;
    compensation(teller, fleet, Orders, CANCEL_ORDER).await?;
    ended(teller, fleet, "compensated", TAKEN_BACK).await?;
    told(teller, placed, "compensated").await?;
    check(teller, fleet, &books_after()).await?;
    teller.right("the order is cancelled, item1 is 8 again, and no payment was kept")?;
    Ok(())
}

/// The coordinator dies between two compensations.
pub(super) async fn killed_while_compensating(
    teller: &Teller,
    fleet: &mut Fleet,
    id: &str,
    before: Books,
) -> Result<(), StoryError> {
    let teller = &teller.of_sagas();
    teller.scene(&format!("{id}: the coordinator of a saga dies in mid-compensation."))?;
    withhold(fleet, Orders, super::BEFORE, CANCEL_ORDER).await?;
    let order = Order::new(id, "item1", 3, 700).declined();
    let placed = place(fleet, &order);
    until_declined(teller, fleet).await?;
    compensation(teller, fleet, Inventory, "release-inventory").await?;
    withheld(fleet, Orders, CANCEL_ORDER).await?;
    fleet.kill(Role::Coordinator);
    teller.killed("coordinator", "the goods are back, and the order is not cancelled")?;
    let mut halfway = before.clone();
    halfway.orders.insert(id.to_owned(), json!({ "item": order.item, "status": "created" }));
    check(teller, fleet, &halfway).await?;
    go_on(fleet, Orders)?;

    fleet.run(Role::Coordinator).await?;
    teller.event("coordinator", "starts", "its log knows that the saga turned back")?;
    compensation(teller, fleet, Orders, CANCEL_ORDER).await?;
    ended(teller, fleet, "compensated", TAKEN_BACK).await?;
    told(teller, placed, "compensated").await?;
    check(teller, fleet, &before.and_cancelled(&order)).await?;
    teller.right("what turned back was taken back to the end, and nothing twice")?;
    Ok(())
}

/// The final states of a saga's steps when its payment is declined.
const TAKEN_BACK: [&str; 4] = ["compensated", "compensated", "failed", "pending"];

async fn until_declined(teller: &Teller, fleet: &mut Fleet) -> Result<(), StoryError> {
    action(teller, fleet, Orders, "create-order", "completed").await?;
    action(teller, fleet, Inventory, "reserve-inventory", "completed").await?;
    action(teller, fleet, Payment, "process-payment", "failed").await
}

/// The outcome of a step's action, as its service says.
async fn action(
    teller: &Teller,
    fleet: &mut Fleet,
    kind: ServiceKind,
    operation: &str,
    expected: &str,
) -> Result<(), StoryError> {
    let answered = heard(fleet, kind, operation).await?;
    let state = match answered.said {
        Said::Done => "completed",
        Said::Refused => "failed",
        _ => "pending",
    };
    teller.stepped(kind, operation, state, answered.reason.as_deref())?;
    ensure(state == expected, || format!("{operation} must be {expected}, and is {answered:?}"))
}

async fn compensation(
    teller: &Teller,
    fleet: &mut Fleet,
    kind: ServiceKind,
    operation: &str,
) -> Result<(), StoryError> {
    let answered = heard(fleet, kind, operation).await?;
    ensure(answered.said == Said::Done, || format!("{operation} is {answered:?}"))?;
    teller.stepped(kind, operation, "compensated", None)?;
    Ok(())
}

/// The coordinator has its reason to turn back.
async fn turned_back(teller: &Teller, fleet: &Fleet) -> Result<(), StoryError> {
    let saga = newest(fleet, |saga| saga.reason.is_some()).await?;
    let reason = saga.reason.as_deref().unwrap_or_default();
    teller.event("coordinator", "turns back", reason)?;
    ensure(reason == "process-payment was refused: Payment declined", || format!("it is {saga:?}"))
}

/// The saga is over, and its steps are in these states.
async fn ended(
    teller: &Teller,
    fleet: &Fleet,
    state: &str,
    steps: [&str; 4],
) -> Result<(), StoryError> {
    let saga = newest(fleet, Transaction::has_ended).await?;
    teller.ended(&saga)?;
    let is_so = saga.state == state && saga.steps.iter().map(|step| &*step.state).eq(steps);
    ensure(is_so, || format!("the steps must be {steps:?}, and the saga is {saga:?}"))
}
