//! The meter: what an operator sees of a coordinator.
//!
//! The loop, the log's thread and the lanes count here as they go, and [`Coordinator::measures`]
//! reads. It holds numbers and the names of participants, never a payload, a key or an id.
//!
//! INVARIANT: no measure decides anything, so that a simulated run repeats.
//!
//! Counting costs an atomic addition that no other thread competes for: no lock, no look-up by
//! name. A participant's part is found once, when its lane starts. If
//! [`Settings::measured`](crate::Settings::measured) is false nothing is counted or timed; the
//! health of a participant, and the calls that wait for it, are known all the same.
//!
//! [`Coordinator::measures`]: crate::Coordinator::measures

mod histogram;
mod settled;
mod target;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::Instant as Moment;
use wholly_core::{Pattern, State, Target, Timestamp, Transaction, TransactionId};

pub use histogram::Distribution;
use histogram::{Sizes, Times};
pub(crate) use settled::OnSettled;
pub use settled::SettledTransaction;
pub use target::{CallMeasures, LastError, TargetHealth, TargetMeasures};
pub(crate) use target::{LaneGauge, LastHeard, Registered, TargetMeter};

use crate::clock::Clock;
use crate::log::Written;

/// The counts of a coordinator since it started, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measures {
    /// Transactions that began, by pattern.
    pub begun: Vec<BegunMeasures>,
    /// Transactions that ended, by pattern and outcome.
    pub ended: Vec<EndedMeasures>,
    /// Transactions that have not ended.
    pub in_flight: usize,
    /// The bytes of memory that they take, as they are counted for their limit.
    pub in_flight_bytes: usize,
    /// The most bytes that they may take.
    pub in_flight_limit_bytes: usize,
    /// The transactions in flight that are not loaded: they wait in the log for room in memory.
    pub unloaded: usize,
    /// The age of the oldest transaction that is not decided, or whose saga still runs.
    pub oldest_undecided: Option<Duration>,
    /// The age of the oldest transaction that has not ended.
    pub oldest_unsettled: Option<Duration>,
    /// Transactions that need an operator.
    pub stuck: usize,
    /// The number of transactions that wrote in a batch.
    pub batch_entries: Distribution,
    /// The time that a batch took to become durable.
    pub append_time: Distribution,
    /// The amount that the log has written.
    pub written: Written,
    /// The number of failures of the log.
    pub log_failures: u64,
    /// The number of damages found in the log, as far as they were told apart.
    pub log_damage: u64,
    /// The number of jumps of the wall clock that were seen.
    pub clock_jumps: u64,
    /// Commands that wait for the loop.
    pub commands_waiting: usize,
    /// The time that work waited for the loop: its alarms, and the first command of each of its
    /// turns.
    pub loop_lag: Distribution,
    /// The targets that can be called.
    pub targets: Vec<TargetMeasures>,
}

/// Transactions of one pattern that began.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BegunMeasures {
    /// Their pattern.
    pub pattern: Pattern,
    /// Their number.
    pub count: u64,
}

/// Transactions of one pattern that ended in the same way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndedMeasures {
    /// Their pattern.
    pub pattern: Pattern,
    /// The state in which they settled.
    pub outcome: State,
    /// The time from their beginning until they had settled.
    pub time: Distribution,
}

/// The counters of the coordinator.
pub(crate) struct Meter {
    clock: Clock,
    runs: bool,
    on_settled: Option<OnSettled>,
    begun: [AtomicU64; Pattern::ALL.len()],
    /// By state; some are never final.
    ended: [Times; State::ALL.len()],
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    in_flight_limit_bytes: AtomicUsize,
    unloaded: AtomicUsize,
    /// In milliseconds since the Unix epoch; 0 where there is none.
    oldest_undecided: AtomicU64,
    oldest_unsettled: AtomicU64,
    batch_entries: Sizes,
    append_time: Times,
    syncs: AtomicU64,
    bytes: AtomicU64,
    log_failures: AtomicU64,
    clock_jumps: AtomicU64,
    loop_lag: Times,
    /// Locked by a registration, and by readers.
    targets: Mutex<BTreeMap<Target, Arc<TargetMeter>>>,
}

impl Meter {
    /// A meter that counts if `runs` is true.
    pub fn new(clock: Clock, runs: bool, on_settled: Option<OnSettled>) -> Self {
        Self {
            clock,
            runs,
            on_settled,
            begun: Default::default(),
            ended: Default::default(),
            in_flight: AtomicUsize::new(0),
            in_flight_bytes: AtomicUsize::new(0),
            in_flight_limit_bytes: AtomicUsize::new(0),
            unloaded: AtomicUsize::new(0),
            oldest_undecided: AtomicU64::new(0),
            oldest_unsettled: AtomicU64::new(0),
            batch_entries: Sizes::default(),
            append_time: Times::default(),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            log_failures: AtomicU64::new(0),
            clock_jumps: AtomicU64::new(0),
            loop_lag: Times::default(),
            targets: Mutex::default(),
        }
    }

    /// True if it counts.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// A transaction began.
    pub fn begun(&self, transaction: &Transaction) {
        if !self.runs {
            return;
        }
        self.begun[transaction.view().pattern.number()].fetch_add(1, Relaxed);
    }

    /// Counts a settled transaction. The callback hears of it even if nothing is counted.
    pub fn ended(&self, id: TransactionId, transaction: &Transaction, now: Timestamp) {
        if let Some(told) = &self.on_settled {
            told(SettledTransaction::of(id, transaction));
        }
        if !self.runs {
            return;
        }
        self.ended[transaction.view().state.number()].saw(id.minted_at().until(now));
    }

    /// Stores what the loop holds.
    pub fn holds(
        &self,
        in_flight: usize,
        undecided: Option<TransactionId>,
        unsettled: Option<TransactionId>,
    ) {
        let began = |id: Option<TransactionId>| id.map_or(0, |id| id.minted_at().as_millis());
        self.in_flight.store(in_flight, Relaxed);
        self.oldest_undecided.store(began(undecided), Relaxed);
        self.oldest_unsettled.store(began(unsettled), Relaxed);
    }

    /// The transactions in flight take so much memory, and so many are not loaded.
    pub fn takes(&self, bytes: usize, limit_bytes: usize, unloaded: usize) {
        self.in_flight_bytes.store(bytes, Relaxed);
        self.in_flight_limit_bytes.store(limit_bytes, Relaxed);
        self.unloaded.store(unloaded, Relaxed);
    }

    /// A batch became durable, or did not, since `began`; and what the log wrote until then.
    pub fn appended(&self, entries: usize, began: Instant, before: Written, after: Written) {
        self.append_time.saw(began.elapsed());
        self.batch_entries.saw(entries);
        self.syncs.fetch_add(after.syncs.saturating_sub(before.syncs), Relaxed);
        self.bytes.fetch_add(after.bytes.saturating_sub(before.bytes), Relaxed);
    }

    /// Notes that work has waited for the loop since then.
    pub fn waited(&self, since: Moment) {
        if self.runs {
            self.loop_lag.saw(since.elapsed());
        }
    }

    /// The log failed.
    pub fn log_failed(&self) {
        self.log_failures.fetch_add(1, Relaxed);
    }

    /// The wall clock jumped.
    pub fn clock_jumped(&self) {
        self.clock_jumps.fetch_add(1, Relaxed);
    }

    /// The part of a registered target. It goes on where it was when a lane starts anew.
    pub fn target(&self, target: &Target, registered: Registered) -> Arc<TargetMeter> {
        let meter = self.of(target);
        meter.registered(registered);
        meter
    }

    /// The number of transactions for which a registered target owes an answer.
    pub fn owed_by(&self, target: &Target) -> Arc<AtomicU64> {
        self.of(target).owed()
    }

    /// The last answer of a registered target.
    pub fn said_by(&self, target: &Target) -> Arc<LastHeard> {
        self.of(target).said()
    }

    fn of(&self, target: &Target) -> Arc<TargetMeter> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(TargetMeter::new(self.clock.clone(), self.runs));
        Arc::clone(targets.entry(target.clone()).or_insert_with(new))
    }

    pub fn read(&self, stuck: usize, log_damage: u64, commands_waiting: usize) -> Measures {
        let now = self.clock.now();
        let age = |began: &AtomicU64| match began.load(Relaxed) {
            0 => None,
            began => Some(Timestamp::from_millis(began).until(now)),
        };
        let begun = Pattern::ALL.iter().zip(&self.begun);
        let ended = State::ALL.iter().zip(&self.ended).filter(|(state, _)| state.end().is_some());
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        Measures {
            begun: begun
                .map(|(&pattern, count)| BegunMeasures { pattern, count: count.load(Relaxed) })
                .collect(),
            ended: ended
                .map(|(&outcome, time)| EndedMeasures {
                    pattern: outcome.pattern(),
                    outcome,
                    time: time.read(),
                })
                .collect(),
            in_flight: self.in_flight.load(Relaxed),
            in_flight_bytes: self.in_flight_bytes.load(Relaxed),
            in_flight_limit_bytes: self.in_flight_limit_bytes.load(Relaxed),
            unloaded: self.unloaded.load(Relaxed),
            oldest_undecided: age(&self.oldest_undecided),
            oldest_unsettled: age(&self.oldest_unsettled),
            stuck,
            batch_entries: self.batch_entries.read(),
            append_time: self.append_time.read(),
            written: Written { syncs: self.syncs.load(Relaxed), bytes: self.bytes.load(Relaxed) },
            log_failures: self.log_failures.load(Relaxed),
            log_damage,
            clock_jumps: self.clock_jumps.load(Relaxed),
            commands_waiting,
            loop_lag: self.loop_lag.read(),
            targets: targets.iter().map(|(target, meter)| meter.read(target.clone())).collect(),
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(Clock::system(), true, None)
    }
}
