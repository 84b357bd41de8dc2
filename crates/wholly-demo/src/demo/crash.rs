//! SIGKILL at the moments that matter most.

use wholly_core::wire::Operation;

use super::teller::Teller;
use super::{Placing, StoryError, answer, check, decision, ensure, place, saga, told};
use crate::fleet::{Books, Fleet, Role};
use crate::kill::{KillAt, What, When, Which};
use crate::order::Order;
use crate::shop::{ServiceKind, opening_stock};

const INVENTORY: Role = Role::Service(ServiceKind::Inventory);

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.title("Crashes: SIGKILL at the worst moments")?;
    teller.say("The client of each order asks again, with the same key, until it is answered.")?;
    let mut fleet = Fleet::new(opening_stock(), true)?;
    fleet.open_shop().await?;
    before_the_decision(teller, &mut fleet).await?;
    let first = after_the_decision(teller, &mut fleet).await?;
    let second = while_prepared(teller, &mut fleet, &first).await?;
    let before = Books::after(&opening_stock(), [&first, &second]);
    saga::killed_while_compensating(teller, &mut fleet, "ORD104", before).await
}

async fn before_the_decision(teller: &Teller, fleet: &mut Fleet) -> Result<(), StoryError> {
    teller.scene("ORD101: the coordinator dies after the votes and before the decision.")?;
    let order = Order::new("ORD101", "item1", 2, 1_000);
    let placed = until_killed(teller, fleet, &order, When::Before).await?;
    teller.killed("coordinator", "every vote was yes, and no decision was written")?;
    in_doubt(teller, fleet).await?;

    fleet.run(Role::Coordinator, None).await?;
    teller.event("coordinator", "starts", "its log knows the order, and no decision")?;
    decision(teller, fleet, "aborted").await?;
    for kind in ServiceKind::ALL {
        answer(teller, fleet, kind, Operation::Abort).await?;
    }
    told(teller, placed, "aborted").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [])).await?;
    teller.right("nothing happened, and nothing is held: the order may be placed anew")?;
    Ok(())
}

async fn after_the_decision(teller: &Teller, fleet: &mut Fleet) -> Result<Order, StoryError> {
    teller
        .scene("ORD102: the coordinator dies after the decision and before anyone hears of it.")?;
    let order = Order::new("ORD102", "item1", 2, 1_000);
    let placed = until_killed(teller, fleet, &order, When::After).await?;
    teller.killed("coordinator", "the decision was written, and nobody was told")?;
    in_doubt(teller, fleet).await?;

    fleet.run(Role::Coordinator, None).await?;
    teller.event("coordinator", "starts", "its log knows the decision")?;
    decision(teller, fleet, "committed").await?;
    for kind in ServiceKind::ALL {
        answer(teller, fleet, kind, Operation::Commit).await?;
    }
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
    let at = KillAt {
        when: When::Before,
        what: What::Call,
        which: Which::Named(Operation::Commit.to_string()),
    };
    fleet.run(INVENTORY, Some(&at)).await?;
    let order = Order::new("ORD103", "item2", 1, 300);
    let placed = place(fleet, &order);
    for kind in ServiceKind::ALL {
        answer(teller, fleet, kind, Operation::Prepare).await?;
    }
    fleet.killed(INVENTORY).await?;
    teller.killed("inventory", "it had voted yes, and had not committed")?;
    let transaction = decision(teller, fleet, "committed").await?;
    for kind in [ServiceKind::Order, ServiceKind::Payment] {
        answer(teller, fleet, kind, Operation::Commit).await?;
    }
    let transaction = fleet.transaction(&transaction.id).await?;
    let of_inventory = transaction.branches.iter().find(|b| b.participant == "inventory");
    let prepared = of_inventory.is_some_and(|branch| branch.state == "prepared");
    ensure(prepared && !transaction.settled, || format!("the transaction is {transaction:?}"))?;
    teller.event("coordinator", "waits", "the inventory is still prepared; it asks again")?;

    fleet.run(INVENTORY, None).await?;
    teller.event("inventory", "starts", "its database knows what it prepared")?;
    answer(teller, fleet, ServiceKind::Inventory, Operation::Commit).await?;
    told(teller, placed, "committed").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [before, &order])).await?;
    teller.right("a yes is a promise: the inventory kept it through its own death")?;
    Ok(order)
}

/// Lets a coordinator run that dies on this side of the decision's append.
async fn until_killed(
    teller: &Teller,
    fleet: &mut Fleet,
    order: &Order,
    when: When,
) -> Result<Placing, StoryError> {
    let at = KillAt { when, what: What::Append, which: Which::Named("committed".to_owned()) };
    fleet.run(Role::Coordinator, Some(&at)).await?;
    let placed = place(fleet, order);
    for kind in ServiceKind::ALL {
        answer(teller, fleet, kind, Operation::Prepare).await?;
    }
    fleet.killed(Role::Coordinator).await?;
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
