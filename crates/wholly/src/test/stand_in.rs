//! A participant that does nothing and keeps every rule of the protocol.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wholly_core::TransactionId;
use wholly_core::two_phase::BranchState;
use wholly_core::wire::{Answer, Call};

use crate::Participant;
use crate::clock::Clock;

/// Says yes to everything, with a barrier: an operation is done once and its first answer is
/// repeated, an abort that comes first wins, and what is late or has expired is refused.
pub(super) struct StandIn {
    clock: Clock,
    pub one_phase: bool,
    branches: Mutex<HashMap<TransactionId, BranchState>>,
}

impl StandIn {
    pub fn new(clock: Clock, one_phase: bool) -> Self {
        Self { clock, one_phase, branches: Mutex::default() }
    }

    fn branches(&self) -> MutexGuard<'_, HashMap<TransactionId, BranchState>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first phase: goes to `next` unless the branch is over.
    fn begin(&self, call: &Call, next: BranchState) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(BranchState::Aborted) => return Answer::refused("it was aborted"),
            Some(BranchState::Prepared) if next == BranchState::Committed => {
                return Answer::refused("it was prepared, in two phases");
            }
            Some(_) => return Answer::Done,
            None => {}
        }
        if call.expires.is_some_and(|at| at <= self.clock.now()) {
            branches.insert(call.transaction, BranchState::Aborted);
            return Answer::refused("it has expired");
        }
        branches.insert(call.transaction, next);
        Answer::Done
    }
}

impl Participant for StandIn {
    async fn prepare(&self, call: Call) -> Answer {
        self.begin(&call, BranchState::Prepared)
    }

    async fn commit(&self, call: Call) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(BranchState::Prepared | BranchState::Committed) => {
                branches.insert(call.transaction, BranchState::Committed);
                Answer::Done
            }
            _ => Answer::heuristic("it is not prepared"),
        }
    }

    async fn abort(&self, call: Call) -> Answer {
        let mut branches = self.branches();
        match branches.get(&call.transaction) {
            Some(BranchState::Committed) => Answer::heuristic("it is committed"),
            _ => {
                branches.insert(call.transaction, BranchState::Aborted);
                Answer::Done
            }
        }
    }

    async fn commit_one_phase(&self, call: Call) -> Answer {
        self.begin(&call, BranchState::Committed)
    }

    fn offers_one_phase(&self) -> bool {
        self.one_phase
    }
}
