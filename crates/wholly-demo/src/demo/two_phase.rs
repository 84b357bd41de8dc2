//! The same order with a coordinator: wholly, or not at all.

use wholly_core::wire::Operation;

use super::teller::Teller;
use super::{StoryError, answers, check, decision, ensure, place, told};
use crate::fleet::{Books, Fleet, Layout};
use crate::order::Order;
use crate::service::Said;
use crate::shop::{ServiceKind, opening_stock};

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.title("Two-phase commit: wholly, or not at all")?;
    teller.say(
        "The coordinator first asks everyone to prepare: to check, to hold what is needed, and to \
         vote.\nOnly when every vote is in and yes does it decide to commit.",
    )?;
    let mut fleet = Layout { tell: true, ..Layout::of(opening_stock()) }.start().await?;
    let order = Order::new("ORD001", "item1", 2, 1_000);
    succeed(teller, &mut fleet, &order).await?;
    fail(teller, &mut fleet, &order).await
}

async fn succeed(teller: &Teller, fleet: &mut Fleet, order: &Order) -> Result<(), StoryError> {
    teller.scene("ORD001 takes 2 of item1 for 1000.")?;
    let placed = place(fleet, order);
    answers(teller, fleet, &ServiceKind::ALL, Operation::Prepare).await?;
    decision(teller, fleet, "committed").await?;
    answers(teller, fleet, &ServiceKind::ALL, Operation::Commit).await?;
    told(teller, placed, "committed").await?;
    check(teller, fleet, &Books::after(&opening_stock(), [order])).await?;
    teller.right("item1 went from 10 to 8, and all three services agree")?;
    Ok(())
}

async fn fail(teller: &Teller, fleet: &mut Fleet, before: &Order) -> Result<(), StoryError> {
    teller.scene("ORD002 takes 100 of item2 for 500. There are 5.")?;
    let placed = place(fleet, &Order::new("ORD002", "item2", 100, 500));
    let said = answers(teller, fleet, &ServiceKind::ALL, Operation::Prepare).await?;
    ensure(said == [Said::Done, Said::Done, Said::Refused], || format!("the votes are {said:?}"))?;
    decision(teller, fleet, "aborted").await?;
    // A participant that said no holds nothing, and is not asked again.
    answers(teller, fleet, &[ServiceKind::Order, ServiceKind::Payment], Operation::Abort).await?;
    let placed = told(teller, placed, "aborted").await?;
    let reason = placed.reason.as_deref().unwrap_or_default();
    ensure(reason.contains("inventory refused"), || format!("the client was told {placed:?}"))?;
    check(teller, fleet, &Books::after(&opening_stock(), [before])).await?;
    teller.right("nothing changed: no order, no payment, and item2 is still 5")?;
    Ok(())
}
