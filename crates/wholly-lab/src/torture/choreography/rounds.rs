//! Random rounds: orders, faults, quiet, and a look at everything.
//!
//! The seed says what is ordered and what is done to whom, and when. What the processes do meanwhile
//! is up to the system, so a seed replays the plan, not the run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::TortureError;
use super::check::{self, Knowledge, ServiceContents};
use super::clients::Clients;
use super::databases::Databases;
use super::plan::{Fault, Round};
use super::restore;
use super::tables::{AllWaiting, OpenWork, Tables};
use crate::staged;
use crate::torture::report::{Report, Tally};
use wholly_demo::choreography::{Flow, Wrong, declaration};
use wholly_demo::fleet::{Fleet, FleetError, Layout, Role, StandIn, eventually_within};
use wholly_demo::network::Weather;
use wholly_demo::random::Random;
use wholly_demo::shop::{ServiceKind, Stock};

/// The longest that anything may take which takes a second or two.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The time without a change after which nothing more is expected: a client asks every second.
const STOPPED: Duration = Duration::from_secs(5);

/// The shop that is tortured.
pub(super) struct TorturedShop {
    pub(super) flow: Flow,
    pub(super) rounds: u32,
    pub(super) plant: Option<Wrong>,
}

/// The shop's processes and their databases.
pub(super) struct Shop {
    // Before the databases: the services end first.
    pub(super) fleet: Fleet,
    pub(super) databases: Databases,
    pub(super) flow: Flow,
    /// The services that do something wrong.
    stand_ins: BTreeMap<Role, StandIn>,
}

impl TorturedShop {
    pub(super) async fn run(
        self,
        wholly: &Path,
        in_postgres: bool,
        report: &mut Report,
    ) -> Result<(), TortureError> {
        // Another plan for each flow.
        let mut random = Random::seeded(report.seed ^ self.flow as u64);
        let opening = Stock::from([("item1".to_owned(), 100_000_000), ("item2".to_owned(), 500)]);
        let databases = Databases::start(in_postgres).await?;
        let (urls, flow) = (databases.urls(), self.flow);
        let mut stand_ins = BTreeMap::new();
        if let Some(wrong) = self.plant {
            stand_ins.insert(Role::Service(wrong.service()), staged::faulty(wrong)?);
        }
        let layout = Layout {
            program: Some(wholly.to_owned()),
            flow: Some(flow),
            urls,
            has_network: true,
            stand_ins: stand_ins.clone(),
            ..Layout::of(opening.clone())
        };
        let mut shop = Shop { fleet: layout.start().await?, databases, flow, stand_ins };
        let mut known = Knowledge { opening, ..Knowledge::default() };
        let mut found = ServiceContents::default();
        for number in 1..=self.rounds {
            let round = Round::draw(number, shop.databases.have_server(), &mut random);
            let (faults, put_back) = (round.faults.clone(), round.put_back);
            let violated = shop.round(round, &mut known, &mut found, report).await;
            report.rounds += 1;
            let violated = violated.unwrap_or_else(|error| vec![error.to_string()]);
            for what in &violated {
                report.violation(format!("{flow:?} round {number}: {what}"));
            }
            if !violated.is_empty() {
                let plan = format!("{faults:?}, put back {put_back:?}");
                report.violation(format!("{flow:?} round {number} was {plan}"));
                break;
            }
            if number % 20 == 0 {
                report.say(&format!("{flow:?}: {number} rounds"));
            }
        }
        count_ends(report, &known, &found);
        Ok(())
    }
}

impl Shop {
    /// Does all of a round; what does not hold then.
    async fn round(
        &mut self,
        round: Round,
        known: &mut Knowledge,
        found: &mut ServiceContents,
        report: &mut Report,
    ) -> Result<Vec<String>, TortureError> {
        known.orders.extend(round.orders.iter().map(|order| (order.id.clone(), order.clone())));
        let mut clients = Clients::start(&self.fleet, &round.orders, round.all_at_once);
        if round.put_back == Some(ServiceKind::Order) {
            clients.all_taken().await?;
        }
        // These are no waits for something: the moment of a fault is random.
        tokio::time::sleep(round.peace).await;
        if let Some(kind) = round.put_back {
            self.copy(kind, report).await?;
        }
        for fault in &round.faults {
            self.begin(fault, report).await?;
        }
        tokio::time::sleep(round.trouble).await;
        self.end(&round.faults, report).await?;
        tokio::select! {
            finished = clients.finish() => finished?,
            // Clients that wait for what does not come any more are found by what they were not told.
            stopped = self.stopped() => stopped?,
        }
        let told = clients.told();
        known.ends.extend(told.ends);
        report.count(Tally::Retries, told.retries);
        if !told.failures.is_empty() {
            return Ok(told.failures);
        }
        *found = self.drained(report).await?;
        let mut violated = check::violations(self.flow, known, found);
        if let (Some(kind), true) = (round.put_back, violated.is_empty()) {
            report.count_named(Tally::PutBack, kind.as_str(), 1);
            let done = restore::put_back(self, kind, found, known).await?;
            report.count(Tally::Lost, done.lost as u64);
            report.count(Tally::Refused, done.refused);
            *found = self.drained(report).await?;
            violated.extend(done.violations);
            violated.extend(check::violations(self.flow, known, found));
        }
        Ok(violated)
    }

    async fn copy(&mut self, kind: ServiceKind, report: &mut Report) -> Result<(), TortureError> {
        if !self.databases.copies_at_rest() {
            return self.databases.copy(&self.fleet, kind).await;
        }
        self.fleet.kill(Role::Service(kind));
        report.count_named(Tally::Kills, kind.as_str(), 1);
        self.databases.copy(&self.fleet, kind).await?;
        Ok(self.fleet.run(Role::Service(kind)).await?)
    }

    async fn begin(&mut self, fault: &Fault, report: &mut Report) -> Result<(), TortureError> {
        match fault {
            Fault::Kill(kind) => {
                self.fleet.kill(Role::Service(*kind));
                report.count_named(Tally::Kills, kind.as_str(), 1);
            }
            Fault::KillAt(kind, at) => {
                let role = Role::Service(*kind);
                let mut staged = staged::killed(at)?;
                let wrong = self.stand_ins.get(&role).into_iter();
                staged.arguments.extend(wrong.flat_map(|wrong| wrong.arguments.clone()));
                self.fleet.spawn_as(role, &staged)?;
                report.count_named(Tally::Kills, kind.as_str(), 1);
            }
            Fault::Server => {
                self.databases.kill_server().await?;
                report.count_named(Tally::Kills, "postgres", 1);
            }
            Fault::Way(kind, weather) => {
                self.fleet.set_weather(Role::Service(*kind), weather);
                report.count_named(Tally::Faults, &format!("feed {}", weather.name()), 1);
            }
        }
        Ok(())
    }

    /// Ends every fault; each service runs afterwards.
    async fn end(&mut self, faults: &[Fault], report: &mut Report) -> Result<(), TortureError> {
        if faults.iter().any(|fault| matches!(fault, Fault::Server)) {
            self.databases.start_server().await?;
        }
        for fault in faults {
            match fault {
                Fault::Way(kind, _) => {
                    self.fleet.set_weather(Role::Service(*kind), &Weather::Fair);
                }
                Fault::Kill(kind) => self.fleet.run(Role::Service(*kind)).await?,
                Fault::KillAt(kind, at) => {
                    let role = Role::Service(*kind);
                    if self.fleet.has_ended(role) {
                        let point = at.to_string();
                        let point = point.split(':').next().unwrap_or_default();
                        report.count_named(Tally::Points, point, 1);
                    }
                    self.fleet.run(role).await?;
                }
                Fault::Server => {}
            }
        }
        Ok(())
    }

    /// Waits until nothing is to be done any more; what there is then.
    async fn drained(&self, report: &mut Report) -> Result<ServiceContents, TortureError> {
        let began = Instant::now();
        self.quiet("all has drained", |all| check::undone(self.flow, all)).await?;
        report.at_most(Tally::LongestDrainMs, began.elapsed().as_millis() as u64);
        self.found().await
    }

    /// Waits until a service has read all that others published; how it stands then.
    pub(super) async fn caught_up(&self, kind: ServiceKind) -> Result<OpenWork, TortureError> {
        let what = format!("the {kind} has caught up");
        let all = self.quiet(&what, |all| check::undone_by(kind, self.flow, all));
        Ok(all.await?.remove(&kind).unwrap_or_default())
    }

    /// Waits until nothing is undone, and nothing has changed for longer than anything takes.
    async fn stopped(&self) -> Result<(), TortureError> {
        let mut last = (AllWaiting::new(), Instant::now());
        loop {
            let all = self.quiet("all has drained", |all| check::undone(self.flow, all)).await?;
            if all != last.0 {
                last = (all, Instant::now());
            } else if last.1.elapsed() > STOPPED {
                return Ok(());
            }
        }
    }

    /// Waits until nothing is undone, twice in a row with nothing changed: what is read of one
    /// service after the other is of one moment then.
    async fn quiet(
        &self,
        what: &str,
        undone: impl Fn(&AllWaiting) -> Vec<String>,
    ) -> Result<AllWaiting, TortureError> {
        let (mut last, mut said) = (None, Vec::new());
        let quiet = eventually_within(PATIENCE, what, async || {
            // The server may still be starting up.
            let Ok(all) = OpenWork::of_all(&self.databases, &self.fleet).await else {
                return Ok(None);
            };
            said = undone(&all);
            let before = last.replace(all.clone());
            Ok(Some(all).filter(|all| said.is_empty() && before.as_ref() == Some(all)))
        });
        match quiet.await {
            Err(TortureError::Fleet(FleetError::Late(what))) => {
                Err(FleetError::Late(format!("{what}; {}", said.join("; "))).into())
            }
            quiet => quiet,
        }
    }

    /// All that is in books and tables.
    pub(super) async fn found(&self) -> Result<ServiceContents, TortureError> {
        let mut found =
            ServiceContents { books: self.fleet.books().await?, ..ServiceContents::default() };
        for kind in ServiceKind::ALL {
            found.tables.insert(kind, Tables::read(&self.databases, &self.fleet, kind).await?);
            let declared = declaration(kind, self.flow);
            let declared = declared.map_err(|why| TortureError::Unreadable(why.to_string()))?;
            found.declared.insert(kind, declared);
        }
        Ok(found)
    }
}

/// Counts what a flow came to.
fn count_ends(report: &mut Report, known: &Knowledge, found: &ServiceContents) {
    for end in known.ends.values() {
        report.count(if end == "confirmed" { Tally::Confirmed } else { Tally::Cancelled }, 1);
    }
    for tables in found.tables.values() {
        report.count(Tally::Events, tables.outbox.len() as u64);
        for dealt in &tables.inbox {
            report.count_named(Tally::Reactions, &dealt.outcome, 1);
        }
    }
}
