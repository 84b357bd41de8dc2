//! Random rounds, by a driver that knows the public API and nothing of the inside.
//!
//! Clients order, and others follow the events, while processes are killed; with `--api` the network
//! between all of them is cut, delayed, throttled and half-closed, too, and disks fill and are freed.
//! The seed says what is ordered and what is done to whom, and when. What the processes do meanwhile
//! is up to the system, so a seed replays the plan, not the run.
//!
//! At the end everything must have settled, each key must have given one transaction, and money and
//! stock must be conserved, as [`check`] says; nothing that any client was ever told
//! may have changed, as [`told`] says; and every event must have been told to all who listened, as
//! [`events`] says.
//!
//! The disks do not really fill: the system refuses a process' writes beyond a size, as it does
//! when there is no space, and allows them again.

mod clients;
mod events;
mod listener;
mod plan;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;

use super::check::{self, Ledger};
use super::report::{Report, Tally};
use crate::faulty::Wrong;
use crate::staged;
use clients::{Clients, Kept, Stayed};
use plan::{Fault, Round};
use told::Statement;
use wholly_demo::fleet::{Fleet, FleetError, Layout, PATIENCE, Role, Transaction, name_of};
use wholly_demo::network::Weather;
use wholly_demo::order::Placed;
use wholly_demo::random::Random;
use wholly_demo::shop::Stock;

/// The mishaps of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishaps {
    /// SIGKILL alone.
    Kills,
    /// SIGKILL, a network that fails, and disks that are full.
    All,
}

/// A mistake on purpose, to show that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Plant {
    /// An answer says aborted where it should say committed.
    Lie,
    /// The order service says that it took an order back, and does nothing.
    OnlySaysSo,
    /// The coordinator forgets its log when it is killed.
    LostLog,
    /// An event says aborted where it should say committed.
    EventLie,
    /// An event now and then does not come.
    EventLost,
    /// The inventory has no barrier: it reserves again when it is told again.
    DoesItTwice,
    /// The inventory has no barrier: it prepares what it was told to abort before.
    ForgetsAborts,
}

impl Plant {
    fn lie(self) -> Option<Weather> {
        match self {
            Self::Lie => Some(Weather::Lying("\"committed\"", "\"aborted\"")),
            Self::EventLie => Some(Weather::Lying(
                "\"committed\",\"settled\":false,\"stuck\":false,\"record\"",
                "\"aborted\",\"settled\":false,\"stuck\":false,\"record\"",
            )),
            _ => None,
        }
    }

    fn wrong(self) -> Option<Wrong> {
        Wrong::from_str(&name_of(&self), false).ok()
    }

    /// Without a barrier it matters what overtakes what.
    fn overtakes(self) -> bool {
        matches!(self, Self::DoesItTwice | Self::ForgetsAborts)
    }
}

/// Disturbs at random, and checks at the end.
pub(super) async fn run(
    wholly: &Path,
    rounds: u32,
    mishaps: Mishaps,
    plant: Option<Plant>,
    report: &mut Report,
) -> Result<(), FleetError> {
    let mut random = Random::seeded(report.seed);
    // Of item2 there is so little that the last of it is fought for.
    let opening = Stock::from([("item1".to_owned(), 100_000_000), ("item2".to_owned(), 500)]);
    let mut layout = Layout::of(opening.clone());
    layout.program = Some(wholly.to_owned());
    layout.has_network = mishaps == Mishaps::All;
    if let Some(wrong) = plant.and_then(Plant::wrong) {
        layout.stand_ins.insert(Role::Service(wrong.service()), staged::faulty(wrong)?);
    }
    let mut fleet = layout.start().await?;
    let loses_events = plant == Some(Plant::EventLost);
    let mut clients = Clients::start(&fleet, loses_events, &mut random);
    for number in 1..=rounds {
        if let Some(lie) = plant.and_then(Plant::lie) {
            fleet.set_weather(Role::Coordinator, &lie);
        }
        let round = match mishaps {
            _ if plant.is_some_and(Plant::overtakes) => Round::overtaken(&mut random),
            Mishaps::All => Round::draw(&mut random),
            Mishaps::Kills => Round::of_kills(&mut random),
        };
        let planned = format!("{round:?}");
        Disturbed::default().round(&mut fleet, round, plant, report).await?;
        report.rounds = number;
        clients.contradictions().into_iter().for_each(|found| report.violation(found));
        if !report.violations.is_empty() {
            clients.abandon();
            return Ok(());
        }
        if !clients.go_on().await {
            let what = format!("round {number}: no order ended within {PATIENCE:?} of {planned}");
            report.violation(what);
            break;
        }
        if number % 50 == 0 {
            report.say(&format!("{number} rounds"));
        }
    }
    clients.finish().await;
    let transactions = check::transactions(&fleet).await?;
    let kept = clients.hear_out(&transactions).await;
    judge(&fleet, opening, kept, transactions, report).await
}

/// Mistakes of the API during a round.
#[derive(Default)]
struct Disturbed {
    ways: BTreeSet<Role>,
    disks: BTreeMap<Role, u64>,
    killed: BTreeSet<Role>,
}

impl Disturbed {
    async fn round(
        mut self,
        fleet: &mut Fleet,
        round: Round,
        plant: Option<Plant>,
        report: &mut Report,
    ) -> Result<(), FleetError> {
        // These are no waits for something: the moment of a fault is random.
        tokio::time::sleep(round.peace).await;
        for (fault, gap) in round.faults {
            report.count_named(Tally::Faults, fault.name(), 1);
            self.strike(fleet, fault, plant, report).await?;
            tokio::time::sleep(gap).await;
        }
        tokio::time::sleep(round.trouble).await;
        self.mend(fleet, report).await
    }

    async fn strike(
        &mut self,
        fleet: &mut Fleet,
        fault: Fault,
        plant: Option<Plant>,
        report: &mut Report,
    ) -> Result<(), FleetError> {
        match fault {
            Fault::Network { to, what } => {
                self.ways.insert(to);
                fleet.set_weather(to, &what);
                Ok(())
            }
            Fault::DiskFull { of, bytes } => {
                self.disks.insert(of, bytes);
                fleet.files_may_have(of, Some(bytes))
            }
            Fault::Kill { victims, down } => {
                for &victim in &victims {
                    report.killed(fleet, victim);
                    fleet.kill(victim);
                }
                if plant == Some(Plant::LostLog) && victims.contains(&Role::Coordinator) {
                    fleet.lose_log()?;
                }
                tokio::time::sleep(down).await;
                for &victim in &victims {
                    fleet.spawn(victim)?;
                    report.count(Tally::Restarts, 1);
                    // Its disk is as full as before.
                    if let Some(bytes) = self.disks.get(&victim) {
                        fleet.files_may_have(victim, Some(*bytes))?;
                    }
                }
                self.killed.extend(victims);
                Ok(())
            }
        }
    }

    async fn mend(self, fleet: &mut Fleet, report: &mut Report) -> Result<(), FleetError> {
        for role in self.disks.keys() {
            fleet.files_may_have(*role, None)?;
        }
        for role in &self.killed {
            match fleet.ready(*role).await {
                // With a full disk it may have given up.
                Err(FleetError::NotReady { .. }) if self.disks.contains_key(role) => {
                    report.count(Tally::Restarts, 1);
                    fleet.run(*role).await?;
                }
                ready => ready?,
            }
        }
        // What the network holds back comes after what those who were killed say again.
        for role in &self.ways {
            fleet.set_weather(*role, &Weather::Fair);
        }
        for role in Role::ALL {
            if !fleet.has_ended(role) {
                continue;
            }
            let (name, last_words) = (role.as_str(), fleet.last_words(role));
            report.violation(format!("the {name} ended, and nobody killed it: {last_words}"));
        }
        Ok(())
    }
}

/// Checks everything, once all clients have their answers.
async fn judge(
    fleet: &Fleet,
    opening: Stock,
    mut kept: Kept,
    transactions: Vec<Transaction>,
    report: &mut Report,
) -> Result<(), FleetError> {
    kept.failures.drain(..).for_each(|failure| report.violation(failure));
    report.count(Tally::Told, kept.testimony.heard());
    report.count(Tally::Events, kept.streams.heard() as u64);
    report.count(Tally::TurnedAway, kept.turned_away);
    report.count(Tally::Retries, kept.retries);
    let mut wholes = Vec::new();
    for transaction in &transactions {
        let asked = kept.testimony.now();
        let whole: Value = fleet.transaction(&transaction.id).await?;
        if let Some(told) = Statement::of(&whole) {
            kept.testimony.hear(asked, &told);
        }
        wholes.push(whole);
    }
    kept.streams.judge(&wholes, &mut kept.testimony);
    let listed: BTreeSet<&str> = transactions.iter().map(|one| one.id.as_str()).collect();
    if listed.len() < transactions.len() {
        report.violation("the list has a transaction twice".to_owned());
    }
    for id in kept.testimony.ids().filter(|id| !listed.contains(id)) {
        report.violation(format!("{id} was known, and is not listed"));
    }
    kept.testimony.contradictions().into_iter().for_each(|found| report.violation(found));
    let ledger = ledger(opening, &kept, &transactions);
    let books = fleet.books().await?;
    let found = check::violations(&ledger, &transactions, &books);
    found.into_iter().for_each(|found| report.violation(found));
    report.count_ends(&ledger, &transactions);
    Ok(())
}

/// The clients' orders and answers, for the books' check. Who walked away knows nothing:
/// that order is as the coordinator says, if it has it.
fn ledger(opening: Stock, kept: &Kept, transactions: &[Transaction]) -> Ledger {
    let mut ledger = Ledger { opening, ..Ledger::default() };
    let listed: BTreeMap<&str, &Transaction> =
        transactions.iter().map(|transaction| (transaction.key.as_str(), transaction)).collect();
    for (key, (order, stayed)) in &kept.orders {
        let told = kept.testimony.id_of(key);
        let of_key = listed.get(key.as_str());
        let (id, state) = match (told, stayed, of_key) {
            (Some(id), ..) => (id, kept.testimony.state_of(id).unwrap_or_default()),
            (None, Stayed::NotLong, None) => continue,
            (None, Stayed::NotLong, Some(one)) => (one.id.as_str(), one.state.as_str()),
            (None, Stayed::UntilTheEnd, _) => ("", ""),
        };
        ledger.orders.insert(key.clone(), order.clone());
        let ids = BTreeSet::from([id.to_owned()]);
        let placed = Placed { ids, state: state.to_owned(), reason: None, retries: 0 };
        ledger.placed.insert(key.clone(), placed);
    }
    ledger
}
