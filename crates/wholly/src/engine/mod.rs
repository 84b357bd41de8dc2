//! The one loop, without its I/O.
//!
//! [`Engine`] is fed inputs and polled for what is to be done about them: a batch to append, calls
//! to send, keys to look up, replies to give. It waits for nothing itself, so the driver runs it
//! on real time and a real log, and the simulation on simulated ones.
//!
//! ```text
//!   submit, cancel, resolve     answers of participants     time       "batch N is durable"
//!            └──────────────────────┬───────────────────────┘                  │
//!                                   ▼                                          ▼
//!          core decides ──▶ records ──▶ the batch being gathered ──▶ one batch being written
//!                                   │                                          │
//!                     not forced: at once          forced: when their batch is durable
//!                                   └─────────────────┬────────────────────────┘
//!                                                     ▼
//!                                     calls, replies (`advance`)
//! ```
//!
//! INVARIANT: nothing that follows from a forced record leaves before its batch is durable. A
//! transaction's gate ([`group_commit`]) is the batch with its last forced record; while that one is
//! not durable, the transaction sends nothing and answers nobody.
//!
//! INVARIANT: a decision is told only when its record is durable ([`Engine::tell`]), also where it is
//! not forced. Calls may rest on such a one, for a restart comes to the same: an abort is presumed,
//! and who committed in one phase will say so again. A saga's calls may rest on a step that is not
//! known to be done after a restart, which then counts as lost what may have been asked. An answer may rest on acknowledgements that are
//! not durable: each branch will give its own again.
//!
//! INVARIANT: at most one attempt of a branch or step is on its way, so that "an attempt was lost" is all
//! that needs to be known of those before it.
//!
//! INVARIANT: at most one batch is being written; the next is gathered meanwhile.

mod advance;
mod backoff;
mod end;
mod group_commit;
mod heard;
mod keys;
mod labels;
mod load;
mod messages;
mod oldest;
mod open;
mod other_key;
mod quarantine;
mod records;
mod recover;
mod room;
mod stuck;
mod submit;
mod targets;
mod unloaded;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wholly_core::wire::Answer;
use wholly_core::{
    self as core, BranchName, BrokenInvariant, Ended, Key, LogId, Now, Target, Timestamp,
    Transaction, TransactionId,
};

pub use backoff::Backoff;
pub(crate) use backoff::Random;
pub(crate) use group_commit::{Batch, PendingEntry};
pub(crate) use load::Load;
pub(crate) use messages::{InMemory, Input, Minted, Outputs, Progress, QuarantineChange, Reply};
pub(crate) use other_key::{Lookup, OtherKey};
pub(crate) use stuck::StuckChange;
pub(crate) use submit::{NewTransaction, Wait};
pub(crate) use targets::Terms;

use crate::Settings;
use crate::error::{CancelError, ResolveError, SubmitError};
use crate::log::Position;
use crate::meter::Meter;
use crate::participant::Answered;
use group_commit::{Entries, GroupCommit};
use heard::Causes;
use keys::KeyState;
use oldest::Oldest;
use open::{Attempts, Open, OpenState, Waiter};
use room::Room;
use targets::Targets;
use unloaded::Unloaded;

/// The loop's state. `W` is where a reply goes.
pub(crate) struct Engine<W> {
    settings: Settings,
    identity: LogId,
    last_ordinal: u64,
    random: Random,
    targets: Targets,
    /// Hashed fast: nobody outside chooses an id.
    open: FxHashMap<TransactionId, Open<W>>,
    keys: HashMap<Key, KeyState<W>>,
    unloaded: Unloaded<W>,
    room: Room,
    timers: BTreeSet<(Timestamp, TransactionId)>,
    /// The batches, with the replies that wait until one is durable.
    commit: GroupCommit<(Reply, W)>,
    /// Who became stuck or no longer is, and with which batch that is durable.
    stuck_changes: Vec<(Position, StuckChange)>,
    undecided: Oldest,
    unsettled: Oldest,
    meter: Arc<Meter>,
    /// Transactions that were quarantined or no longer are, and the batch with which that is durable.
    quarantine_changes: Vec<(Position, QuarantineChange)>,
    causes: Causes,
    draining: bool,
    outputs: Outputs<W>,
}

impl<W> Engine<W> {
    /// Takes an input.
    pub fn handle(&mut self, input: Input<W>, now: Timestamp) {
        let Some(input) = self.for_unloaded(input) else { return };
        match input {
            Input::Submit { submission, wait, to } => self.submit(submission, wait, to, now),
            Input::Found { key, found } => self.found(key, found, now),
            Input::Answered(answered) => self.answered(answered, now),
            Input::Await { id, until, to } => self.wait(id, Wait::Settled { until }, to, now),
            Input::Cancel { id, reason, to } => {
                self.cancel(id, &reason, to, now);
            }
            Input::End { id, reason, sequence, to } => {
                self.end(id, reason, sequence, to, now);
            }
            Input::Resolve { id, branch, ended, reason, to } => {
                self.resolve(id, &branch, ended, &reason, to, now);
            }
            Input::Retry { id, to } => self.retry(id, to, now),
            Input::Release { id, reason, to } => self.release(id, &reason, to, now),
            Input::Inspect { id, to } => {
                let known = self.in_memory(id);
                self.reply(to, Reply::Inspected(known));
            }
            Input::Register { target, terms } => self.register(target, terms, now),
            Input::Loaded(loaded) => self.loaded(loaded, now),
            Input::Durable(position) => self.made_durable(position, now),
            Input::Drain => self.draining = true,
        }
    }

    /// What is to be done now; also whatever time alone brings about.
    pub fn poll(&mut self, now: Timestamp) -> Outputs<W> {
        self.go_on_after_written(now);
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(open) = self.open.get_mut(&id) {
                open.wake = None;
            }
            self.step(id, &core::Input::Time, now);
            self.advance(id, now);
        }
        self.look_at_unloaded(now);
        self.write_overdue(now);
        self.start_batch(now);
        self.tell_stuck();
        self.tell_quarantined();
        self.measure();
        std::mem::replace(&mut self.outputs, Outputs::new())
    }

    /// When to poll even if no input comes.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let timer = self.timers.first().map(|&(at, _)| at);
        let unloaded = self.unloaded.next_wake(now);
        timer.into_iter().chain(self.commit.next_wake()).chain(unloaded).min()
    }

    /// The next batch, ahead of all else that [`Engine::poll`] will say.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.outputs.append.take()
    }

    fn measure(&mut self) {
        if !self.meter.runs() {
            return;
        }
        let open = &self.open;
        let undecided = self.undecided.first(|id| is_undecided(open, id));
        let unsettled = self.unsettled.first(|id| open.contains_key(&id));
        let unsettled = unsettled.into_iter().chain(self.unloaded.oldest()).min();
        self.meter.holds(self.in_flight(), undecided, unsettled);
        self.meter.takes(self.room.used(), self.room.limit(), self.unloaded.count());
    }

    /// A transaction is here: a new one, or one that was loaded.
    fn keep(&mut self, id: TransactionId, new: Open<W>) {
        self.open.insert(id, new);
        let open = &self.open;
        self.undecided.push(id, |id| is_undecided(open, id));
        self.unsettled.push(id, |id| open.contains_key(&id));
    }

    /// How many transactions have not ended.
    pub fn in_flight(&self) -> usize {
        self.open.len() + self.unloaded.count()
    }

    /// How many of them are in the log alone.
    pub fn unloaded(&self) -> usize {
        self.unloaded.count()
    }

    /// Whether the log has a batch.
    pub fn is_writing(&self) -> bool {
        self.commit.is_writing()
    }

    /// Whether nothing is on its way to the log.
    pub fn is_flushed(&self) -> bool {
        self.commit.is_flushed()
    }

    /// The log has failed: tells every caller what it may know, and ends the loop's incarnation.
    pub fn fail(mut self, why: &str) -> Vec<(W, Reply)> {
        let mut replies = std::mem::take(&mut self.outputs.replies);
        let unavailable = || SubmitError::Unavailable { why: why.to_owned() };
        // In order, so that a simulated run repeats.
        let open: BTreeMap<_, _> = self.open.into_iter().collect();
        for (id, open) in open {
            for Waiter { wait, to } in open.waiters {
                replies.push((
                    to,
                    match wait {
                        // What was accepted goes on when the log is open again.
                        Wait::Settled { .. } if self.commit.may_leave(&open.entries) => {
                            Reply::Outcome(open.part.unsettled(id))
                        }
                        _ => Reply::NotAccepted(unavailable()),
                    },
                ));
            }
        }
        let (unloaded, wanted) = self.unloaded.fail();
        replies.extend(unloaded);
        let wanted = wanted.into_iter().filter_map(Input::into_caller);
        replies.extend(wanted.map(|to| (to, Reply::NotAccepted(unavailable()))));
        let keys: BTreeMap<_, _> = self.keys.into_iter().collect();
        for state in keys.into_values() {
            if let KeyState::LookingUp(queue) | KeyState::Ended(queue) = state {
                let refuse = |(_, _, to)| (to, Reply::NotAccepted(unavailable()));
                replies.extend(queue.into_iter().map(refuse));
            }
        }
        let refuse = |(reply, to)| match reply {
            // It was accepted, and goes on: how it ended is told when that is durable.
            Reply::Outcome(outcome) => (to, Reply::Outcome(outcome.not_settled())),
            _ => (to, Reply::NotAccepted(unavailable())),
        };
        replies.extend(self.commit.into_waiting().map(refuse));
        replies
    }

    fn in_memory(&self, id: TransactionId) -> InMemory {
        let is_unloaded = self.unloaded.has(id);
        match self.open.get(&id) {
            Some(open @ Open { part: OpenState::Live(transaction), quarantined: false, .. }) => {
                let attempts = self.attempts_at(open, transaction);
                InMemory { awaiting: self.awaiting(transaction), attempts, is_unloaded }
            }
            Some(_) | None => InMemory { is_unloaded, ..InMemory::default() },
        }
    }

    /// Unregistered targets that a transaction awaits.
    fn awaiting(&self, transaction: &Transaction) -> Vec<Target> {
        let requests = transaction.effects().filter_map(|effect| transaction.request(effect));
        let missing: BTreeSet<Target> = requests
            .map(|request| request.target)
            .filter(|target| !self.targets.has(target))
            .collect();
        missing.into_iter().collect()
    }

    fn reply(&mut self, to: W, reply: Reply) {
        self.outputs.replies.push((to, reply));
    }

    fn register(&mut self, target: Target, terms: Terms, now: Timestamp) {
        if self.targets.register(target.clone(), terms, &self.meter) {
            self.give_up_calls_of(&target, now);
        }
        self.unloaded.all_are_due();
        // What awaits it: the order does not matter to the protocol, but to a replay.
        let mut awaiting: Vec<_> = self.open.keys().copied().collect();
        awaiting.sort_unstable();
        for id in awaiting {
            self.advance(id, now);
        }
    }

    /// The calls of who was replaced went with them: nobody will answer.
    fn give_up_calls_of(&mut self, target: &Target, now: Timestamp) {
        let mut lost = Vec::new();
        for (&transaction, open) in &self.open {
            let OpenState::Live(of) = &open.part else { continue };
            for (branch, attempts) in (0..).zip(&open.attempts) {
                if let Some(operation) = attempts.on_its_way
                    && of.target(branch).as_ref() == Some(target)
                {
                    let answer = Answer::unknown("whom it was asked was replaced meanwhile");
                    let sent = true;
                    lost.push(Answered { transaction, branch, operation, answer, sent });
                }
            }
        }
        // In order, so that a simulated run repeats.
        lost.sort_unstable_by_key(|answered| (answered.transaction, answered.branch));
        for answered in lost {
            self.answered(answered, now);
        }
    }

    fn answered(&mut self, answered: Answered, now: Timestamp) {
        let Answered { transaction: id, branch, operation, ref answer, sent } = answered;
        let Some(open) = self.open.get_mut(&id) else { return };
        let OpenState::Live(transaction) = &open.part else { return };
        let Some(attempts) = open.attempts.get_mut(usize::from(branch)) else { return };
        if attempts.on_its_way != Some(operation) {
            return;
        }
        attempts.on_its_way = None;
        let tries = attempts.tries;
        if let Answer::Unknown { reason, .. } = answer {
            let who = transaction.target(branch).map(tracing::field::debug);
            tracing::debug!(transaction = %id, who, branch, tries, "a call was not answered: {reason}");
        }
        let pauses = self.settings.backoff.or(transaction.retry(branch));
        let unanswered = tries.saturating_add(attempts.unsent);
        let pause = self.random.pause_after(answer, &pauses, unanswered);
        attempts.not_before = Some(now + pause);
        // What never left cannot have been lost.
        if !sent {
            attempts.tries = tries.saturating_sub(1);
            // Those that wait for one that hangs may be many.
            attempts.unsent = attempts.unsent.saturating_add(1);
            return self.advance(id, now);
        }
        attempts.unsent = 0;
        self.heard(&answered, pause, now);
        let Answered { answer, .. } = answered;
        let exhausted = tries >= self.settings.stuck_after_tries;
        let answered = core::Answered { branch, operation, answer, tries, exhausted };
        self.step(id, &core::Input::Answered(answered), now);
        self.advance(id, now);
    }

    /// Lets the core take an input, and keeps what it records.
    fn step(&mut self, id: TransactionId, input: &core::Input, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id).filter(|open| !open.quarantined) else { return };
        let last_answers = open.last_answers(now);
        let OpenState::Live(transaction) = &mut open.part else { return };
        match transaction.step(input, Now { at: now, last_answers: &last_answers }) {
            Ok(records) => self.record(id, records, now),
            Err(broken) => self.quarantine(id, &broken, now),
        }
    }

    /// A broken law stops one transaction, never the others.
    fn quarantine(&mut self, id: TransactionId, broken: &BrokenInvariant, now: Timestamp) {
        tracing::error!(transaction = %id, "{broken}; the transaction is quarantined");
        if let Some(open) = self.open.get_mut(&id) {
            open.part = OpenState::Unusable;
            self.note_quarantined(id, Some(&broken.to_string()));
        }
        self.count_owed(id);
        self.note_stuck(id, now);
    }

    fn wait(&mut self, id: TransactionId, wait: Wait, to: W, now: Timestamp) {
        match self.open.get_mut(&id) {
            Some(open) => {
                open.waiters.push(Waiter { wait, to });
                self.advance(id, now);
            }
            None => self.reply(to, Reply::NotOpen),
        }
    }

    fn cancel(&mut self, id: TransactionId, reason: &str, to: W, now: Timestamp) {
        let cancelled = match self.open.get_mut(&id) {
            Some(Open { quarantined: true, .. }) => {
                return self.cancel_quarantined(id, reason, to, now);
            }
            Some(Open { part: OpenState::Live(transaction), .. }) => {
                transaction.cancel(reason, now)
            }
            Some(_) => return self.reply(to, Reply::NotCancelled(CancelError::Quarantined { id })),
            None => return self.reply(to, Reply::NotOpen),
        };
        match cancelled {
            Ok(records) => {
                self.record(id, records, now);
                self.wait(id, Wait::Recorded, to, now);
            }
            Err(error) => {
                if let Some(broken) = error.broken() {
                    self.quarantine(id, broken, now);
                }
                // That it is too late tells the decision.
                self.tell(id, Reply::NotCancelled(CancelError::from_core(id, error)), to, now);
            }
        }
    }

    fn resolve(
        &mut self,
        id: TransactionId,
        branch: &BranchName,
        ended: Ended,
        reason: &str,
        to: W,
        now: Timestamp,
    ) {
        let resolved = match self.open.get_mut(&id) {
            Some(Open { part: OpenState::Live(transaction), quarantined, .. }) => {
                // An index past the last branch is no branch.
                let index = transaction.branch_named(branch).unwrap_or(core::BranchIndex::MAX);
                match quarantined {
                    false => transaction.resolve(index, ended, reason, now),
                    true => transaction.resolve_quarantined(index, ended, reason),
                }
            }
            Some(_) => return self.reply(to, Reply::NotResolved(ResolveError::Quarantined { id })),
            None => return self.reply(to, Reply::NotOpen),
        };
        match resolved {
            Ok(records) => {
                self.record(id, records, now);
                self.wait(id, Wait::Recorded, to, now);
            }
            Err(error) => {
                if let Some(broken) = error.broken() {
                    self.quarantine(id, broken, now);
                }
                self.reply(to, Reply::NotResolved(ResolveError::from_core(id, error)));
            }
        }
    }

    fn retry(&mut self, id: TransactionId, to: W, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return self.reply(to, Reply::NotOpen) };
        if open.quarantined {
            return self.reply(to, Reply::NotResolved(ResolveError::Restored { id }));
        }
        for attempts in &mut open.attempts {
            attempts.not_before = None;
        }
        self.advance(id, now);
        self.reply(to, Reply::Done);
    }
}

/// Whether a transaction is here that may still go either way.
fn is_undecided<W>(open: &FxHashMap<TransactionId, Open<W>>, id: TransactionId) -> bool {
    match open.get(&id).map(|open| &open.part) {
        Some(OpenState::Live(transaction)) => transaction.view().state.is_undecided(),
        Some(OpenState::Unusable | OpenState::Ended) | None => false,
    }
}
