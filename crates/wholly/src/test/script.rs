//! What a scripted participant is to do, and when.

use std::collections::HashMap;
use std::time::Duration;

use wholly_core::wire::Operation;

/// What a [`Scripted`](super::Scripted) participant, or the network before it, does with a call
/// instead of what is asked. Several for one call act together: late *and* refused, say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// Says no. To prepare or a one-phase commit only where it has not voted yet, and it stays
    /// that way; a refusal of commit or abort is not to be obeyed, and nothing is done.
    Refuse,
    /// Votes read-only, where it has not voted yet, and has no part in the second phase.
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

#[derive(Default)]
pub(super) struct Script {
    always: HashMap<Operation, Vec<Act>>,
    nth: HashMap<(Operation, u64), Vec<Act>>,
    calls: HashMap<Operation, u64>,
}

impl Script {
    pub fn always(&mut self, operation: Operation, act: Act) {
        self.always.entry(operation).or_default().push(act);
    }

    pub fn nth(&mut self, operation: Operation, n: u64, act: Act) {
        self.nth.entry((operation, n)).or_default().push(act);
    }

    pub fn clear(&mut self) {
        self.always.clear();
        self.nth.clear();
    }

    /// What is to be done with the next call of this operation.
    pub fn next(&mut self, operation: Operation) -> Turn {
        let calls = self.calls.entry(operation).or_default();
        let nth = self.nth.remove(&(operation, *calls)).unwrap_or_default();
        *calls += 1;
        let always = self.always.get(&operation).into_iter().flatten();
        let mut turn = Turn::default();
        always.chain(&nth).for_each(|act| turn.add(act));
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
