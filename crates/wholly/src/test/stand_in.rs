//! A participant that does nothing and keeps every rule of the protocol.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wholly_core::PartState;
use wholly_core::wire::{Answer, Call};
use wholly_core::{BranchName, TransactionId};

use crate::Participant;
use crate::clock::Clock;

/// Says yes to everything, with a barrier: an operation is done once and its first answer is
/// repeated, an abort or compensation that comes first wins, and what is late or has expired is
/// refused.
pub(super) struct StandIn {
    clock: Clock,
    pub one_phase: bool,
    branches: Mutex<HashMap<TransactionId, PartState>>,
    steps: Mutex<HashMap<(TransactionId, BranchName), StepRow>>,
}

/// The barrier's row of a saga's step.
enum StepRow {
    Done,
    Expired,
    /// Also where nothing was done: the row keeps a late action away.
    Compensated,
}

impl StandIn {
    pub fn new(clock: Clock, one_phase: bool) -> Self {
        Self { clock, one_phase, branches: Mutex::default(), steps: Mutex::default() }
    }

    fn branches(&self) -> MutexGuard<'_, HashMap<TransactionId, PartState>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<(TransactionId, BranchName), StepRow>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_expired(&self, call: &Call) -> bool {
        call.expires.is_some_and(|at| at <= self.clock.now())
    }

    /// The first phase: goes to `next` unless the branch is over.
    fn begin(&self, call: &Call, next: PartState) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(PartState::Aborted) => return Answer::refused("it was aborted"),
            Some(PartState::Prepared) if next == PartState::Committed => {
                return Answer::refused("it was prepared, in two phases");
            }
            Some(_) => return Answer::Done,
            None => {}
        }
        if self.has_expired(call) {
            branches.insert(call.transaction, PartState::Aborted);
            return Answer::refused("it has expired");
        }
        branches.insert(call.transaction, next);
        Answer::Done
    }
}

impl Participant for StandIn {
    async fn prepare(&self, call: Call) -> Answer {
        self.begin(&call, PartState::Prepared)
    }

    async fn commit(&self, call: Call) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(PartState::Prepared | PartState::Committed) => {
                branches.insert(call.transaction, PartState::Committed);
                Answer::Done
            }
            _ => Answer::heuristic("it is not prepared"),
        }
    }

    async fn abort(&self, call: Call) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(PartState::Committed) => Answer::heuristic("it is committed"),
            _ => {
                branches.insert(call.transaction, PartState::Aborted);
                Answer::Done
            }
        }
    }

    async fn commit_one_phase(&self, call: Call) -> Answer {
        self.begin(&call, PartState::Committed)
    }

    async fn action(&self, call: Call) -> Answer {
        let mut steps = self.steps();
        let step = (call.transaction, call.branch.clone());
        match steps.get(&step) {
            Some(StepRow::Done) => Answer::Done,
            Some(StepRow::Expired) => Answer::refused("it has expired"),
            Some(StepRow::Compensated) => Answer::refused("it was compensated"),
            None if self.has_expired(&call) => {
                steps.insert(step, StepRow::Expired);
                Answer::refused("it has expired")
            }
            None => {
                steps.insert(step, StepRow::Done);
                Answer::Done
            }
        }
    }

    async fn compensate(&self, call: Call) -> Answer {
        self.steps().insert((call.transaction, call.branch), StepRow::Compensated);
        Answer::Done
    }

    fn offers_one_phase(&self) -> bool {
        self.one_phase
    }
}
