//! A SIGKILL at every point of a scenario, one run a point.
//!
//! The points are counted, not listed: the first append, the second, and so on, until a run ends
//! with nobody killed. After each kill the process is started again, the client goes on asking
//! with its key, and then everything must be as [`check`] says.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rustix::process::Signal;
use tokio::task::JoinHandle;

use super::check::{self, Ledger};
use super::report::{Report, Tally};
use crate::kill::{KillAt, What, When, Which};
use crate::staged;
use wholly_demo::fleet::{Fleet, FleetError, Layout, PATIENCE, Role, Transaction, name_of};
use wholly_demo::order::{Order, PlaceError, Placed, Shopper};
use wholly_demo::shop::{ServiceKind, Stock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scenario {
    /// Everyone votes yes.
    Success,
    /// The inventory votes no.
    Refusal,
    /// The inventory has nothing to do.
    ReadOnly,
    /// One branch alone.
    OnePhase,
    /// The payment service is down until the deadline has passed.
    Down,
    /// The payment service hangs until the deadline has passed.
    Deadline,
    /// A saga whose every step is done.
    Saga,
    /// A saga whose third step is refused.
    SagaDeclined,
    /// A saga whose second step is refused.
    SagaOutOfStock,
    /// A saga whose second step is done, and the inventory dies over it until the deadline has
    /// passed: nobody knows that it was done.
    SagaUnknown,
}

impl Scenario {
    /// The name on the command line and in reports.
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    fn order(self, id: String) -> Order {
        let deadline = Some(Duration::from_millis(300));
        match self {
            Self::Success => Order::new(id, "item1", 2, 1_000),
            Self::Refusal => Order::new(id, "item2", 100, 500),
            Self::ReadOnly => Order::new(id, "item1", 0, 10),
            Self::OnePhase => Order { amount: None, ..Order::new(id, "item1", 3, 0) },
            Self::Down | Self::Deadline => Order { deadline, ..Order::new(id, "item1", 1, 100) },
            Self::Saga => Order::new(id, "item1", 2, 1_000).by_saga(),
            Self::SagaDeclined => Order::new(id, "item1", 1, 500).declined(),
            Self::SagaOutOfStock => Order::new(id, "item2", 100, 500).by_saga(),
            Self::SagaUnknown => Order { deadline, ..Order::new(id, "item1", 1, 100).by_saga() },
        }
    }

    /// True if one of the participants cannot answer until the deadline has passed.
    fn is_troubled(self) -> bool {
        matches!(self, Self::Down | Self::Deadline | Self::SagaUnknown)
    }

    /// The services that are called, and have no other trouble.
    fn services(self) -> &'static [ServiceKind] {
        use ServiceKind::{Inventory, Order, Payment};
        match self {
            Self::Success | Self::Refusal | Self::ReadOnly => &[Order, Payment, Inventory],
            Self::Saga | Self::SagaDeclined => &[Order, Inventory, Payment],
            Self::OnePhase => &[Inventory],
            Self::Down | Self::Deadline | Self::SagaOutOfStock => &[Order, Inventory],
            Self::SagaUnknown => &[Order],
        }
    }

    fn victims(self) -> impl Iterator<Item = (Role, What)> {
        let coordinator = [(Role::Coordinator, What::Append), (Role::Coordinator, What::Call)];
        let services = self.services().iter().map(|kind| (Role::Service(*kind), What::Call));
        coordinator.into_iter().chain(services)
    }
}

/// More points than any scenario has.
const MOST_POINTS: u32 = 200;

const PAYMENT: Role = Role::Service(ServiceKind::Payment);
const INVENTORY: Role = Role::Service(ServiceKind::Inventory);

/// The number of scenarios run at once, each in a shop of its own: they mostly wait.
const AT_ONCE: usize = 2;

/// Kills at every point of these scenarios.
pub(super) async fn run(
    wholly: &Path,
    scenarios: impl Iterator<Item = Scenario>,
    report: &mut Report,
) {
    let empty = report.empty();
    let runs = scenarios.map(|scenario| {
        let mut part = empty.clone();
        async move {
            if let Err(error) = run_one(wholly, scenario, &mut part).await {
                part.violation(format!("{} stopped: {error}", scenario.name()));
            }
            part
        }
    });
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(AT_ONCE);
    while let Some(part) = runs.next().await {
        report.add(part);
    }
}

async fn run_one(wholly: &Path, scenario: Scenario, report: &mut Report) -> Result<(), FleetError> {
    let opening = Stock::from([("item1".to_owned(), 1_000_000), ("item2".to_owned(), 5)]);
    let program = Some(wholly.to_owned());
    let mut fleet = Layout { program, ..Layout::of(opening.clone()) }.start().await?;
    let mut runs = Runs {
        scenario,
        fleet: &mut fleet,
        ledger: Ledger { opening, ..Ledger::default() },
        transactions: Vec::new(),
    };
    let mut killed = 0;
    for (role, what) in scenario.victims() {
        for when in [When::Before, When::During, When::After] {
            let mut points =
                (1..=MOST_POINTS).map(|nth| KillAt { when, what, which: Which::Nth(nth) });
            for at in points.by_ref() {
                let sound = report.violations.len();
                if !runs.run(role, &at, report).await? {
                    break;
                }
                killed += 1;
                if report.violations.len() > sound {
                    // It would be reported again after every run that follows.
                    return Ok(());
                }
            }
            if points.next().is_none() {
                report.violation(format!("{}: more than {MOST_POINTS} points", scenario.name()));
            }
        }
    }
    report.count_ends(&runs.ledger, &runs.transactions);
    report.count_named(Tally::Points, &scenario.name(), killed);
    report.say(&format!("{:<17} {killed} points", scenario.name()));
    Ok(())
}

struct Runs<'a> {
    scenario: Scenario,
    fleet: &'a mut Fleet,
    ledger: Ledger,
    transactions: Vec<Transaction>,
}

type Placing = JoinHandle<Result<Placed, PlaceError>>;

impl Runs<'_> {
    /// Runs once with one kill; true if the point was reached.
    async fn run(
        &mut self,
        role: Role,
        at: &KillAt,
        report: &mut Report,
    ) -> Result<bool, FleetError> {
        let order = self.scenario.order(format!("{}/{}/{at}", self.scenario.name(), role.as_str()));
        self.run_staged(role, at).await?;
        self.begin_trouble().await?;
        self.ledger.orders.insert(order.id.clone(), order.clone());
        let shopper = Shopper::of(self.fleet);
        let id = order.id.clone();
        let mut placing = tokio::spawn(async move { shopper.place(&order).await });

        let mut killed = self.until_killed(role, &placing, self.scenario.is_troubled()).await?;
        if killed {
            self.restart(role, report).await?;
        }
        self.end_trouble().await?;
        if !killed {
            killed = self.until_killed(role, &placing, false).await?;
            if killed {
                self.restart(role, report).await?;
            }
        }
        match (&mut placing).await {
            Ok(Ok(placed)) => drop(self.ledger.placed.insert(id.clone(), placed)),
            Ok(Err(error)) => report.violation(format!("{id}: {error}")),
            Err(error) => report.violation(format!("{id}: the client ended: {error}")),
        }
        self.check(&id, report).await?;
        if !killed {
            // The point still waits to be reached, which would kill in another run.
            self.fleet.run(role).await?;
        }
        Ok(killed)
    }

    /// Starts a process that kills itself at this point.
    async fn run_staged(&mut self, role: Role, at: &KillAt) -> Result<(), FleetError> {
        self.fleet.spawn_as(role, &staged::killed(at)?)?;
        self.fleet.ready(role).await
    }

    /// Waits until the process is killed (true), or the client has its answer, or, where one asks
    /// for it, the transaction is decided.
    async fn until_killed(
        &mut self,
        role: Role,
        placing: &Placing,
        or_decided: bool,
    ) -> Result<bool, FleetError> {
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            turn.tick().await;
            if self.fleet.has_ended(role) {
                return Ok(true);
            }
            let Some(transaction) = self.newest().await else { continue };
            // A transaction shown as settled is in the log: nothing more will be appended.
            let is_over = placing.is_finished() && transaction.settled;
            if !self.fleet.has_ended(role) && (is_over || (or_decided && transaction.is_decided()))
            {
                return Ok(false);
            }
        }
        Err(FleetError::Late(format!("a kill, or an end, of the {}", role.as_str())))
    }

    /// The transaction of this run, if there is one already, and somebody to ask.
    async fn newest(&self) -> Option<Transaction> {
        let newest = self.fleet.newest(1).await.ok()?.pop()?;
        match self.transactions.iter().any(|known| known.id == newest) {
            true => None,
            false => self.fleet.transaction(&newest).await.ok(),
        }
    }

    async fn restart(&mut self, role: Role, report: &mut Report) -> Result<(), FleetError> {
        self.fleet.killed(role).await?;
        report.killed(self.fleet, role);
        self.fleet.run(role).await?;
        report.count(Tally::Restarts, 1);
        Ok(())
    }

    async fn begin_trouble(&mut self) -> Result<(), FleetError> {
        match self.scenario {
            Scenario::Down => self.fleet.kill(PAYMENT),
            Scenario::Deadline => self.fleet.signal(PAYMENT, Signal::STOP)?,
            Scenario::SagaUnknown => {
                let which = Which::Named("reserve-inventory".to_owned());
                let at = KillAt { when: When::After, what: What::Call, which };
                self.run_staged(INVENTORY, &at).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn end_trouble(&mut self) -> Result<(), FleetError> {
        match self.scenario {
            Scenario::Down => self.fleet.run(PAYMENT).await,
            Scenario::Deadline => self.fleet.signal(PAYMENT, Signal::CONT),
            Scenario::SagaUnknown => self.fleet.run(INVENTORY).await,
            _ => Ok(()),
        }
    }

    /// Everything must be right after every run.
    async fn check(&mut self, run: &str, report: &mut Report) -> Result<(), FleetError> {
        // A settled transaction never changes again: only the new ones are read.
        for id in self.fleet.newest(10).await? {
            if self.transactions.iter().any(|known| known.id == id) {
                break;
            }
            self.transactions.push(check::settled(self.fleet, &id).await?);
        }
        let books = self.fleet.books().await?;
        for found in check::violations(&self.ledger, &self.transactions, &books) {
            report.violation(format!("{run}: {found}"));
        }
        Ok(())
    }
}
