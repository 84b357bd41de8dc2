//! The script of a participant: its acts, and the calls that they meet.

use std::collections::HashMap;
use std::time::Duration;

use wholly_core::wire::{Call, Operation};

/// An act of a [`Scripted`](super::Scripted) participant, or of the network before it, in place of
/// what a call asks. Several for one call act together: late *and* refused, say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// Says no. To prepare, a one-phase commit or an action only where it has not answered yet, and
    /// it stays that way; a refusal of commit, abort or a compensation is not to be obeyed, and
    /// nothing is done.
    Refuse,
    /// To prepare or a one-phase commit: votes read-only, where it has not voted yet, and has no part in the second phase.
    ReadOnly,
    /// Says that it is still at it, and does nothing.
    Pending,
    /// To commit or abort: ends the branch the other way, and says so.
    Heuristic,
    /// Panics, and does nothing.
    Panic,
    /// Never answers, and does nothing.
    Hang,
    /// The call is lost on its way.
    LoseRequest,
    /// It does what is asked, and the answer is lost.
    LoseAnswer,
    /// The call arrives so much later, whether or not anybody still waits for it.
    Late(Duration),
    /// It does what is asked at once, and the answer arrives so much later.
    LateAnswer(Duration),
    /// The call arrives twice: now, and again so much later.
    Twice(Duration),
}

/// The calls of a [`Scripted`](super::Scripted) participant: all of an [`Operation`], or those
/// under one name, which for a saga is that of an action or a compensation of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calls(Which);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Which {
    Of(Operation),
    Named(String),
}

impl From<Operation> for Calls {
    fn from(operation: Operation) -> Self {
        Self(Which::Of(operation))
    }
}

impl From<&str> for Calls {
    fn from(name: &str) -> Self {
        Self(Which::Named(name.to_owned()))
    }
}

impl Calls {
    pub(super) fn include(&self, call: &Call) -> bool {
        match &self.0 {
            Which::Of(operation) => call.operation == *operation,
            Which::Named(name) => call.operation_name() == name,
        }
    }
}

#[derive(Default)]
pub(super) struct Script {
    always: HashMap<Calls, Vec<Act>>,
    nth: HashMap<(Calls, u64), Vec<Act>>,
    made: HashMap<Calls, u64>,
}

impl Script {
    pub fn always(&mut self, calls: Calls, act: Act) {
        self.always.entry(calls).or_default().push(act);
    }

    pub fn nth(&mut self, calls: Calls, n: u64, act: Act) {
        self.nth.entry((calls, n)).or_default().push(act);
    }

    pub fn clear(&mut self) {
        self.always.clear();
        self.nth.clear();
    }

    /// Returns the turn for this call, the next of its operation and of its name.
    pub fn next(&mut self, call: &Call) -> Turn {
        let mut turn = Turn::default();
        for calls in [Calls::from(call.operation), Calls::from(call.operation_name())] {
            let made = self.made.entry(calls.clone()).or_default();
            let n = std::mem::replace(made, *made + 1);
            self.always.get(&calls).into_iter().flatten().for_each(|act| turn.add(act));
            self.nth.remove(&(calls, n)).iter().flatten().for_each(|act| turn.add(act));
        }
        turn
    }
}

/// All that is to be done with one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub panics: bool,
    pub hangs: bool,
    pub loses_request: bool,
    pub loses_answer: bool,
    pub late: Duration,
    pub late_answer: Duration,
    pub again_after: Option<Duration>,
    /// `Refuse`, `ReadOnly`, `Pending` or `Heuristic`.
    pub says: Option<Act>,
}

impl Turn {
    fn add(&mut self, act: &Act) {
        match act {
            Act::Panic => self.panics = true,
            Act::Hang => self.hangs = true,
            Act::LoseRequest => self.loses_request = true,
            Act::LoseAnswer => self.loses_answer = true,
            Act::Late(by) => self.late += *by,
            Act::LateAnswer(by) => self.late_answer += *by,
            Act::Twice(after) => self.again_after = Some(*after),
            Act::Refuse | Act::ReadOnly | Act::Pending | Act::Heuristic => {
                self.says = Some(act.clone());
            }
        }
    }
}
