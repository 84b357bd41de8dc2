//! Random rounds of SIGKILL while clients place orders, in two-phase and by saga, of the same goods.
//!
//! The seed says what is ordered, who is killed, when, and for how long it is down. What the
//! processes do meanwhile is up to the system, so a seed replays the plan, not the run.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::check::{self, Ledger};
use super::report::Report;
use wholly_demo::fleet::{Fleet, FleetError, Layout, PATIENCE, Role};
use wholly_demo::order::{Order, Shopper};
use wholly_demo::random::Random;
use wholly_demo::shop::Stock;

const CLIENTS: u64 = 8;

/// The longest that a round lets the processes work before it kills.
const LONGEST_PEACE: Duration = Duration::from_millis(200);
/// The longest that a process stays down.
const LONGEST_DOWN: Duration = Duration::from_millis(40);
/// More than a process takes to start and recover.
const LONGEST_RECOVERY: Duration = Duration::from_millis(60);

/// One round's plan.
#[derive(Debug)]
struct Round {
    /// The time for which the processes work before.
    peace: Duration,
    victims: Vec<Role>,
    down: Duration,
    /// Killed once more so long after they were started, while they recover.
    again: Option<Duration>,
}

impl Round {
    fn draw(random: &mut Random) -> Self {
        let one = Role::ALL[random.below(4) as usize];
        let victims = match random.below(10) {
            0..4 => vec![Role::Coordinator],
            4..8 => vec![one],
            8 if one != Role::Coordinator => vec![Role::Coordinator, one],
            _ => Role::ALL.to_vec(),
        };
        let again = random.moment(LONGEST_RECOVERY);
        Self {
            peace: random.moment(LONGEST_PEACE),
            victims,
            down: random.moment(LONGEST_DOWN),
            again: (random.below(5) == 0).then_some(again),
        }
    }
}

/// Kills at random, and checks at the end.
pub(super) async fn run(wholly: &Path, rounds: u32, report: &mut Report) -> Result<(), FleetError> {
    let mut random = Random::seeded(report.seed);
    // Of item2 there is so little that the last of it is fought for.
    let opening = Stock::from([("item1".to_owned(), 100_000_000), ("item2".to_owned(), 500)]);
    let program = Some(wholly.to_owned());
    let mut fleet = Layout { program, ..Layout::of(opening.clone()) }.start().await?;
    let load = Load::start(&fleet, opening, &mut random);
    for number in 1..=rounds {
        round(&mut fleet, &Round::draw(&mut random), report).await?;
        report.rounds = number;
        if !load.goes_on().await {
            report.violation(format!("round {number}: no order ended within {PATIENCE:?}"));
            break;
        }
        if number % 50 == 0 {
            report.say(&format!("{number} rounds"));
        }
    }
    let (ledger, failures) = load.stop().await;
    failures.into_iter().for_each(|failure| report.violation(failure));
    let transactions = check::transactions(&fleet).await?;
    let books = fleet.books().await?;
    let found = check::violations(&ledger, &transactions, &books);
    found.into_iter().for_each(|found| report.violation(found));
    report.count(&ledger, &transactions);
    Ok(())
}

async fn round(fleet: &mut Fleet, round: &Round, report: &mut Report) -> Result<(), FleetError> {
    // These are no waits for something: the moment of a kill is random.
    tokio::time::sleep(round.peace).await;
    kill(fleet, round, report);
    tokio::time::sleep(round.down).await;
    start(fleet, round, report)?;
    if let Some(moment) = round.again {
        tokio::time::sleep(moment).await;
        kill(fleet, round, report);
        start(fleet, round, report)?;
    }
    for role in &round.victims {
        fleet.ready(*role).await?;
    }
    Ok(())
}

fn kill(fleet: &mut Fleet, round: &Round, report: &mut Report) {
    for role in &round.victims {
        report.killed(fleet, *role);
        fleet.kill(*role);
    }
}

fn start(fleet: &mut Fleet, round: &Round, report: &mut Report) -> Result<(), FleetError> {
    report.restarts += round.victims.len() as u32;
    round.victims.iter().try_for_each(|role| fleet.spawn(*role))
}

/// Clients that place one order after another.
struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    shopper: Shopper,
    stop: AtomicBool,
    /// The number of orders that have ended.
    ended: watch::Sender<u64>,
    known: Mutex<(Ledger, Vec<String>)>,
}

impl Load {
    fn start(fleet: &Fleet, opening: Stock, random: &mut Random) -> Self {
        let ledger = Ledger { opening, ..Ledger::default() };
        let shared = Arc::new(Shared {
            shopper: Shopper::of(fleet),
            stop: AtomicBool::new(false),
            ended: watch::Sender::new(0),
            known: Mutex::new((ledger, Vec::new())),
        });
        let client = |client| {
            let random = Random::seeded(random.next());
            tokio::spawn(Arc::clone(&shared).client(client, random))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until another order has ended.
    async fn goes_on(&self) -> bool {
        let mut ended = self.shared.ended.subscribe();
        tokio::time::timeout(PATIENCE, ended.changed()).await.is_ok()
    }

    /// Lets every client finish its order; what they know, and what failed.
    async fn stop(self) -> (Ledger, Vec<String>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            if let Err(error) = client.await {
                self.shared.known(|_, failures| failures.push(format!("a client ended: {error}")));
            }
        }
        self.shared.known(|ledger, failures| (std::mem::take(ledger), std::mem::take(failures)))
    }
}

impl Shared {
    async fn client(self: Arc<Self>, client: u64, mut random: Random) {
        for number in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let order = draw(format!("{client}-{number}"), &mut random);
            let id = order.id.clone();
            self.known(|ledger, _| ledger.orders.insert(id.clone(), order.clone()));
            match self.shopper.place(&order).await {
                Ok(placed) => self.known(|ledger, _| drop(ledger.placed.insert(id, placed))),
                Err(error) => self.known(|_, failures| failures.push(error.to_string())),
            }
            self.ended.send_modify(|ended| *ended += 1);
        }
    }

    fn known<T>(&self, change: impl FnOnce(&mut Ledger, &mut Vec<String>) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (ledger, failures) = &mut *known;
        change(ledger, failures)
    }
}

/// An order of any kind.
pub(super) fn draw(id: String, random: &mut Random) -> Order {
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
        let plan = drawn(50, Round::draw);
        for role in Role::ALL {
            assert!(plan.contains(&format!("victims: [{role:?}]")), "{role:?} alone");
        }
    }
}
