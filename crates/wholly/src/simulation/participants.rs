//! A simulated participant: durable, with the barrier's rules, and its effects in plain sight.

use std::collections::HashMap;
use std::time::Duration;

use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{ParticipantName, Timestamp, TransactionId};

use super::planted::Bug;
use super::wrong::{Check, Wrong};
use crate::engine::Random;

pub struct Participant {
    pub name: ParticipantName,
    pub one_phase: bool,
    /// It forgets a refusal and a read-only vote, and may vote otherwise the next time.
    pub forgetful: bool,
    pub down: bool,
    pub cut: bool,
    /// Its name does not resolve.
    pub name_fails: bool,
    /// It has moved, and calls go to its old address.
    pub moved: bool,
    pub branches: HashMap<TransactionId, Held>,
    /// The number of times that each transaction's change was made.
    pub applied: HashMap<TransactionId, u32>,
    pub wrong: Option<Wrong>,
    bug: Option<Bug>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Prepared,
    Committed,
    Aborted,
    Refused,
    ReadOnly,
}

impl Participant {
    pub fn new(name: &str, random: &mut Random, bug: Option<Bug>) -> Self {
        Self {
            name: ParticipantName::new(name).unwrap(),
            one_phase: random.next().is_multiple_of(2),
            forgetful: random.next().is_multiple_of(3),
            down: false,
            name_fails: false,
            moved: false,
            cut: false,
            branches: HashMap::new(),
            applied: HashMap::new(),
            wrong: None,
            bug,
        }
    }

    pub fn take(&mut self, call: &Call, now: Timestamp, random: &mut Random) -> Answer {
        if random.next().is_multiple_of(20) {
            let retry_after = random.next().is_multiple_of(2).then(|| Duration::from_millis(30));
            return Answer::pending(retry_after);
        }
        let id = call.transaction;
        let held = self.branches.get(&id).copied();
        let expired = call.expires.is_some_and(|at| now >= at);
        match call.operation {
            Operation::Prepare => match held {
                Some(Held::Prepared | Held::Committed) => Answer::Done,
                Some(Held::Aborted) if self.bug == Some(Bug::LatePrepareAcceptedAfterTheAbort) => {
                    self.vote(id, expired, random)
                }
                Some(Held::Aborted | Held::Refused) => Answer::refused("it was over before"),
                Some(Held::ReadOnly) => Answer::ReadOnly,
                None => self.vote(id, expired, random),
            },
            Operation::CommitOnePhase => match held {
                Some(Held::Committed) => Answer::Done,
                Some(_) => Answer::refused("it was over before"),
                None => match self.vote(id, expired, random) {
                    Answer::Refused { reason } => Answer::Refused { reason },
                    _ => self.apply(id),
                },
            },
            Operation::Commit => match held {
                Some(Held::Prepared) => self.apply(id),
                Some(Held::Committed | Held::ReadOnly) => Answer::Done,
                // A forgetful one was read-only.
                None if self.forgetful => {
                    self.branches.insert(id, Held::Committed);
                    Answer::Done
                }
                other => {
                    let what = format!("{} is to commit {id}, which is {other:?}", self.name);
                    self.wrong = Some(Wrong { check: Check::Agreement, what });
                    Answer::heuristic("it is not prepared")
                }
            },
            Operation::Abort => match held {
                Some(Held::Committed) => Answer::heuristic("it is committed"),
                _ => {
                    self.branches.insert(id, Held::Aborted);
                    Answer::Done
                }
            },
            Operation::Action | Operation::Compensation => Answer::unknown("a saga's step"),
        }
    }

    fn vote(&mut self, id: TransactionId, expired: bool, random: &mut Random) -> Answer {
        let (held, answer) = match random.next() % 12 {
            _ if expired => (Held::Refused, Answer::refused("it has expired")),
            0 | 1 => (Held::Refused, Answer::refused("no stock")),
            2 => (Held::ReadOnly, Answer::ReadOnly),
            _ => (Held::Prepared, Answer::Done),
        };
        if held == Held::Prepared || !self.forgetful {
            self.branches.insert(id, held);
        }
        answer
    }

    fn apply(&mut self, id: TransactionId) -> Answer {
        self.branches.insert(id, Held::Committed);
        *self.applied.entry(id).or_default() += 1;
        Answer::Done
    }
}
