//! A SIGKILL at every point of a scenario, one run a point.
//!
//! The points are counted, not listed: the first append, the second, and so on, until a run ends
//! with nobody killed. After each kill the process is started again, the client goes on asking
//! with its key, and then everything must be as [`check`](super::check) says.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinHandle;

use super::check::{self, Ledger};
use super::report::Report;
use crate::fleet::{Fleet, FleetError, PATIENCE, Role, Transaction};
use crate::kill::{KillAt, What, When, Which};
use crate::order::{Order, PlaceError, Placed, Shopper};
use crate::shop::{ServiceKind, Stock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Scenario {
    pub(super) const ALL: [Self; 6] =
        [Self::Success, Self::Refusal, Self::ReadOnly, Self::OnePhase, Self::Down, Self::Deadline];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refusal => "refusal",
            Self::ReadOnly => "read-only",
            Self::OnePhase => "one-phase",
            Self::Down => "down",
            Self::Deadline => "deadline",
        }
    }

    fn order(self, id: String) -> Order {
        let deadline = Some(Duration::from_millis(300));
        match self {
            Self::Success => Order::new(id, "item1", 2, 1_000),
            Self::Refusal => Order::new(id, "item2", 100, 500),
            Self::ReadOnly => Order::new(id, "item1", 0, 10),
            Self::OnePhase => Order { amount: None, ..Order::new(id, "item1", 3, 0) },
            Self::Down | Self::Deadline => Order { deadline, ..Order::new(id, "item1", 1, 100) },
        }
    }

    /// Whether one of the participants cannot answer until the deadline has passed.
    fn is_troubled(self) -> bool {
        matches!(self, Self::Down | Self::Deadline)
    }

    fn victims(self) -> Vec<(Role, What)> {
        let coordinator = [(Role::Coordinator, What::Append), (Role::Coordinator, What::Call)];
        let services = self.order(String::new()).branches().into_iter().map(|(kind, _)| kind);
        let services = services.filter(|kind| !self.is_troubled() || *kind != ServiceKind::Payment);
        let services = services.map(|kind| (Role::Service(kind), What::Call));
        coordinator.into_iter().chain(services).collect()
    }
}

/// More points than any scenario has.
const MOST_POINTS: u32 = 200;

const TROUBLED: Role = Role::Service(ServiceKind::Payment);

/// Kills at every point of a scenario.
pub(super) async fn run(scenario: Scenario, report: &mut Report) -> Result<(), FleetError> {
    let opening = Stock::from([("item1".to_owned(), 1_000_000), ("item2".to_owned(), 5)]);
    let mut fleet = Fleet::start(opening.clone(), false).await?;
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
            while let Some(at) = points.next() {
                if !runs.run(role, &at, report).await? {
                    break;
                }
                killed += 1;
            }
            if points.next().is_none() {
                report.violation(format!("{}: more than {MOST_POINTS} points", scenario.as_str()));
            }
        }
    }
    report.count(&runs.ledger, &runs.transactions);
    report.points.insert(scenario.as_str(), killed);
    report.say(&format!("{:<10} {killed} points", scenario.as_str()));
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
    /// One run with one kill; whether the point was reached.
    async fn run(
        &mut self,
        role: Role,
        at: &KillAt,
        report: &mut Report,
    ) -> Result<bool, FleetError> {
        let order =
            self.scenario.order(format!("{}/{}/{at}", self.scenario.as_str(), role.as_str()));
        self.fleet.run(role, Some(at)).await?;
        self.begin_trouble()?;
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
            self.fleet.run(role, None).await?;
        }
        Ok(killed)
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
            let is_decided = ["committed", "aborted"].contains(&&*transaction.state);
            // What is shown as settled is in the log: nothing more will be appended.
            let is_over = placing.is_finished() && transaction.settled;
            if !self.fleet.has_ended(role) && (is_over || (or_decided && is_decided)) {
                return Ok(false);
            }
        }
        Err(FleetError::Late(format!("a kill, or an end, of the {}", role.as_str())))
    }

    /// The transaction of this run, if there is one already, and somebody to ask.
    async fn newest(&self) -> Option<Transaction> {
        let newest = self.fleet.transactions(None, 1).await.ok()?.pop()?;
        match self.transactions.iter().any(|known| known.id == newest) {
            true => None,
            false => self.fleet.transaction(&newest).await.ok(),
        }
    }

    async fn restart(&mut self, role: Role, report: &mut Report) -> Result<(), FleetError> {
        self.fleet.killed(role).await?;
        report.killed(role);
        self.fleet.run(role, None).await?;
        report.restarts += 1;
        Ok(())
    }

    fn begin_trouble(&mut self) -> Result<(), FleetError> {
        match self.scenario {
            Scenario::Down => self.fleet.kill(TROUBLED),
            Scenario::Deadline => self.fleet.signal(TROUBLED, Signal::STOP)?,
            _ => {}
        }
        Ok(())
    }

    async fn end_trouble(&mut self) -> Result<(), FleetError> {
        match self.scenario {
            Scenario::Down => self.fleet.run(TROUBLED, None).await,
            Scenario::Deadline => self.fleet.signal(TROUBLED, Signal::CONT),
            _ => Ok(()),
        }
    }

    /// Everything must be right after every run.
    async fn check(&mut self, run: &str, report: &mut Report) -> Result<(), FleetError> {
        // What is settled never changes again: only what is new is read.
        for id in self.fleet.transactions(None, 10).await? {
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
