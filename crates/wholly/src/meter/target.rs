//! The measures of one participant, or of a saga in code: its calls, and how they were answered.

use std::sync::atomic::{
    AtomicI64, AtomicU8, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use wholly_core::wire::{Answer, Operation};
use wholly_core::{Target, Timestamp};

use super::histogram::{Distribution, Times};
use crate::clock::Clock;
use crate::last_answer::LastAnswer;

const OPERATIONS: [Operation; 6] = [
    Operation::Prepare,
    Operation::Commit,
    Operation::Abort,
    Operation::CommitOnePhase,
    Operation::Action,
    Operation::Compensation,
];

/// The names of the answers, without their reasons.
const ANSWERS: [&str; 7] =
    ["done", "read-only", "refused", "pending", "heuristic", "unknown", "stuck"];
const UNKNOWN: usize = 5;

/// Updated by the lane alone, so that no two processors pull at it.
pub(crate) struct TargetMeter {
    clock: Clock,
    runs: bool,
    /// As it was registered last.
    registered: Mutex<Registered>,
    /// Updated by the loop, and so apart from the rest.
    owed: Arc<AtomicU64>,
    said: Arc<LastHeard>,
    calls: [[Times; ANSWERS.len()]; OPERATIONS.len()],
    not_sent: AtomicU64,
    waiting: AtomicI64,
    in_progress: AtomicI64,
    health: AtomicU8,
    /// Locked by a failed call, and by readers.
    last_error: Mutex<Option<LastError>>,
}

/// The last answer of a target. Updated by the loop, for each answer.
#[derive(Default)]
pub(crate) struct LastHeard(Mutex<Heard>);

#[derive(Clone, Default)]
struct Heard {
    last_answer: Option<LastAnswer>,
    unanswered: u64,
    next_at: Option<Timestamp>,
}

impl LastHeard {
    /// An answer came; one that ended nothing is asked for again.
    pub fn heard(&self, answer: LastAnswer, next_at: Option<Timestamp>) {
        let mut heard = lock(&self.0);
        let unanswered = if next_at.is_some() { heard.unanswered + 1 } else { 0 };
        *heard = Heard { last_answer: Some(answer), unanswered, next_at };
    }

    fn read(&self) -> Heard {
        lock(&self.0).clone()
    }
}

/// A target as it was registered.
#[derive(Clone, Default)]
pub(crate) struct Registered {
    pub address: Option<String>,
    pub slots: usize,
    pub reserved_slots: usize,
    pub in_flight_limit: usize,
}

/// The measures of a participant since the coordinator started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetMeasures {
    /// The participant, or the saga in code.
    pub target: Target,
    /// Its address, if it is called over a network.
    pub address: Option<String>,
    /// The number of calls that it may have at once.
    pub slots: usize,
    /// The number of them that are reserved for commits, aborts and compensations.
    pub reserved_slots: usize,
    /// Transactions in flight for which it owes an answer.
    pub in_flight: u64,
    /// The most transactions for which it may owe an answer: others that name it are refused. There may
    /// be more that began under another limit.
    pub in_flight_limit: usize,
    /// Its health, by its last answer.
    pub health: TargetHealth,
    /// Calls that have ended, and how long they took, by operation and answer.
    pub calls: Vec<CallMeasures>,
    /// Calls whose time ran out before they had a slot.
    pub not_sent: u64,
    /// Calls that wait for a slot.
    pub waiting: u64,
    /// Calls that have left and are not answered.
    pub in_progress: u64,
    /// The last call that went wrong.
    pub last_error: Option<LastError>,
    /// Its last answer, if it was called.
    pub last_answer: Option<LastAnswer>,
    /// The number of calls in a row that ended nothing, up to the last one.
    pub unanswered: u64,
    /// The time of the next call, if its last answer ended nothing.
    pub next_at: Option<Timestamp>,
}

/// Calls of one operation that got the same answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallMeasures {
    /// The operation.
    pub operation: Operation,
    /// `done`, `read-only`, `refused`, `pending`, `heuristic`, `unknown` or `stuck`.
    pub answer: &'static str,
    /// The time that they took.
    pub time: Distribution,
}

/// The health of a participant, by its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetHealth {
    /// It was not called yet.
    Unknown,
    /// It answered.
    Up,
    /// There was no answer, or none that can be understood.
    Failing,
}

/// A call that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// The time.
    pub at: Timestamp,
    /// The failure that was seen instead of an answer. It may hold words of the participant.
    pub why: String,
}

impl TargetMeter {
    pub(super) fn new(clock: Clock, runs: bool) -> Self {
        Self {
            clock,
            runs,
            registered: Mutex::default(),
            owed: Arc::default(),
            said: Arc::default(),
            calls: Default::default(),
            not_sent: AtomicU64::new(0),
            waiting: AtomicI64::new(0),
            in_progress: AtomicI64::new(0),
            health: AtomicU8::new(TargetHealth::Unknown as u8),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn registered(&self, registered: Registered) {
        *lock(&self.registered) = registered;
    }

    /// The counter of the transactions for which it owes an answer.
    pub(super) fn owed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.owed)
    }

    /// The register of its last answer.
    pub(super) fn said(&self) -> Arc<LastHeard> {
        Arc::clone(&self.said)
    }

    /// Counts a call that left at `left_at` and has ended.
    pub fn ended(&self, operation: Operation, answer: &Answer, left_at: Instant) {
        let kind = kind(answer);
        if self.runs {
            self.calls[operation as usize][kind].saw(left_at.elapsed());
        }
        let health = if kind == UNKNOWN { TargetHealth::Failing } else { TargetHealth::Up };
        self.health.store(health as u8, Relaxed);
        if let Answer::Unknown { reason, .. } = answer {
            self.went_wrong(reason);
        }
    }

    /// Counts a call whose time ran out before it had a slot: that says nothing of the participant.
    pub fn never_left(&self) {
        self.not_sent.fetch_add(1, Relaxed);
    }

    fn went_wrong(&self, why: &str) {
        let error = LastError { at: self.clock.now(), why: why.to_owned() };
        *lock(&self.last_error) = Some(error);
    }

    pub(super) fn read(&self, target: Target) -> TargetMeasures {
        let Registered { address, slots, reserved_slots, in_flight_limit } =
            lock(&self.registered).clone();
        let calls = OPERATIONS.iter().zip(&self.calls).flat_map(|(&operation, by_answer)| {
            let measures = move |(&answer, times): (&&'static str, &Times)| CallMeasures {
                operation,
                answer,
                time: times.read(),
            };
            ANSWERS.iter().zip(by_answer).map(measures)
        });
        let Heard { last_answer, unanswered, next_at } = self.said.read();
        TargetMeasures {
            target,
            address,
            slots,
            reserved_slots,
            in_flight: self.owed.load(Relaxed),
            in_flight_limit,
            health: match self.health.load(Relaxed) {
                health if health == TargetHealth::Up as u8 => TargetHealth::Up,
                health if health == TargetHealth::Failing as u8 => TargetHealth::Failing,
                _ => TargetHealth::Unknown,
            },
            calls: calls.filter(|calls| calls.time.count > 0).collect(),
            not_sent: self.not_sent.load(Relaxed),
            waiting: self.waiting.load(SeqCst).unsigned_abs(),
            in_progress: self.in_progress.load(SeqCst).unsigned_abs(),
            last_error: lock(&self.last_error).clone(),
            last_answer,
            unanswered,
            next_at,
        }
    }
}

impl Default for TargetMeter {
    fn default() -> Self {
        Self::new(Clock::system(), true)
    }
}

impl TargetMeasures {
    /// The number of calls that have ended.
    pub fn calls(&self) -> u64 {
        self.calls.iter().map(|calls| calls.time.count).sum()
    }

    /// The number of them without an answer that can be understood.
    pub fn errors(&self) -> u64 {
        let unknown = self.calls.iter().filter(|calls| calls.answer == ANSWERS[UNKNOWN]);
        unknown.map(|calls| calls.time.count).sum()
    }
}

/// The calls of one lane, as they are shown. They are subtracted when the lane is dropped, with all
/// its calls; the next lane of the same participant may have begun by then.
pub(crate) struct LaneGauge<'a> {
    meter: &'a TargetMeter,
    waiting: i64,
    in_progress: i64,
}

impl<'a> LaneGauge<'a> {
    pub fn new(meter: &'a TargetMeter) -> Self {
        Self { meter, waiting: 0, in_progress: 0 }
    }

    pub fn set(&mut self, waiting: usize, in_progress: usize) {
        let (waiting, in_progress) = (waiting as i64, in_progress as i64);
        if waiting != self.waiting {
            self.meter.waiting.fetch_add(waiting - self.waiting, SeqCst);
        }
        if in_progress != self.in_progress {
            self.meter.in_progress.fetch_add(in_progress - self.in_progress, SeqCst);
        }
        (self.waiting, self.in_progress) = (waiting, in_progress);
    }
}

impl Drop for LaneGauge<'_> {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

fn kind(answer: &Answer) -> usize {
    match answer {
        Answer::Done | Answer::DoneWith { .. } => 0,
        Answer::ReadOnly => 1,
        Answer::Refused { .. } => 2,
        Answer::Pending { .. } => 3,
        Answer::Heuristic { .. } => 4,
        Answer::Stuck { .. } => 6,
        // An answer of a later version counts as one that is not understood.
        _ => UNKNOWN,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_answer_has_its_place() {
        for (place, operation) in OPERATIONS.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        let reason = String::new;
        for (answer, name) in [
            (Answer::Done, "done"),
            (Answer::ReadOnly, "read-only"),
            (Answer::Refused { reason: reason() }, "refused"),
            (Answer::pending(None), "pending"),
            (Answer::Heuristic { reason: reason() }, "heuristic"),
            (Answer::unknown(reason()), "unknown"),
            (Answer::Stuck { reason: reason() }, "stuck"),
        ] {
            assert_eq!(ANSWERS[kind(&answer)], name);
        }
    }
}
