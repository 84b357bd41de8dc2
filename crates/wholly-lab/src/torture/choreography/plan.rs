//! The plan of a round, drawn from the seed.

use std::time::Duration;

use crate::kill::{KillAt, What, When, Which};
use wholly_demo::network::{Direction, Weather};
use wholly_demo::order::Order;
use wholly_demo::random::Random;
use wholly_demo::shop::ServiceKind;

/// The longest that a round lets the services work before its faults.
const LONGEST_PEACE: Duration = Duration::from_millis(150);
/// The longest that the faults of a round last, beside the start of a server.
const LONGEST_TROUBLE: Duration = Duration::from_millis(400);

/// One round's plan.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) orders: Vec<Order>,
    /// True if all orders are taken before a client waits for the end of one.
    pub(super) all_at_once: bool,
    pub(super) peace: Duration,
    pub(super) faults: Vec<Fault>,
    pub(super) trouble: Duration,
    /// The service that is put back, when all is quiet, to a copy that is made meanwhile.
    pub(super) put_back: Option<ServiceKind>,
}

#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// SIGKILL at a random moment.
    Kill(ServiceKind),
    /// SIGKILL at an exact point, if the process gets there.
    KillAt(ServiceKind, KillAt),
    /// SIGKILL to the database's server.
    Server,
    /// The weather on the way to a service, and so to its feed.
    Way(ServiceKind, Weather),
}

impl Round {
    pub(super) fn draw(number: u32, has_server: bool, random: &mut Random) -> Self {
        let put_back = (random.below(5) == 0).then(|| service(random));
        let count = 30 + random.below(70);
        let orders = (0..count).map(|nth| {
            // An order put back and done again must not depend on who comes first: see `restore`.
            order(format!("{number}-{nth}"), put_back.is_none(), random)
        });
        Self {
            orders: orders.collect(),
            all_at_once: put_back == Some(ServiceKind::Order) || random.below(3) == 0,
            peace: random.moment(LONGEST_PEACE),
            faults: (0..1 + random.below(3)).map(|_| fault(has_server, random)).collect(),
            trouble: random.moment(LONGEST_TROUBLE),
            put_back,
        }
    }
}

fn service(random: &mut Random) -> ServiceKind {
    ServiceKind::ALL[random.below(3) as usize]
}

fn fault(has_server: bool, random: &mut Random) -> Fault {
    let kind = service(random);
    match random.below(10) {
        0..3 => Fault::Kill(kind),
        3..6 => Fault::KillAt(kind, point(random)),
        6 | 7 if has_server => Fault::Server,
        6 => Fault::Kill(kind),
        _ => Fault::Way(kind, weather(random)),
    }
}

fn point(random: &mut Random) -> KillAt {
    let which = Which::Nth(1 + random.below(20) as u32);
    let (when, what) = match random.below(6) {
        0..3 => (When::After, What::Commit),
        3 => (When::Before, What::Call),
        4 => (When::During, What::Call),
        _ => (When::After, What::Call),
    };
    KillAt { when, what, which }
}

fn weather(random: &mut Random) -> Weather {
    match random.below(5) {
        0 => Weather::Cut,
        1 => Weather::Stalled,
        2 => Weather::Delayed(Duration::from_millis(1 + random.below(100))),
        3 => Weather::Throttled(1_000 + random.below(20_000) as u32),
        _ => Weather::HalfClosed(Direction::Answers),
    }
}

/// An order that succeeds, is declined, or asks for more than there is. Of item2 there is so little
/// that the last of it is fought for.
fn order(id: String, may_be_fought_for: bool, random: &mut Random) -> Order {
    let amount = 1 + random.below(1_000) as i64;
    let few = random.below(4) as i64;
    let order = match random.below(10) {
        0 | 1 => Order::new(id, "item2", 1_000_000, amount),
        2 | 3 if may_be_fought_for => Order::new(id, "item2", few, amount),
        _ => Order::new(id, "item1", few, amount),
    };
    if random.below(4) == 0 { order.declined() } else { order }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_demo::random::drawn;

    #[test]
    fn a_seed_replays_the_plan_and_leaves_no_fault_out() {
        let plan = drawn(60, |random| Round::draw(1, true, random));
        for fault in ["Kill(", "KillAt(", "Server", "Cut", "Stalled", "Delayed", "Throttled"] {
            assert!(plan.contains(fault), "{fault}");
        }
        for kind in ServiceKind::ALL {
            assert!(plan.contains(&format!("put_back: Some({kind:?})")), "{kind} is put back");
        }
    }
}
