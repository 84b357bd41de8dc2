//! The network between the coordinator and its participants.
//!
//! A request is delivered, late, twice or not at all; its answer likewise. The coordinator hears
//! exactly one end of each attempt: an answer, or its time-out. Requests outlive the coordinator
//! that sent them; answers do not.

use std::collections::HashMap;

use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{Record, Target, TransactionId, entry, two_phase};

use super::participants::Participant;
use super::world::{World, WorldEvent};
use crate::participant::{Answered, Attempt};

/// Every attempt that was ever made.
#[derive(Default)]
pub struct Attempts {
    made: HashMap<u64, Made>,
    waiting: u64,
    on_the_network: u64,
}

struct Made {
    call: Call,
    /// The participant that is called.
    who: usize,
    /// The branch or step of the loop's; `None` if nobody waits for the answer.
    branch: Option<u16>,
    incarnation: u64,
    ended: bool,
}

impl Attempts {
    pub fn none_on_its_way(&self) -> bool {
        self.waiting == 0 && self.on_the_network == 0
    }
}

impl World {
    /// The loop sends a call.
    pub fn call(&mut self, target: &Target, attempt: Attempt) {
        let Attempt { mut call, branch, timeout } = attempt;
        let mut who = self.who(target);
        self.planted_call(&mut call, &mut who, branch);
        self.put_on_the_wall(&mut call);
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.leave(who, call, Some(branch), timeout);
    }

    /// A call leaves.
    pub fn leave(&mut self, who: usize, call: Call, branch: Option<u16>, timeout: u64) {
        self.must_be_whole(call.transaction, &format!("{} {} left", call.operation, call.branch));
        let checked = self.check_sent(&call);
        self.note_wrong(checked);
        let number = self.attempts.made.len() as u64;
        self.note(|| {
            format!("call {number}: {} {} {}", call.branch, call.operation, call.transaction)
        });
        self.seen.one_phase += u64::from(call.operation == Operation::CommitOnePhase);
        self.count_attempt(&call);
        let never_leaves = self.planted_silence(&call);
        let incarnation = self.incarnations;
        self.attempts.made.insert(number, Made { call, who, branch, incarnation, ended: false });
        self.attempts.waiting += 1;
        if never_leaves {
            return self.at(1, WorldEvent::Reply(number, Answer::Done));
        }
        self.at(timeout, WorldEvent::TimeOut(number));
        if self.finds_no_address(who, number) {
            return;
        }
        let faulty = self.now < self.faults_until;
        if faulty && self.chance(8) {
            self.seen.lost_calls += 1;
            return;
        }
        self.travel(number, faulty);
        // A participant that forgets its refusal cannot tell a request that comes twice from two.
        if faulty && !self.participants[who].forgetful && self.chance(5) {
            self.seen.duplicates += 1;
            self.travel(number, faulty);
        }
    }

    /// True if a call has nowhere to go: the name does not resolve, or its address is deserted.
    fn finds_no_address(&mut self, who: usize, number: u64) -> bool {
        let Participant { name_fails, moved, .. } = self.participants[who];
        let (after, why) = match (name_fails, moved) {
            (true, _) => (self.below(2_000), "its name did not resolve"),
            (false, true) => (self.below(5), "the connection was refused"),
            (false, false) => return false,
        };
        self.seen.unresolved_names += u64::from(name_fails);
        self.seen.calls_to_old_addresses += u64::from(!name_fails);
        self.at(after, WorldEvent::Reply(number, Answer::unknown(why)));
        true
    }

    fn count_attempt(&mut self, call: &Call) {
        let saga = self.ledger.sagas.get_mut(&call.transaction);
        let Some(saga) = saga.filter(|_| call.operation == Operation::Action) else { return };
        let Some(index) = saga.named(&call.branch) else { return };
        let step = &mut saga.steps[usize::from(index)];
        step.attempts += 1;
        step.given.get_or_insert_with(|| call.payload.clone());
    }

    fn travel(&mut self, number: u64, faulty: bool) {
        let slow = faulty && self.chance(8);
        let delay = self.below(if slow { 6_000 } else { 20 });
        self.attempts.on_the_network += 1;
        self.at(delay, WorldEvent::Deliver(number));
    }

    /// A request arrives at its participant.
    pub fn deliver(&mut self, number: u64) {
        self.attempts.on_the_network -= 1;
        let made = &self.attempts.made[&number];
        self.seen.late_calls += u64::from(made.ended);
        let (call, who) = (made.call.clone(), made.who);
        if self.participants[who].down || self.participants[who].cut {
            return;
        }
        let answer = match call.operation {
            Operation::Action | Operation::Compensation => self.take_step(who, &call),
            _ => {
                let now = self.wall();
                let answer = self.participants[who].take(&call, now, &mut self.random);
                let wrong = self.participants[who].wrong.take();
                self.note_wrong(wrong.map_or(Ok(()), Err));
                answer
            }
        };
        self.note(|| {
            format!("{} {} {}: {answer:?}", call.branch, call.operation, call.transaction)
        });
        let faulty = self.now < self.faults_until;
        if faulty && self.chance(8) {
            return;
        }
        let delay = self.below(20);
        self.at(delay, WorldEvent::Reply(number, answer));
    }

    pub fn answer_arrives(&mut self, number: u64, answer: Answer) {
        self.seen.read_only += u64::from(answer == Answer::ReadOnly);
        self.end(number, answer);
    }

    pub fn time_out(&mut self, number: u64) {
        self.end(number, Answer::unknown("timed out"));
    }

    fn end(&mut self, number: u64, answer: Answer) {
        let incarnations = self.incarnations;
        let Some(made) = self.attempts.made.get_mut(&number) else { return };
        if std::mem::replace(&mut made.ended, true) {
            return;
        }
        self.attempts.waiting -= 1;
        let Some(branch) = made.branch.filter(|_| made.incarnation == incarnations) else { return };
        if self.incarnation.is_none() {
            return;
        }
        let call = made.call.clone();
        self.count_answer(&call, &answer);
        let (answer, sent) = self.planted_answer(&call, branch, answer);
        let Call { transaction, operation, .. } = call;
        self.answered(Answered { transaction, branch, operation, answer, sent });
    }

    /// An answer reaches the loop.
    fn count_answer(&mut self, call: &Call, answer: &Answer) {
        let incarnation = self.incarnations;
        self.seen.fences +=
            u64::from(call.operation == Operation::Abort && self.is_undecided(call.transaction));
        let saga = self.ledger.sagas.get_mut(&call.transaction);
        let Some(saga) = saga.filter(|_| call.operation == Operation::Action) else { return };
        let Some(index) = saga.named(&call.branch) else { return };
        let step = &mut saga.steps[usize::from(index)];
        if matches!(answer, Answer::Refused { .. }) {
            step.refusal_heard = Some(incarnation);
            if step.attempts == 1 {
                step.refused_at_first = Some(incarnation);
            }
        }
    }

    fn is_undecided(&self, id: TransactionId) -> bool {
        use two_phase::Record::{Aborted, Committed, Started};
        self.durable_records(id).is_some_and(|records| {
            !records.iter().any(|r| matches!(r, Record::TwoPhase(Committed | Aborted(_))))
                && matches!(records.first(), Some(Record::TwoPhase(Started(started))) if started.one_phase)
        })
    }

    /// Returns the records of a transaction that the log holds.
    pub fn durable_records(&self, id: TransactionId) -> Option<Vec<Record>> {
        let stored = self.incarnation.as_ref()?.reader.history(id).ok()??;
        // Entries behind a damaged one are not shown.
        let entries = (0..).zip(&stored.entries).take_while(|(nth, e)| e.sequence == *nth);
        let records = entries.flat_map(|(_, e)| entry::decode(&e.text).unwrap_or_default());
        Some(records.map(|(_, record)| record).collect())
    }
}
