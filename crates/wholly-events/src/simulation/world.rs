//! The world: three services, a clock, a gateway, orders and faults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wholly_core::Timestamp;

use super::database::{CommittedWork, TransactionEnd, TransactionWork};
use super::gateway::Gateway;
use super::planted::Bug;
use super::random::Randomness;
use super::service::{ProcessState, RetentionTimes, SimulatedFollower, SimulatedService};
use super::session::text;
use super::shop::{NAMES, ORDER, Order, ShopKind};
use super::unreadable::DroppedEvent;
use super::violation::Checked;
use crate::choreography::job::{JobOutput, StoreJob};
use crate::choreography::react::Stamp;
use crate::cursor::Cursor;
use crate::probe;
use crate::store::StoreError;

pub(super) struct World {
    pub(super) random: Randomness,
    pub(super) bug: Option<Bug>,
    pub(super) now: Timestamp,
    pub(super) shop: ShopKind,
    pub(super) story: Disruption,
    pub(super) retention: RetentionTimes,
    pub(super) services: Vec<SimulatedService>,
    pub(super) gateway: Gateway,
    pub(super) orders: Vec<Order>,
    /// The orders of which the client has heard that they are placed.
    pub(super) placed: BTreeSet<String>,
    /// Orders of which a part was lost with a database, or to a follower that was away for longer
    /// than a feed retains: an operator sees to their end.
    pub(super) spoilt: BTreeSet<String>,
    /// Events that a follower has missed for a stated reason: follower and id.
    pub(super) missed: BTreeSet<(usize, String)>,
    /// The refusal that was to be emitted for each event that an operator dropped, or none.
    pub(super) dropped: BTreeMap<DroppedEvent, Option<String>>,
    /// The number of times out of a hundred that positions are given when they could be.
    pub(super) sequencing: u64,
    /// The number of times out of a hundred that a handler fails.
    pub(super) failing: u64,
    pub(super) faulty: bool,
    /// For a planted bug: it is not to be caught at once, but by what follows from it.
    pub(super) by_consequences: bool,
    pub(super) trace: Vec<String>,
    pub(super) seen: BTreeMap<&'static str, u64>,
}

/// The story of a run: what befalls the shop beside crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disruption {
    /// Crashes, a bad network, failures.
    Plain,
    /// Events are kept for minutes, and all services are down for longer than that.
    Forgetful,
    /// A database is put back to an earlier state.
    Restored,
}

const START: u64 = 1_700_000_000_000;
const STEPS: u64 = 900;
const MINUTE: Duration = Duration::from_secs(60);

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Randomness::of(seed);
        let wanted = bug.map(Bug::shows_in).unwrap_or_default();
        let shop = ShopKind::ALL[random.index(ShopKind::ALL.len())];
        let shop = wanted.shop.unwrap_or(shop);
        let drawn = random.percent(50);
        let sequenced = wanted.sequenced.unwrap_or(drawn);
        let story = match random.below(10) {
            0..=5 => Disruption::Plain,
            6..=7 => Disruption::Forgetful,
            _ => Disruption::Restored,
        };
        let story = wanted.story.unwrap_or(story);
        let retention = match story {
            Disruption::Forgetful => RetentionTimes { outbox: 20 * MINUTE, inbox: 30 * MINUTE },
            _ => RetentionTimes { outbox: 10_000 * MINUTE, inbox: 20_000 * MINUTE },
        };
        let haste = [4, 20, 100][random.index(3)];
        let by_consequences = bug.is_some() && seed.is_multiple_of(2);
        let sequencing = [10, 50, 100][random.index(3)];
        let failing = [5, 20, 60][random.index(3)];
        let services = (0..NAMES.len()).map(|nth| SimulatedService::new(shop, nth, sequenced, bug));
        probe::break_law(bug.and_then(Bug::law));
        let mut world = Self {
            services: services.collect(),
            orders: Vec::new(),
            random,
            bug,
            now: Timestamp::from_millis(START),
            shop,
            story,
            retention,
            gateway: Gateway { haste, ..Gateway::default() },
            placed: BTreeSet::new(),
            spoilt: BTreeSet::new(),
            missed: BTreeSet::new(),
            dropped: BTreeMap::new(),
            sequencing,
            failing,
            faulty: true,
            by_consequences,
            trace: Vec::new(),
            seen: BTreeMap::new(),
        };
        world.imagine_orders();
        world
    }

    fn imagine_orders(&mut self) {
        for nth in 0..3 + self.random.below(6) {
            let (quantity, amount) = (1 + self.random.below(5), 1 + self.random.below(150));
            let (quantity, amount) = (quantity as u32, amount as u32);
            self.orders.push(Order { order: format!("ORD{nth}"), quantity, amount });
        }
    }

    pub(super) fn run(&mut self) -> Checked {
        for service in 0..NAMES.len() {
            self.start(service)?;
        }
        for _ in 0..STEPS {
            self.step()?;
        }
        self.faulty = false;
        self.drain()?;
        self.check()
    }

    /// A fault, so often out of a hundred, while there are faults.
    pub(super) fn fault(&mut self, percent: u64) -> bool {
        self.faulty && self.random.percent(percent)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(super) fn ago(&self, time: Duration) -> Timestamp {
        let time = u64::try_from(time.as_millis()).unwrap();
        Timestamp::from_millis(self.now.as_millis() - time)
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        Stamp { now: self.now, random: self.random.bits() }
    }

    pub(super) fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn note(&mut self, service: usize, what: impl FnOnce() -> String) {
        let line = format!("{} {} {}", self.now.as_millis() - START, NAMES[service], what());
        self.trace.push(line);
    }

    pub(super) fn fate(&mut self) -> TransactionEnd {
        match self.random.below(100) {
            0..6 if self.faulty => TransactionEnd::RollsBack,
            6..12 if self.faulty => TransactionEnd::CommitsUnheard,
            _ => TransactionEnd::Commits,
        }
    }

    /// Runs a transaction; the inner `None` is one whose end is not heard of.
    pub(super) fn transact(
        &mut self,
        service: usize,
        work: &TransactionWork,
        drawn: Option<u64>,
        fate: TransactionEnd,
    ) -> Checked<Result<Option<JobOutput>, StoreError>> {
        let one = &mut self.services[service];
        let result = one.database.run(&one.plan, &one.handlers, work, drawn, fate);
        let committed = match result {
            Ok(committed) => committed,
            Err(error @ StoreError::Handler(_)) => return Ok(Err(error)),
            Err(error) => panic!("{}: {work:?}: {error}", NAMES[service]),
        };
        let Some(CommittedWork { reply, writes }) = committed else { return Ok(Ok(None)) };
        one.ledger.enter(&writes, self.now)?;
        for event in &writes.published {
            self.note(service, || format!("published {}", text(&event[1])));
        }
        for mark in &writes.marks {
            self.note(service, || {
                format!("{} of {}: {}", text(&mark[0]), text(&mark[2]), text(&mark[3]))
            });
            self.see(match text(&mark[3]) {
                "suppressed" => "suppressed",
                "refused" => "refused",
                _ => "done",
            });
        }
        Ok(Ok((fate == TransactionEnd::Commits).then_some(reply)))
    }

    /// Runs a job of the service's own, which has no handler; `None` where its end is not heard of.
    pub(super) fn job(
        &mut self,
        service: usize,
        job: StoreJob,
        fate: TransactionEnd,
    ) -> Checked<Option<JobOutput>> {
        Ok(self
            .transact(service, &TransactionWork::Job(job), None, fate)?
            .expect("it has no handler"))
    }

    pub(super) fn start(&mut self, service: usize) -> Checked {
        self.note(service, || "starts".to_owned());
        let now = self.now;
        self.job(service, StoreJob::Open, TransactionEnd::Commits)?;
        self.job(service, StoreJob::CallsAgain(now), TransactionEnd::Commits)?;
        self.services[service].process = Some(ProcessState::default());
        self.sequence(service, TransactionEnd::Commits)?;
        for source in self.services[service].follows.clone() {
            let follower = SimulatedFollower::new(source, self.cursor(service, source)?);
            self.process(service).feeds.push(follower);
        }
        Ok(())
    }

    /// The place up to which a feed was read, as the database has it.
    pub(super) fn cursor(&mut self, service: usize, source: usize) -> Checked<Option<Cursor>> {
        let job = StoreJob::Cursor(self.services[source].name.clone());
        match self.job(service, job, TransactionEnd::Commits)? {
            Some(JobOutput::Cursor(cursor)) => Ok(cursor),
            reply => panic!("{reply:?}"),
        }
    }

    /// The process ends: what is in its memory is lost; what it has begun is committed or not.
    pub(super) fn crash(&mut self, service: usize) -> Checked {
        let Some(process) = self.services[service].process.take() else { return Ok(()) };
        self.note(service, || "crashes".to_owned());
        self.see("crash");
        for transaction in process.transactions {
            if self.random.percent(15) && transaction.drawn.is_some() {
                let _ = self.transact(
                    service,
                    &transaction.work,
                    transaction.drawn,
                    TransactionEnd::CommitsUnheard,
                )?;
            }
        }
        for call in process.calls {
            if call.answer.is_none() && self.random.percent(50) {
                self.gateway.late.push((call.key, self.gateway.call_of(&call.event)));
            }
        }
        Ok(())
    }

    /// The process of a service that is up.
    pub(super) fn process(&mut self, service: usize) -> &mut ProcessState {
        self.services[service].process.as_mut().unwrap()
    }

    pub(super) fn is_up(&self, service: usize) -> bool {
        self.services[service].process.is_some()
    }

    pub(super) fn unplaced(&self) -> Vec<Order> {
        let process = self.services[ORDER].process.as_ref();
        let transactions = process.map_or(&[][..], |process| &process.transactions);
        let in_flight = |id: &str| {
            transactions.iter().any(|one| {
                matches!(&one.work, TransactionWork::Place(event, _)
                if event.correlation.as_str() == id && event.kind.as_str() == "OrderCreated")
            })
        };
        let orders = self.orders.iter();
        let is_open = |one: &&Order| !self.placed.contains(&one.order) && !in_flight(&one.order);
        orders.filter(is_open).cloned().collect()
    }
}
