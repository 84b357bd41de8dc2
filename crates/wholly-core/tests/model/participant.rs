//! The participant's half of the protocol, as one branch sees it.

use wholly_core::two_phase::Decision;
use wholly_core::wire::{Answer, Operation};

/// The memory that a participant has of its branch. All of it is durable: a participant that
/// crashes loses its answer and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// A barrier (design.md 15): the first answer is repeated, an abort that comes first wins.
    Barrier,
    /// Only that it is prepared and how it ended. A refusal and a read-only vote leave no trace, so
    /// that the next attempt may be answered otherwise: the reason why the coordinator does not
    /// believe them while another attempt is unanswered.
    Forgetful,
    /// Planted bug: a barrier that lets a late prepare in after the abort.
    NoAbortMarker,
}

/// A participant's answer to the first phase, where it is free to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Says {
    Yes,
    ReadOnly,
    No,
}

/// The state of its branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    Nothing,
    Refused,
    ReadOnly,
    Prepared,
    /// Ended as it was told; in one phase, as it decided.
    Ended(Decision),
    /// Ended on its own.
    Heuristic(Decision),
}

/// One participant, with its one branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    pub holds: Holds,
    /// It has said yes, or that it changed nothing. Not part of it: kept for the properties.
    pub agreed: bool,
    /// It has said that it changed nothing. Not part of it: kept for the properties.
    pub read_only: bool,
    /// It was told to commit without holding it. Not part of it: kept for the properties.
    pub misled: bool,
}

impl Participant {
    pub const NEW: Self =
        Self { holds: Holds::Nothing, agreed: false, read_only: false, misled: false };

    /// True if an attempt at `operation` would be answered as it likes.
    pub fn is_free(&self, operation: Operation, memory: Memory) -> bool {
        let reopened = memory == Memory::NoAbortMarker
            && operation == Operation::Prepare
            && self.holds == Holds::Ended(Decision::Aborted);
        operation.is_first_phase() && (self.holds == Holds::Nothing || reopened)
    }

    /// Takes one request; `says` is its vote where it is free.
    pub fn handle(&mut self, operation: Operation, says: Says, memory: Memory) -> Answer {
        if self.is_free(operation, memory) {
            return self.vote(operation, says, memory);
        }
        match operation {
            Operation::Prepare | Operation::CommitOnePhase => self.repeat(),
            Operation::Commit => self.end(Decision::Committed),
            Operation::Abort => self.end(Decision::Aborted),
            Operation::Action | Operation::Compensation => unreachable!("no saga here"),
        }
    }

    fn vote(&mut self, operation: Operation, says: Says, memory: Memory) -> Answer {
        let remembers = |holds| if memory == Memory::Forgetful { Holds::Nothing } else { holds };
        let (holds, answer) = match (says, operation) {
            (Says::No, _) => (remembers(Holds::Refused), refused()),
            (_, Operation::CommitOnePhase) => (Holds::Ended(Decision::Committed), Answer::Done),
            (Says::ReadOnly, _) => (remembers(Holds::ReadOnly), Answer::ReadOnly),
            (Says::Yes, _) => (Holds::Prepared, Answer::Done),
        };
        self.holds = holds;
        self.agreed |= says != Says::No;
        self.read_only |= says == Says::ReadOnly;
        answer
    }

    /// The answer to the first phase where there was one before, or where the branch has ended.
    fn repeat(&self) -> Answer {
        match self.holds {
            Holds::Nothing | Holds::Refused | Holds::Ended(Decision::Aborted) => refused(),
            Holds::ReadOnly => Answer::ReadOnly,
            Holds::Prepared | Holds::Ended(Decision::Committed) | Holds::Heuristic(_) => {
                Answer::Done
            }
        }
    }

    fn end(&mut self, decision: Decision) -> Answer {
        match self.holds {
            Holds::Ended(ended) | Holds::Heuristic(ended) if ended != decision => {
                // A participant that has not decided alone may never be told both.
                self.misled |= decision == Decision::Committed && self.holds == Holds::Ended(ended);
                Answer::heuristic("ended")
            }
            Holds::Ended(_) | Holds::Heuristic(_) => Answer::Done,
            _ if decision == Decision::Committed && !self.may_commit() => {
                self.misled = true;
                Answer::unknown("lost")
            }
            _ => {
                self.holds = Holds::Ended(decision);
                Answer::Done
            }
        }
    }

    /// Nothing changed is nothing to commit, and counts as committed.
    fn may_commit(&self) -> bool {
        self.holds == Holds::Prepared || self.read_only
    }

    /// The way its part ended, as far as it can be told.
    pub fn ended(&self) -> Option<Decision> {
        match self.holds {
            Holds::Ended(decision) => Some(decision),
            Holds::Refused => Some(Decision::Aborted),
            _ => None,
        }
    }
}

fn refused() -> Answer {
    Answer::refused("no")
}
