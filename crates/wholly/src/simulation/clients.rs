//! Clients that submit, ask, cancel and read, and retry by key when a connection breaks.

use wholly_core::two_phase::{Decision, Record, StartedBranch};
use wholly_core::{Key, Name, Payload, Timestamp, TransactionId, entry};

use super::world::{Bug, Caller, Event, World, connection_broke};
use crate::engine::{Input, Reply, Submission, Wait};
use crate::{Outcome, SubmitError};

/// How many transactions a client submits.
const TRANSACTIONS: u32 = 6;

#[derive(Default)]
pub struct Client {
    submitted: u32,
    /// The request whose reply is awaited.
    request: u64,
    doing: Doing,
    /// The key and what is submitted with it, for a retry.
    current: Option<Submission>,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Submitting,
    Following(TransactionId),
    Reading(TransactionId),
    Cancelling(TransactionId),
    Done,
}

/// What somebody was told of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Outcome(Decision),
    /// The history as it was read.
    History(Vec<Record>),
}

impl Client {
    pub fn is_done(&self) -> bool {
        matches!(self.doing, Doing::Done)
    }
}

impl World {
    /// A client does the next thing.
    pub fn client_acts(&mut self, who: usize) {
        match self.clients[who].doing {
            Doing::Nothing if self.clients[who].submitted >= TRANSACTIONS => {
                self.clients[who].doing = Doing::Done;
            }
            Doing::Nothing | Doing::Submitting => self.client_submits(who),
            Doing::Following(id) => {
                let until = self.soon();
                self.ask(who, |to| Input::Await { id, until, to });
            }
            Doing::Reading(id) => self.ask(who, |to| Input::Read { id, to }),
            Doing::Cancelling(id) => {
                let reason = "changed my mind".to_owned();
                self.ask(who, |to| Input::Cancel { id, reason, to });
            }
            Doing::Done => {}
        }
    }

    fn soon(&mut self) -> Timestamp {
        Timestamp::from_millis(self.now + 200 + self.below(3_000))
    }

    fn ask(&mut self, who: usize, input: impl FnOnce(Caller) -> Input<Caller>) {
        let client = &mut self.clients[who];
        client.request += 1;
        let to = (who, client.request);
        if self.life.is_some() {
            self.input(input(to));
        } else {
            self.client_hears(to, connection_broke());
        }
    }

    fn client_submits(&mut self, who: usize) {
        let submission = match self.clients[who].current.clone() {
            Some(again) => again,
            None => self.new_submission(who),
        };
        let client = &mut self.clients[who];
        client.current = Some(submission.clone());
        client.doing = Doing::Submitting;
        let until = self.soon();
        let wait = if self.chance(50) { Wait::Accepted } else { Wait::Settled { until } };
        self.ask(who, |to| Input::Submit { submission, wait, to });
    }

    fn new_submission(&mut self, who: usize) -> Submission {
        let client = &mut self.clients[who];
        client.submitted += 1;
        let number = client.submitted;
        // Now and then two clients use the same key for the same thing.
        let whose = if self.chance(15) { 0 } else { who };
        let keyed = self.chance(70);
        let shared = whose == 0 && keyed;
        let first = if shared { 0 } else { self.below(self.participants.len() as u64) as usize };
        let count = if shared { 2 } else { 1 + self.below(3) as usize };
        let payload = Payload::of(&number).unwrap();
        let branches = (0..count).map(|n| StartedBranch {
            participant: self.participants[(first + n) % self.participants.len()].name.clone(),
            payload: payload.clone(),
        });
        Submission {
            name: Name::new("simulated").unwrap(),
            key: keyed.then(|| Key::new(format!("{whose}/{number}")).unwrap()),
            branches: branches.collect(),
            deadline: None,
        }
    }

    /// A reply reaches its client.
    pub fn client_hears(&mut self, (who, request): Caller, reply: Reply) {
        if self.clients[who].request != request || self.clients[who].is_done() {
            return;
        }
        self.note(|| format!("client {who} hears {reply:?}"));
        let submitting = matches!(self.clients[who].doing, Doing::Submitting);
        let next = match reply {
            Reply::Outcome(outcome) => {
                self.learn(who, outcome.id());
                match &outcome {
                    Outcome::Committed(done) => {
                        self.tell(done.id, Told::Outcome(Decision::Committed))
                    }
                    Outcome::Aborted(why) => self.tell(why.id, Told::Outcome(Decision::Aborted)),
                    Outcome::Unsettled(_) => {}
                }
                self.after_hearing(outcome.id(), !matches!(outcome, Outcome::Unsettled(_)))
            }
            Reply::Accepted(id) => {
                self.learn(who, id);
                self.after_hearing(id, false)
            }
            Reply::Done | Reply::NotOpen => match self.clients[who].doing {
                Doing::Reading(id) | Doing::Following(id) => self.client_reads(id),
                Doing::Cancelling(id) => {
                    self.seen.cancelled += 1;
                    Doing::Following(id)
                }
                _ => Doing::Nothing,
            },
            Reply::NotCancelled(_) => match self.clients[who].doing {
                Doing::Cancelling(id) => Doing::Following(id),
                _ => Doing::Nothing,
            },
            Reply::NotAccepted(SubmitError::Unavailable { .. }) if submitting => {
                let keyed = self.clients[who].current.as_ref().is_some_and(|s| s.key.is_some());
                if keyed { Doing::Submitting } else { Doing::Nothing }
            }
            Reply::NotAccepted(SubmitError::Unavailable { .. }) => {
                std::mem::take(&mut self.clients[who].doing)
            }
            other => {
                self.wrong = Some(format!("client {who} did not expect {other:?}"));
                Doing::Nothing
            }
        };
        if !matches!(next, Doing::Submitting) {
            self.clients[who].current = None;
        }
        self.clients[who].doing = next;
        let pause = 1 + self.below(500);
        self.at(pause, Event::Client(who));
    }

    fn after_hearing(&mut self, id: TransactionId, settled: bool) -> Doing {
        match self.below(10) {
            0..3 => Doing::Reading(id),
            3 if !settled => Doing::Cancelling(id),
            _ if settled => Doing::Nothing,
            _ => Doing::Following(id),
        }
    }

    /// The client now knows the id of what it submitted.
    fn learn(&mut self, who: usize, id: TransactionId) {
        let Some(key) = self.clients[who].current.as_ref().and_then(|s| s.key.clone()) else {
            return;
        };
        let first = *self.keys.entry(key.clone()).or_insert(id);
        if first != id {
            self.wrong = Some(format!("the key {key} gave {first} and {id}"));
        }
    }

    /// A read: of what is durable, and of nothing else.
    fn client_reads(&mut self, id: TransactionId) -> Doing {
        self.seen.reads += 1;
        let mut records = self.durable_records(id).unwrap_or_default();
        if self.bug == Some(Bug::ReadOfWhatIsNotDurable)
            && let Some(life) = &self.life
        {
            let unsynced = life.unsynced.iter().filter(|entry| entry.transaction == id);
            let more = unsynced.flat_map(|e| entry::decode(&e.text).unwrap_or_default());
            records.extend(more.map(|(_, record)| record));
        }
        let over = records.last() == Some(&Record::Settled);
        self.tell(id, Told::History(records));
        if over { Doing::Nothing } else { Doing::Following(id) }
    }

    fn tell(&mut self, id: TransactionId, told: Told) {
        self.told.entry(id).or_default().push(told);
    }

    /// The coordinator is gone, and so is every connection to it.
    pub fn connections_break(&mut self) {
        for who in 0..self.clients.len() {
            let waiting = !matches!(self.clients[who].doing, Doing::Nothing | Doing::Done);
            if waiting {
                let to = (who, self.clients[who].request);
                self.client_hears(to, connection_broke());
            }
        }
    }
}
