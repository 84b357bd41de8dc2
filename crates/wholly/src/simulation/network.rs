//! The network between the coordinator and its participants.
//!
//! A request is delivered, late, twice or not at all; its answer likewise. The coordinator hears
//! exactly one end of each attempt: an answer, or its time-out. Requests outlive the coordinator
//! that sent them; answers do not.

use std::collections::HashMap;

use wholly_core::two_phase::Record;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{TransactionId, entry};

use super::world::{Bug, Event, World};
use crate::participant::slots::{Answered, Attempt};

/// Every attempt that was ever made.
#[derive(Default)]
pub struct Attempts {
    made: HashMap<u64, Made>,
    waiting: u64,
    on_the_network: u64,
}

struct Made {
    call: Call,
    branch: u16,
    life: u64,
    ended: bool,
}

impl Attempts {
    pub fn none_on_its_way(&self) -> bool {
        self.waiting == 0 && self.on_the_network == 0
    }
}

impl World {
    /// The loop sends a call.
    pub fn call(&mut self, attempt: Attempt) {
        let Attempt { mut call, branch, timeout } = attempt;
        self.check_durable(&call);
        self.planted_call(&mut call, branch);
        // What forgets its no cannot know a request that comes twice from two requests.
        let remembers = self
            .participants
            .iter()
            .any(|p| p.name.as_str() == call.branch.as_str() && !p.forgetful);
        let number = self.attempts.made.len() as u64;
        self.note(|| {
            format!("call {number}: {} {} {}", call.branch, call.operation, call.transaction)
        });
        self.seen.one_phase += u64::from(call.operation == Operation::CommitOnePhase);
        let life = self.lives;
        self.attempts.made.insert(number, Made { call, branch, life, ended: false });
        self.attempts.waiting += 1;
        self.at(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Event::TimeOut(number));
        let faulty = self.now < self.faults_until;
        if faulty && self.chance(8) {
            self.seen.lost_calls += 1;
            return;
        }
        self.travel(number, faulty);
        if faulty && remembers && self.chance(5) {
            self.seen.duplicates += 1;
            self.travel(number, faulty);
        }
    }

    fn travel(&mut self, number: u64, faulty: bool) {
        let slow = faulty && self.chance(8);
        let delay = self.below(if slow { 6_000 } else { 20 });
        self.attempts.on_the_network += 1;
        self.at(delay, Event::Deliver(number));
    }

    /// A request arrives at its participant.
    pub fn deliver(&mut self, number: u64) {
        self.attempts.on_the_network -= 1;
        let made = &self.attempts.made[&number];
        self.seen.late_calls += u64::from(made.ended);
        let call = made.call.clone();
        let Some(who) =
            self.participants.iter().position(|p| p.name.as_str() == call.branch.as_str())
        else {
            return;
        };
        if self.participants[who].down || self.participants[who].cut {
            return;
        }
        let now = self.time();
        let answer = self.participants[who].take(&call, now, &mut self.random);
        if let Some(wrong) = self.participants[who].wrong.take() {
            self.wrong = Some(format!("{}: {wrong}", call.branch));
        }
        self.note(|| {
            format!("{} {} {}: {answer:?}", call.branch, call.operation, call.transaction)
        });
        let faulty = self.now < self.faults_until;
        if faulty && self.chance(8) {
            return;
        }
        let delay = self.below(20);
        self.at(delay, Event::Reply(number, answer));
    }

    pub fn answer_arrives(&mut self, number: u64, answer: Answer) {
        self.seen.read_only += u64::from(answer == Answer::ReadOnly);
        self.seen.heuristics += u64::from(matches!(answer, Answer::Heuristic { .. }));
        self.end(number, answer);
    }

    pub fn time_out(&mut self, number: u64) {
        self.end(number, Answer::unknown("timed out"));
    }

    fn end(&mut self, number: u64, answer: Answer) {
        let lives = self.lives;
        let Some(made) = self.attempts.made.get_mut(&number) else { return };
        if std::mem::replace(&mut made.ended, true) {
            return;
        }
        self.attempts.waiting -= 1;
        if made.life != lives || self.life.is_none() {
            return;
        }
        let (branch, Call { transaction, operation, .. }) = (made.branch, made.call.clone());
        let lost = matches!(answer, Answer::Unknown { .. });
        self.seen.fences +=
            u64::from(operation == Operation::Abort && self.is_undecided(transaction));
        // This mutant claims that what was lost never left.
        let sent = !(lost && self.bug == Some(Bug::NoBelievedAfterALostAttempt));
        self.planted_answer(transaction, branch, operation, lost);
        self.answered(Answered { transaction, branch, operation, answer, sent });
    }

    fn is_undecided(&self, id: TransactionId) -> bool {
        self.durable_records(id).is_some_and(|records| {
            !records.iter().any(|r| matches!(r, Record::Committed | Record::Aborted(_)))
                && matches!(&records[0], Record::Started(started) if started.one_phase)
        })
    }

    /// What the log holds of a transaction.
    pub fn durable_records(&self, id: TransactionId) -> Option<Vec<Record>> {
        let stored = self.life.as_ref()?.reader.history(id).ok()??;
        let records =
            stored.entries.iter().flat_map(|e| entry::decode(&e.text).unwrap_or_default());
        Some(records.map(|(_, record)| record).collect())
    }

    /// INVARIANT: no effect leaves before its record is durable.
    fn check_durable(&mut self, call: &Call) {
        if self.bug == Some(Bug::EffectsBeforeTheSync) {
            // What follows from this one is to be caught by its consequences.
            return;
        }
        let records = self.durable_records(call.transaction).unwrap_or_default();
        let allowed = match call.operation {
            Operation::Commit => records.contains(&Record::Committed),
            _ => matches!(records.first(), Some(Record::Started(_))),
        };
        if !allowed {
            self.wrong = Some(format!(
                "{} of {} left before its record was durable",
                call.operation, call.transaction
            ));
        }
    }
}
