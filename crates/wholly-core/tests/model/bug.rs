//! Planted bugs: the faults of an engine in what it tells the core and does with its answers.
//!
//! The core stays as it is; each bug changes an input or an effect on its way. Those that the
//! world asks for by name are in `world.rs`.

use wholly_core::two_phase::{Record, Transaction};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{BranchIndex, Effect};
use wholly_core::{PartState, Protocol as _};

use crate::scenario::Scenario;
use crate::world::World;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The last yes is not waited for.
    CommitOnAllButOneYes,
    /// A transaction undecided after a restart goes on.
    RestartNotTold,
    /// An unanswered attempt at the first phase is taken for a pending one, so that a no, a
    /// refusal or a read-only vote after it is believed.
    LostAttemptForgotten,
    /// An unanswered commit is taken for a no, and followed by an abort.
    TimeOutIsNo,
    /// An unanswered commit or abort is taken for done.
    TimeOutIsDone,
    /// A branch that did not answer the second phase is not asked again.
    NeverAskedAgain,
    /// The acknowledgement of a branch is not heard.
    DeafToAcknowledgement,
    /// Effects and answers leave before the sync.
    EffectsBeforeSync,
    /// The decision to commit is not forced.
    CommitNotForced,
    /// A crash loses a record and keeps later ones.
    GapInLog,
}

impl Scenario {
    pub fn forces(&self, transaction: &Transaction, record: &Record) -> bool {
        match self.bug {
            Some(Bug::CommitNotForced) if *record == Record::Committed => false,
            _ => transaction.forces(record),
        }
    }

    pub fn sends(&self, world: &World, mut effect: Effect) -> Option<Effect> {
        let given_up = world.given_up[usize::from(effect.branch)];
        match self.bug {
            Some(Bug::NeverAskedAgain) if given_up => return None,
            Some(Bug::TimeOutIsNo) if given_up && effect.operation == Operation::Commit => {
                effect.operation = Operation::Abort;
            }
            _ => {}
        }
        Some(effect)
    }

    pub fn gives_up(&self, operation: Operation) -> bool {
        let planted = matches!(self.bug, Some(Bug::NeverAskedAgain | Bug::TimeOutIsNo));
        planted && !operation.is_first_phase()
    }

    /// The answer that the core is told for a time-out.
    pub fn hears_of_time_out(&self, operation: Operation) -> Option<Answer> {
        match self.bug {
            Some(Bug::LostAttemptForgotten) if operation.is_first_phase() => None,
            Some(Bug::TimeOutIsDone) if !operation.is_first_phase() => Some(Answer::Done),
            _ => Some(Answer::unknown("lost")),
        }
    }

    /// The answers that the core is told of when one arrives.
    pub fn hears(
        &self,
        world: &World,
        branch: BranchIndex,
        operation: Operation,
        answer: Answer,
    ) -> Vec<(BranchIndex, Answer)> {
        match (self.bug, operation) {
            (Some(Bug::DeafToAcknowledgement), Operation::Commit) => Vec::new(),
            (Some(Bug::CommitOnAllButOneYes), Operation::Prepare) if answer == Answer::Done => {
                let mut heard = vec![(branch, answer)];
                let live = &world.live;
                let working = (0..).zip(live.branches()).filter(|(other, state)| {
                    *other != branch && live.branch_state(state) == PartState::Working
                });
                let working: Vec<BranchIndex> = working.map(|(other, _)| other).collect();
                if let [last] = working[..] {
                    heard.push((last, Answer::Done));
                }
                heard
            }
            _ => vec![(branch, answer)],
        }
    }
}
