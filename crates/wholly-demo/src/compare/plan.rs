//! Orders, faults and lengths of time, drawn from the seed. Nothing here knows of a regime: all of
//! them are given the same.

use std::time::Duration;

use super::faults::FaultKind;
use crate::order::Order;
use crate::random::Random;
use crate::shop::{ServiceKind, Stock};

/// The lengths of time of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The deadline of every order.
    pub(super) deadline: Duration,
    /// The number of orders that arrive in a second.
    pub(super) rate: u32,
    /// The time for which orders arrive in fair weather.
    fair: Duration,
    /// The mean time between two faults.
    gap: Duration,
    /// The time for which answers are lost.
    lost: Duration,
    /// The time for which calls and answers are late.
    late: Duration,
    /// The time for which a killed process is away.
    killed: Duration,
    /// The time for which a participant is down: shorter, and longer than the deadline.
    short: Duration,
    long: Duration,
    /// The time for which orders are placed in a closed loop.
    pub(super) closed_loop_seconds: u32,
    /// The width of a bucket of the timeline.
    pub(super) bucket: Duration,
}

impl Scale {
    pub(super) const QUICK: Self = Self {
        deadline: Duration::from_millis(900),
        rate: 60,
        fair: Duration::from_millis(700),
        gap: Duration::from_millis(200),
        lost: Duration::from_millis(200),
        late: Duration::from_millis(400),
        killed: Duration::from_millis(120),
        short: Duration::from_millis(400),
        long: Duration::from_millis(1_300),
        closed_loop_seconds: 1,
        bucket: Duration::from_millis(100),
    };
    pub(super) const FULL: Self = Self {
        deadline: Duration::from_secs(5),
        rate: 40,
        fair: Duration::from_secs(10),
        gap: Duration::from_millis(1_500),
        lost: Duration::from_secs(1),
        late: Duration::from_secs(2),
        killed: Duration::from_millis(300),
        short: Duration::from_secs(2),
        long: Duration::from_secs(8),
        closed_loop_seconds: 5,
        bucket: Duration::from_millis(250),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fair,
    Bad,
}

impl Weather {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fair => "fair",
            Self::Bad => "bad",
        }
    }
}

/// The events of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) orders: Vec<Arrival>,
    pub(super) faults: Vec<Fault>,
    pub(super) stock: Stock,
    pub(super) deadline: Duration,
}

/// An order, and when it is submitted after the start.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    pub(super) order: Order,
}

/// A fault, its moment after the start, and its length. No two overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) kind: FaultKind,
    /// The service that it hits; none is the process that leads orders.
    pub(super) who: Option<ServiceKind>,
}

/// An item of which there is enough.
const AMPLE: u32 = 1_000_000_000;
const ITEMS: u64 = 5;
/// The items that many want, and how many in a hundred of those wanted there are in bad weather.
const HOT: [(&str, u32); 3] = [("hot1", 35), ("hot2", 50), ("hot3", 65)];
/// Of a hundred orders, those of a hot item, and in bad weather those whose payment is refused.
const HOT_ORDERS: u64 = 40;
const REFUSED_PAYMENTS: u64 = 8;

impl Plan {
    pub(super) fn draw(scale: &Scale, weather: Weather, seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (faults, lasts) = match weather {
            Weather::Fair => (Vec::new(), scale.fair),
            Weather::Bad => faults(scale, &mut random),
        };
        let orders = orders(scale.rate, lasts, weather, &mut random);
        Self { stock: stock(&orders, weather), orders, faults, deadline: scale.deadline }
    }

    /// The time from the start until the last order arrives.
    pub(super) fn arrives_until(&self) -> Duration {
        self.orders.last().map(|last| last.at).unwrap_or_default()
    }
}

/// All faults, one after the other, and when the last gap after them ends.
fn faults(scale: &Scale, random: &mut Random) -> (Vec<Fault>, Duration) {
    let lossy = one_of(&[ServiceKind::Payment, ServiceKind::Inventory], random);
    let other = match lossy {
        ServiceKind::Payment => ServiceKind::Inventory,
        ServiceKind::Order | ServiceKind::Inventory => ServiceKind::Payment,
    };
    let slow = one_of(&ServiceKind::ALL, random);
    let down = one_of(&[ServiceKind::Payment, ServiceKind::Inventory], random);
    let killed = one_of(&[ServiceKind::Payment, ServiceKind::Inventory], random);
    let kinds = [
        (FaultKind::AnswersLost, Some(lossy), scale.lost),
        (FaultKind::CallsDelayed, Some(slow), scale.late),
        (FaultKind::CoordinatorKilled, None, scale.killed),
        (FaultKind::ParticipantDownShort, Some(down), scale.short),
        (FaultKind::AnswersLost, Some(other), scale.lost),
        // The last participant that is asked, so that others have done their part by then.
        (FaultKind::ParticipantDownLong, Some(ServiceKind::Payment), scale.long),
        (FaultKind::ServiceKilled, Some(killed), scale.killed),
    ];
    let mut at = Duration::ZERO;
    let mut faults = Vec::new();
    for (kind, who, lasts) in kinds {
        at += gap(scale, random);
        faults.push(Fault { at, lasts, kind, who });
        at += lasts;
    }
    (faults, at + gap(scale, random))
}

/// A time around the mean.
fn gap(scale: &Scale, random: &mut Random) -> Duration {
    scale.gap / 2 + random.moment(scale.gap)
}

fn one_of<T: Copy>(choices: &[T], random: &mut Random) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

/// Orders that arrive independently of each other (a Poisson process).
fn orders(rate: u32, until: Duration, weather: Weather, random: &mut Random) -> Vec<Arrival> {
    let mut at = Duration::ZERO;
    let mut orders = Vec::new();
    loop {
        // Above 0 and at most 1.
        let part = (random.below(1 << 53) + 1) as f64 / (1_u64 << 53) as f64;
        at += Duration::from_secs_f64(-part.ln() / f64::from(rate));
        if at >= until {
            return orders;
        }
        let order = order(orders.len(), weather, random);
        orders.push(Arrival { at, order });
    }
}

fn order(nth: usize, weather: Weather, random: &mut Random) -> Order {
    let item = match random.below(100) {
        0..HOT_ORDERS => one_of(&HOT, random).0.to_owned(),
        _ => format!("item{}", 1 + random.below(ITEMS)),
    };
    let quantity = 1 + random.below(3) as i64;
    let amount = 100 * (1 + random.below(50) as i64);
    let is_refused = random.below(100) < REFUSED_PAYMENTS && weather == Weather::Bad;
    // What no payment service takes, whatever the pattern.
    let amount = if is_refused { -amount } else { amount };
    Order::new(format!("ORD{nth:05}"), &item, quantity, amount)
}

fn stock(orders: &[Arrival], weather: Weather) -> Stock {
    let wanted = |item: &str| -> u32 {
        let of_item = orders.iter().filter(|arrival| arrival.order.item == item);
        of_item.map(|arrival| u32::try_from(arrival.order.quantity).unwrap_or_default()).sum()
    };
    let hot = HOT.into_iter().map(|(item, percent)| match weather {
        Weather::Fair => (item.to_owned(), AMPLE),
        Weather::Bad => (item.to_owned(), wanted(item) * percent / 100),
    });
    let ample = (1..=ITEMS).map(|nth| (format!("item{nth}"), AMPLE));
    hot.chain(ample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::drawn;

    #[test]
    fn a_seed_replays_orders_and_faults() {
        let bad = drawn(1, |random| Plan::draw(&Scale::QUICK, Weather::Bad, random.next()));
        for part in [
            "AnswersLost",
            "Delayed",
            "DownShort",
            "CoordinatorKilled",
            "DownLong",
            "ServiceKilled",
        ] {
            assert!(bad.contains(part), "{part}");
        }
        assert!(bad.contains("amount: Some(-"), "a payment is refused");
        let fair = drawn(1, |random| Plan::draw(&Scale::QUICK, Weather::Fair, random.next()));
        assert!(fair.contains("faults: []") && !fair.contains("amount: Some(-"));
    }

    #[test]
    fn faults_do_not_overlap_and_one_outage_is_longer_than_the_deadline() {
        for (scale, seed) in [(Scale::QUICK, 1), (Scale::FULL, 2)] {
            let plan = Plan::draw(&scale, Weather::Bad, seed);
            for pair in plan.faults.windows(2) {
                assert!(pair[0].at + pair[0].lasts < pair[1].at, "{pair:?}");
            }
            let lasts = |kind| plan.faults.iter().find(|fault| fault.kind == kind).unwrap().lasts;
            assert!(lasts(FaultKind::ParticipantDownShort) < plan.deadline);
            assert!(lasts(FaultKind::ParticipantDownLong) > plan.deadline);
        }
    }
}
