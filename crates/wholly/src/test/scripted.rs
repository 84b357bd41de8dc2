//! A participant whose exchange with the coordinator may go wrong in any way, by script.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{BranchName, Payload, TransactionId};

use super::script::{Act, Calls, Script, Turn};
use super::steps::{StepStanding, Steps};
use crate::engine::Random;
use crate::participant::{AnswerFuture, Endpoint};

/// A handle of a participant of a [`Harness`](super::Harness): scripts what goes wrong, and shows
/// what happened. Clones are the same participant.
///
/// A call travels for up to three milliseconds of virtual time, as the seed has it, and arrives
/// even where the coordinator has given up or crashed since: the participant is another process.
#[derive(Clone)]
pub struct Scripted {
    shared: Arc<ScriptedState>,
}

/// The standing of a participant in a two-phase transaction, by its own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It has voted yes, and holds what the change needs.
    Prepared,
    /// It has made the change.
    Committed,
    /// It has not, holds nothing, and never will.
    Aborted,
    /// It had nothing to change.
    ReadOnly,
}

/// A call that arrived at a participant, and what was said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The operation.
    pub call: Call,
    /// The answer, whether or not it arrived.
    pub answer: Answer,
}

struct ScriptedState {
    endpoint: Arc<dyn Endpoint>,
    random: Arc<Mutex<Random>>,
    script: Mutex<Script>,
    /// The outputs of actions, by step.
    outputs: Mutex<HashMap<String, Payload>>,
    seen: Mutex<Seen>,
    on_their_way: watch::Sender<usize>,
}

#[derive(Default)]
struct Seen {
    received: Vec<Received>,
    standings: BTreeMap<TransactionId, Standing>,
    steps: Steps,
    /// Refusals and read-only votes that the script said, which are to be repeated.
    voted: BTreeMap<(TransactionId, BranchName), Answer>,
}

impl Scripted {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>, random: Arc<Mutex<Random>>) -> Self {
        let shared = ScriptedState {
            endpoint,
            random,
            script: Mutex::default(),
            outputs: Mutex::default(),
            seen: Mutex::default(),
            on_their_way: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Scripts the `n`-th call of an operation, from 0, counting every attempt of every
    /// transaction. A saga's operations have names of their own:
    /// `nth("reserve", 0, Act::Refuse)`.
    pub fn nth(&self, calls: impl Into<Calls>, n: u64, act: Act) -> &Self {
        lock(&self.shared.script).nth(calls.into(), n, act);
        self
    }

    /// Scripts every call of an operation.
    pub fn always(&self, calls: impl Into<Calls>, act: Act) -> &Self {
        lock(&self.shared.script).always(calls.into(), act);
        self
    }

    /// The output of this step's action, each time that the participant says it is done and gives
    /// none itself.
    ///
    /// # Panics
    /// When it has no form in JSON, or is longer than [`Payload::LIMIT`].
    pub fn output<T: Serialize + ?Sized>(&self, step: &str, output: &T) -> &Self {
        let output = Payload::of(output).unwrap_or_else(|why| panic!("{why}"));
        lock(&self.shared.outputs).insert(step.to_owned(), output);
        self
    }

    /// Ends the script: from now on all goes well.
    pub fn behave(&self) {
        lock(&self.shared.script).clear();
    }

    /// The calls that arrived, in their order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.seen().received.clone()
    }

    /// The number of times that this operation arrived.
    pub fn count(&self, calls: impl Into<Calls>) -> usize {
        let calls = calls.into();
        self.shared.seen().received.iter().filter(|r| calls.include(&r.call)).count()
    }

    /// Its standing in a two-phase transaction; `None` if it did nothing for it.
    pub fn standing(&self, id: TransactionId) -> Option<Standing> {
        self.shared.seen().standings.get(&id).copied()
    }

    /// Its standing in a saga's step; `None` if it did nothing for it.
    pub fn step(&self, id: TransactionId, step: &str) -> Option<StepStanding> {
        self.shared.seen().steps.standing(id, step)
    }

    /// Every step of a saga for which it did anything.
    pub(super) fn steps(&self, id: TransactionId) -> Vec<BranchName> {
        self.shared.seen().steps.of(id)
    }

    /// Every transaction for which it did anything.
    pub fn transactions(&self) -> Vec<TransactionId> {
        let seen = self.shared.seen();
        let all = seen.standings.keys().copied().chain(seen.steps.transactions());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Waits until every call that left has arrived.
    pub(super) async fn all_arrived(&self) {
        // The sender is here, so the wait cannot fail.
        let _ = self.shared.on_their_way.subscribe().wait_for(|calls| *calls == 0).await;
    }

    async fn act(&self, call: Call) -> Answer {
        let turn = lock(&self.shared.script).next(&call);
        assert!(!turn.panics, "scripted: {} panics", call.branch);
        if turn.hangs {
            return pending().await;
        }
        if turn.loses_request {
            sleep(self.shared.travel()).await;
            return Answer::unknown("scripted: the call was lost");
        }
        if let Some(after) = turn.again_after {
            self.send(call.clone(), turn.clone(), turn.late + after);
        }
        let answer = self.send(call, turn.clone(), turn.late).await;
        sleep(self.shared.travel() + turn.late_answer).await;
        match answer {
            Ok(answer) if !turn.loses_answer => answer,
            Ok(_) => Answer::unknown("scripted: the answer was lost"),
            Err(_) => Answer::unknown("the participant panicked"),
        }
    }

    /// Lets a call travel. It arrives, whoever has stopped to wait for it.
    fn send(&self, call: Call, turn: Turn, delay: Duration) -> oneshot::Receiver<Answer> {
        let (to, answer) = oneshot::channel();
        let shared = self.shared.clone();
        let underway = Underway::begin(shared.clone());
        tokio::spawn(async move {
            sleep(delay + shared.travel()).await;
            // The caller may be gone.
            let _ = to.send(shared.receive(call, turn.says).await);
            drop(underway);
        });
        answer
    }
}

impl Endpoint for Scripted {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        Box::pin(self.act(call))
    }

    fn offers_one_phase(&self) -> bool {
        self.shared.endpoint.offers_one_phase()
    }
}

impl ScriptedState {
    async fn receive(&self, call: Call, says: Option<Act>) -> Answer {
        let answer = match self.say(&call, says.as_ref()) {
            Some(answer) => answer,
            None if says == Some(Act::Heuristic) => self.end_the_other_way(&call).await,
            None => self.with_output(&call, self.endpoint.call(call.clone()).await),
        };
        let mut seen = self.seen();
        seen.note(&call, &answer);
        seen.received.push(Received { call, answer: answer.clone() });
        drop(seen);
        answer
    }

    async fn end_the_other_way(&self, call: &Call) -> Answer {
        let operation = match call.operation {
            Operation::Commit => Operation::Abort,
            Operation::Abort => Operation::Commit,
            // There is no other way.
            _ => return self.with_output(call, self.endpoint.call(call.clone()).await),
        };
        match self.endpoint.call(Call { operation, ..call.clone() }).await {
            Answer::Done => Answer::heuristic("scripted"),
            answer => answer,
        }
    }

    fn with_output(&self, call: &Call, answer: Answer) -> Answer {
        match (call.operation, lock(&self.outputs).get(call.branch.as_str())) {
            (Operation::Action, Some(output)) if answer == Answer::Done => {
                Answer::DoneWith { output: output.clone() }
            }
            _ => answer,
        }
    }

    /// The script's answer in the participant's place, if it has one.
    fn say(&self, call: &Call, says: Option<&Act>) -> Option<Answer> {
        let mut seen = self.seen();
        let first_phase = call.operation.is_first_phase();
        let branch = (call.transaction, call.branch.clone());
        if let Some(voted) = seen.voted.get(&branch) {
            match (first_phase, voted) {
                (true, voted) => return Some(voted.clone()),
                (false, Answer::ReadOnly) => return Some(Answer::Done),
                (false, _) => {}
            }
        }
        let has_answered = match call.operation {
            Operation::Action => seen.steps.standing(branch.0, branch.1.as_str()).is_some(),
            _ => seen.standings.contains_key(&call.transaction),
        };
        let vote = match says? {
            Act::Pending => return Some(Answer::pending(None)),
            Act::Refuse if !first_phase => return Some(Answer::refused("scripted")),
            Act::Refuse if !has_answered => Answer::refused("scripted"),
            Act::ReadOnly
                if !has_answered && first_phase && call.operation != Operation::Action =>
            {
                Answer::ReadOnly
            }
            _ => return None,
        };
        seen.voted.insert(branch, vote.clone());
        Some(vote)
    }

    fn travel(&self) -> Duration {
        Duration::from_millis(lock(&self.random).next() % 4)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Seen {
    /// Notes the participant's standing by an answer.
    fn note(&mut self, call: &Call, answer: &Answer) {
        use Operation::{Abort, Commit, CommitOnePhase, Prepare};
        self.steps.note(call, answer);
        let before = self.standings.get(&call.transaction);
        let now = match (call.operation, answer) {
            // A repeated answer to prepare takes nothing back.
            (Prepare, Answer::Done) if before == Some(&Standing::Committed) => return,
            (Prepare, Answer::Done) => Standing::Prepared,
            (Prepare | CommitOnePhase, Answer::ReadOnly) => Standing::ReadOnly,
            (Prepare | CommitOnePhase, Answer::Refused { .. }) if before.is_none() => {
                Standing::Aborted
            }
            (Commit | Abort, Answer::Done) if before == Some(&Standing::ReadOnly) => return,
            (Commit | CommitOnePhase, Answer::Done) | (Abort, Answer::Heuristic { .. }) => {
                Standing::Committed
            }
            (Abort, Answer::Done) | (Commit, Answer::Heuristic { .. }) => Standing::Aborted,
            _ => return,
        };
        self.standings.insert(call.transaction, now);
    }
}

/// A call on its way; dropped where it ends, also by a panic.
struct Underway(Arc<ScriptedState>);

impl Underway {
    fn begin(shared: Arc<ScriptedState>) -> Self {
        shared.on_their_way.send_modify(|calls| *calls += 1);
        Self(shared)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.on_their_way.send_modify(|calls| *calls -= 1);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of a test must not turn into another one here.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
