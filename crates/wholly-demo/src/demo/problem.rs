//! Three services without a coordinator.

use super::teller::Teller;
use super::{StoryError, ensure};
use crate::fleet::{Books, Layout};
use crate::order::Order;
use crate::shop::{ServiceKind, opening_stock};

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.title("The problem: three services, and no coordinator")?;
    teller.say("An order takes 100 of item2 for 500. Each service does its part on its own.\n")?;
    let mut fleet = Layout::of(opening_stock()).fleet()?;
    fleet.open_shop().await?;

    let order = Order::new("ORD002", "item2", 100, 500);
    let mut statuses = Vec::new();
    for (kind, payload) in order.branches() {
        let (path, done) = match kind {
            ServiceKind::Order => ("/orders", "takes the order"),
            ServiceKind::Payment => ("/payments", "takes the money"),
            ServiceKind::Inventory => ("/reservations", "gives the goods"),
        };
        let reply = fleet.ask(kind, path, &payload).await?;
        match reply.status {
            201 => teller.alone(kind.as_str(), done)?,
            _ => {
                let why = reply.body["detail"].as_str().unwrap_or_default();
                teller.alone(kind.as_str(), &format!("refuses: {why}"))?;
            }
        }
        statuses.push(reply.status);
    }
    ensure(statuses == [201, 201, 409], || format!("the services answered {statuses:?}"))?;

    let books = fleet.books().await?;
    teller.books(&books)?;
    let mut expected = Books::after(&opening_stock(), [&order]);
    expected.stock = Books::after(&opening_stock(), []).stock;
    ensure(books == expected, || format!("the books are {books:?}"))?;
    teller
        .wrong("the books no longer agree: ORD002 is paid with 500, and nothing was delivered")?;
    teller.wrong("nobody knows it: each service did its own part right")?;
    Ok(())
}
