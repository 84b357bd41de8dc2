//! Planted mutations of the protocol. Each is caught, or the simulation proves nothing.

use std::collections::BTreeMap;

use wholly_core::TransactionId;
use wholly_core::wire::{Answer, Call, Operation};

use super::world::{Bug, World};
use super::{run, seeds};
use crate::participant::slots::Answered;

/// How many seeds a mutation may survive.
const SEEDS: u64 = 3_000;

#[test]
fn every_planted_bug_is_caught() {
    let mut caught = BTreeMap::new();
    for bug in [
        Bug::EffectsBeforeTheSync,
        Bug::ReadOfWhatIsNotDurable,
        Bug::TimeoutTakenForANoAfterTheDecision,
        Bug::PreparedAgainAfterRestart,
        Bug::CommitOnAllButOneYes,
        Bug::NoBelievedAfterALostAttempt,
        Bug::LatePrepareAcceptedAfterTheAbort,
        Bug::AppendLandsAfterAFailedOne,
        Bug::KeyForgotten,
    ] {
        let found =
            seeds(SEEDS).zip(1..).find_map(|(seed, n)| Some((n, run(seed, Some(bug)).err()?)));
        let Some((seeds, wrong)) = found else { panic!("{bug:?} survived {SEEDS} seeds") };
        println!("{bug:?}: caught by seed {seeds}: {wrong}");
        caught.insert(format!("{bug:?}"), wrong);
    }
    assert!(caught.len() >= 7);
}

impl World {
    /// Mutations of what is sent.
    pub(super) fn planted_call(&mut self, call: &mut Call, branch: u16) {
        let taken_for_a_no = self.bug == Some(Bug::TimeoutTakenForANoAfterTheDecision)
            && call.operation == Operation::Commit
            && self.timed_out.contains(&(call.transaction, branch));
        if taken_for_a_no {
            call.operation = Operation::Abort;
        }
    }

    /// Mutations of what is heard.
    pub(super) fn planted_answer(
        &mut self,
        transaction: TransactionId,
        branch: u16,
        operation: Operation,
        lost: bool,
    ) {
        match self.bug {
            Some(Bug::TimeoutTakenForANoAfterTheDecision) if lost => {
                self.timed_out.insert((transaction, branch));
            }
            // A lost vote counts as a yes.
            Some(Bug::CommitOnAllButOneYes) if lost && operation == Operation::Prepare => {
                let answer = Answer::Done;
                self.answered(Answered { transaction, branch, operation, answer, sent: true });
            }
            _ => {}
        }
    }
}
