//! The mishaps that the seed says, and when.

use std::time::Duration;

use wholly_demo::fleet::Role;
use wholly_demo::network::{Direction, Weather};
use wholly_demo::order::Order;
use wholly_demo::random::Random;
use wholly_demo::shop::ServiceKind;

/// The longest that a round lets everyone work before anything goes wrong.
const LONGEST_PEACE: Duration = Duration::from_millis(150);
/// The longest between two faults of a round.
const LONGEST_GAP: Duration = Duration::from_millis(60);
/// The longest that a process stays down where nothing else goes wrong.
const LONGEST_DOWN: Duration = Duration::from_millis(40);
/// More than a process takes to start and recover.
const LONGEST_RECOVERY: Duration = Duration::from_millis(60);
/// The longest that faults last; once in ten rounds they outlast a call.
const LONGEST_TROUBLE: Duration = Duration::from_millis(400);
const OUTLASTING_A_CALL: Duration = Duration::from_millis(1_800);

/// One round's plan.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) peace: Duration,
    /// The mishaps, each so long after the one before.
    pub(super) faults: Vec<(Fault, Duration)>,
    /// The time for which it stays so.
    pub(super) trouble: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Killed at once, and started again so much later.
    Kill { victims: Vec<Role>, down: Duration },
    /// The way to a process, and its weather.
    Network { to: Role, what: Weather },
    /// A process' files may have no more bytes than this.
    DiskFull { of: Role, bytes: u64 },
}

impl Fault {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Network { what, .. } => what.name(),
            Self::DiskFull { .. } => "disk-full",
        }
    }

    fn draw(random: &mut Random) -> Self {
        // The coordinator has half of all trouble.
        let who = match random.below(2) {
            0 => Role::Coordinator,
            _ => Role::ALL[random.below(4) as usize],
        };
        match random.below(10) {
            0..4 => {
                Self::Kill { victims: vec![who], down: random.moment(Duration::from_millis(60)) }
            }
            4..6 => {
                // All that is written; or what makes a file larger than it is now and then.
                let bytes = [1, 1, 64 * 1024, 1024 * 1024][random.below(4) as usize];
                Self::DiskFull { of: who, bytes }
            }
            _ => {
                let what = match random.below(8) {
                    0 | 1 => Weather::Cut,
                    2 => Weather::Stalled,
                    3 => Weather::Delayed(Duration::from_millis(1 + random.below(150))),
                    4 => Weather::Throttled(200 + random.below(4_000) as u32),
                    5 => Weather::Late,
                    6 => Weather::HalfClosed(Direction::Requests),
                    _ => Weather::HalfClosed(Direction::Answers),
                };
                Self::Network { to: who, what }
            }
        }
    }
}

impl Round {
    pub(super) fn draw(random: &mut Random) -> Self {
        let faults = 1 + random.below(3);
        let faults = (0..faults).map(|_| (Fault::draw(random), random.moment(LONGEST_GAP)));
        let faults = faults.collect();
        let trouble = match random.below(10) {
            0 => random.moment(OUTLASTING_A_CALL),
            _ => random.moment(LONGEST_TROUBLE),
        };
        Self { peace: random.moment(LONGEST_PEACE), faults, trouble }
    }

    /// A round of SIGKILL alone: of one process or several at once, sometimes once more while they
    /// recover.
    pub(super) fn of_kills(random: &mut Random) -> Self {
        let one = Role::ALL[random.below(4) as usize];
        let victims = match random.below(10) {
            0..4 => vec![Role::Coordinator],
            4..8 => vec![one],
            8 if one != Role::Coordinator => vec![Role::Coordinator, one],
            _ => Role::ALL.to_vec(),
        };
        let kill = Fault::Kill { victims, down: random.moment(LONGEST_DOWN) };
        let mut faults = vec![(kill, random.moment(LONGEST_RECOVERY))];
        if random.below(5) == 0 {
            let (again, _) = faults[0].clone();
            faults.push((again, Duration::ZERO));
        }
        Self { peace: random.moment(LONGEST_PEACE), faults, trouble: Duration::ZERO }
    }

    /// A round in which the coordinator's calls to the inventory are overtaken by those that it
    /// makes after it was killed: the same again, and aborts.
    pub(super) fn overtaken(random: &mut Random) -> Self {
        let to = Role::Service(ServiceKind::Inventory);
        let late = Fault::Network { to, what: Weather::Late };
        let kill = Fault::Kill { victims: vec![Role::Coordinator], down: Duration::ZERO };
        // The fault is so long that many wait for the inventory.
        let faults = vec![(late, LONGEST_TROUBLE), (kill, Duration::ZERO)];
        Self { peace: random.moment(LONGEST_PEACE), faults, trouble: OUTLASTING_A_CALL / 2 }
    }
}

/// An order of any kind.
pub(super) fn order(id: String, random: &mut Random) -> Order {
    let amount = 1 + random.below(1_000) as i64;
    let few = random.below(4) as i64;
    let order = match random.below(10) {
        // More than there ever was.
        0 => Order::new(id, "item2", 1_000, amount),
        1..3 => Order::new(id, "item2", few, amount),
        3 => return Order { amount: None, ..Order::new(id, "item1", few, 0) },
        _ => Order::new(id, "item1", few, amount),
    };
    match random.below(8) {
        0..3 => order,
        3 => order.declined(),
        _ => order.by_saga(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_demo::random::drawn;

    #[test]
    fn a_seed_replays_the_plan() {
        let plan = drawn(100, Round::draw);
        for fault in
            ["Kill", "Cut", "Stalled", "Delayed", "Throttled", "Late", "HalfClosed", "DiskFull"]
        {
            assert!(plan.contains(fault), "{fault}");
        }
    }

    #[test]
    fn every_process_is_killed_alone() {
        let plan = drawn(50, Round::of_kills);
        for role in Role::ALL {
            assert!(plan.contains(&format!("victims: [{role:?}]")), "{role:?} alone");
        }
    }
}
