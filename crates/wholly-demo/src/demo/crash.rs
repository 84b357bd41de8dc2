//! SIGKILL at the moments that matter most.

use wholly_core::wire::Operation;

use super::teller::Teller;
use super::{
    Placing, StoryError, answer, answers, check, decision, ensure, go_on, place, saga, told,
    withheld, withhold,
};
use crate::fleet::{Books, Fleet, Layout, PATIENCE, Role, Transaction};
use crate::order::Order;
use crate::shop::{ServiceKind, opening_stock};

use ServiceKind::Inventory;

const PREPARE: &str = Operation::Prepare.as_str();
const COMMIT: &str = Operation::Commit.as_str();

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.title("Crashes: SIGKILL at the worst moments")?;
    teller.say("The client of each order asks again, with the same key, until it is answered.")?;
    let mut fleet = Layout { tell: true, ..Layout::of(opening_stock()) }.start().await?;
    before_the_decision(teller, &mut fleet).await?;
    let first = after_the_decision(teller, &mut fleet).await?;
    let second = while_prepared(teller, &mut fleet, &first).await?;
    let before = Books::after(&opening_stock(), [&first, &second]);
    saga::killed_while_compensating(teller, &mut fleet, "ORD104", before).await
}

async fn before_the_decision(teller: &Teller, fleet: &mut Fleet) -> Result<(), StoryError> {
    teller.scene("ORD101: the coordinator dies after the votes and before the decision.")?;
    withhold(fleet, Inventory, super::AFTER, PREPARE).await?;
    let order = patient("ORD101", "item1", 2, 1_000);
    let placed = until_prepared(teller, fleet, &order).await?;
    fleet.kill(Role::Coordinator);
    teller.killed("coordinator", "every vote is yes, and the inventory's is still on its way")?;
    in_doubt(teller, fleet).await?;
    go_on(fleet, Inventory)?;

    fleet.run(Role::Coordinator).await?;
    teller.event("coordinator", "starts", "its log knows the order, and no decision")?;
    decision(teller, fleet, "aborted").await?;
    answers(teller, fleet, &ServiceKind::ALL, Operation::Abort).await?;
    told(teller, placed, "aborted").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [])).await?;
    teller.right("nothing happened, and nothing is held: the order may be placed anew")?;
    Ok(())
}

async fn after_the_decision(teller: &Teller, fleet: &mut Fleet) -> Result<Order, StoryError> {
    teller.scene("ORD102: the coordinator dies after the decision and before anyone obeys it.")?;
    for kind in ServiceKind::ALL {
        withhold(fleet, kind, super::BEFORE, COMMIT).await?;
    }
    let order = patient("ORD102", "item1", 2, 1_000);
    let placed = until_prepared(teller, fleet, &order).await?;
    // The decision is written before any of these calls leaves.
    for kind in ServiceKind::ALL {
        withheld(fleet, kind, COMMIT).await?;
    }
    fleet.kill(Role::Coordinator);
    teller.killed("coordinator", "the decision was written, and no service has acted upon it")?;
    in_doubt(teller, fleet).await?;
    for kind in ServiceKind::ALL {
        go_on(fleet, kind)?;
    }

    fleet.run(Role::Coordinator).await?;
    teller.event("coordinator", "starts", "its log knows the decision")?;
    decision(teller, fleet, "committed").await?;
    answers(teller, fleet, &ServiceKind::ALL, Operation::Commit).await?;
    told(teller, placed, "committed").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [&order])).await?;
    teller.right("what was decided happened, everywhere and once")?;
    Ok(order)
}

async fn while_prepared(
    teller: &Teller,
    fleet: &mut Fleet,
    before: &Order,
) -> Result<Order, StoryError> {
    teller.scene("ORD103: the inventory dies while it is prepared.")?;
    withhold(fleet, Inventory, super::BEFORE, COMMIT).await?;
    let order = patient("ORD103", "item2", 1, 300);
    let placed = until_prepared(teller, fleet, &order).await?;
    let transaction = decision(teller, fleet, "committed").await?;
    answers(teller, fleet, &[ServiceKind::Order, ServiceKind::Payment], Operation::Commit).await?;
    withheld(fleet, Inventory, COMMIT).await?;
    fleet.kill(Role::Service(Inventory));
    teller.killed("inventory", "it had voted yes, and had not committed")?;
    let transaction: Transaction = fleet.transaction(&transaction.id).await?;
    let of_inventory = transaction.branches.iter().find(|b| b.participant == "inventory");
    let prepared = of_inventory.is_some_and(|branch| branch.state == "prepared");
    ensure(prepared && !transaction.settled, || format!("the transaction is {transaction:?}"))?;
    teller.event("coordinator", "waits", "the inventory is still prepared; it asks again")?;

    fleet.run(Role::Service(Inventory)).await?;
    teller.event("inventory", "starts", "its database knows what it prepared")?;
    answer(teller, fleet, Inventory, Operation::Commit).await?;
    told(teller, placed, "committed").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [before, &order])).await?;
    teller.right("a yes is a promise: the inventory kept it through its own death")?;
    Ok(order)
}

/// An order whose deadline does not pass while a story is told.
fn patient(id: &str, item: &str, quantity: i64, amount: i64) -> Order {
    Order { deadline: Some(2 * PATIENCE), ..Order::new(id, item, quantity, amount) }
}

/// Places an order, and waits until every service has prepared it.
async fn until_prepared(
    teller: &Teller,
    fleet: &mut Fleet,
    order: &Order,
) -> Result<Placing, StoryError> {
    let placed = place(fleet, order);
    answers(teller, fleet, &ServiceKind::ALL, Operation::Prepare).await?;
    Ok(placed)
}

/// Every service is prepared, and waits for a decision.
async fn in_doubt(teller: &Teller, fleet: &Fleet) -> Result<(), StoryError> {
    let books = fleet.books().await?;
    teller.books(&books)?;
    ensure(books.in_doubt.values().all(|&branches| branches == 1), || format!("{books:?}"))?;
    teller.event("services", "wait", "each is in doubt, and keeps what it holds")?;
    Ok(())
}
