//! Clients that submit, ask, cancel and read, and retry by key when a connection breaks.

use std::time::Duration;

use serde_json::json;
use wholly_core::two_phase::{self, Decision, StartedBranch};
use wholly_core::{
    Key, Name, ParticipantName, Pattern, Payload, Proposal, Record, Timestamp, TransactionId,
    entry, saga,
};

use super::definitions;
use super::planted::Bug;
use super::restored::PERSON;
use super::world::{Caller, PARTICIPANTS, World, WorldEvent, connection_broke};
use super::wrong::{Check, Wrong, ensure};
use crate::engine::{Input, NewTransaction, Random, Reply, Wait};
use crate::outcome::AnyOutcome;
use crate::{SagaOutcome, SubmitError};

/// The number of transactions that a client submits.
const TRANSACTIONS: u32 = 6;

#[derive(Default)]
pub struct Client {
    submitted: u32,
    /// The request whose reply is awaited.
    request: u64,
    doing: Doing,
    /// The key and what is submitted with it, for a retry.
    current: Option<NewTransaction>,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Submitting,
    Following(TransactionId),
    Reading(TransactionId),
    Cancelling(TransactionId),
    Resolving(TransactionId),
    Done,
}

/// The outcome or history of a transaction as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Outcome(AnyOutcome),
    /// The history as it was read.
    History(Vec<Record>),
    /// The decision, for a participant in doubt.
    Decision(Decision),
}

impl Client {
    pub fn is_done(&self) -> bool {
        matches!(self.doing, Doing::Done)
    }
}

impl World {
    /// A client does the next thing.
    pub fn client_acts(&mut self, who: usize) {
        // A transaction held by a restored copy is for an operator who knows the participants.
        if let Doing::Cancelling(id) | Doing::Resolving(id) = self.clients[who].doing
            && self.is_held(id)
        {
            self.clients[who].doing = Doing::Following(id);
        }
        match self.clients[who].doing {
            Doing::Nothing if self.clients[who].submitted >= TRANSACTIONS => {
                self.clients[who].doing = Doing::Done;
            }
            Doing::Nothing | Doing::Submitting => self.client_submits(who),
            Doing::Following(id) => {
                let until = self.soon();
                self.ask(who, |to| Input::Await { id, until, to });
            }
            Doing::Reading(_) => {
                self.clients[who].request += 1;
                let to = (who, self.clients[who].request);
                self.client_begins_to_read(to);
            }
            Doing::Cancelling(id) => {
                let reason = "changed my mind".to_owned();
                self.ask(who, |to| Input::Cancel { id, reason, to });
            }
            Doing::Resolving(id) => self.client_resolves(who, id),
            Doing::Done => {}
        }
    }

    fn client_resolves(&mut self, who: usize, id: TransactionId) {
        let reason = "called them".to_owned();
        match self.find_out(id) {
            Some((branch, ended)) => {
                self.ask(who, |to| Input::Resolve { id, branch, ended, reason, to });
            }
            // If nothing can be said, it can be asked again at once.
            None => self.ask(who, |to| Input::Retry { id, to }),
        }
    }

    fn soon(&mut self) -> Timestamp {
        let patience = Duration::from_millis(200 + self.below(3_000));
        self.time() + patience
    }

    fn ask(&mut self, who: usize, input: impl FnOnce(Caller) -> Input<Caller>) {
        let client = &mut self.clients[who];
        client.request += 1;
        let to = (who, client.request);
        if self.incarnation.is_some() {
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

    fn new_submission(&mut self, who: usize) -> NewTransaction {
        let client = &mut self.clients[who];
        client.submitted += 1;
        let number = client.submitted;
        // Now and then two clients use the same key for the same thing.
        let whose = if self.chance(15) { 0 } else { who };
        let keyed = self.chance(70);
        let key = keyed.then(|| Key::new(format!("{whose}/{number}")).unwrap());
        // A submission whose key others may use, too, follows from the key.
        let seed = if whose == 0 && keyed { u64::from(number) } else { self.random.next() };
        let mut random = Random::seeded(seed);
        let proposal = match random.next().is_multiple_of(2) {
            true => branches(&mut random, number),
            false => {
                let input = Payload::of(&json!({"number": number, "items": [seed]})).unwrap();
                let saga = definitions::saga(&mut random, &PARTICIPANTS);
                Proposal::from(saga::Proposal::new(saga, input, false).unwrap())
            }
        };
        let hurried = proposal.pattern() == Pattern::Saga && self.chance(10);
        let deadline = hurried.then(|| Duration::from_millis(1 + self.below(1_000)));
        NewTransaction { key, other_key: None, trace: None, deadline, proposal }
    }

    /// A reply reaches its client.
    pub fn client_hears(&mut self, (who, request): Caller, reply: Reply) {
        if who == PERSON {
            return self.note(|| format!("an operator hears {reply:?}"));
        }
        if self.clients[who].request != request || self.clients[who].is_done() {
            return;
        }
        self.note(|| format!("client {who} hears {reply:?}"));
        let submitting = matches!(self.clients[who].doing, Doing::Submitting);
        let reply = self.planted_reply(reply);
        let next = match reply {
            Reply::Outcome(outcome) => {
                self.learn(who, outcome.id());
                let (id, settled) = (outcome.id(), outcome.is_settled());
                self.seen.told_set_aside +=
                    u64::from(matches!(outcome, AnyOutcome::Quarantined(_)));
                if settled {
                    self.must_be_whole(id, "its outcome is told");
                    let checked = self.check_outcome(&outcome);
                    self.note_wrong(checked);
                    if let Some(incarnation) = &mut self.incarnation {
                        incarnation.told.insert(id);
                    }
                    self.tell(id, Told::Outcome(outcome));
                }
                self.after_hearing(id, settled)
            }
            Reply::Accepted(id) => {
                self.learn(who, id);
                self.after_hearing(id, false)
            }
            Reply::Done | Reply::NotOpen => {
                match self.clients[who].doing {
                    Doing::Reading(id) => self.client_reads(id),
                    // It has ended: the log says how.
                    Doing::Following(id) => Doing::Reading(id),
                    Doing::Cancelling(id) => {
                        self.seen.cancelled += 1;
                        Doing::Following(id)
                    }
                    Doing::Resolving(id) => Doing::Following(id),
                    _ => Doing::Nothing,
                }
            }
            Reply::NotCancelled(_) | Reply::NotResolved(_) => match self.clients[who].doing {
                Doing::Cancelling(id) | Doing::Resolving(id) => Doing::Following(id),
                _ => Doing::Nothing,
            },
            Reply::NotAccepted(SubmitError::Unavailable { .. }) if submitting => {
                let keyed = self.clients[who].current.as_ref().is_some_and(|s| s.key.is_some());
                if keyed { Doing::Submitting } else { Doing::Nothing }
            }
            // Nothing has happened; there may be room the next time.
            Reply::NotAccepted(SubmitError::ParticipantOverloaded { .. }) if submitting => {
                self.seen.participants_overloaded += 1;
                Doing::Submitting
            }
            Reply::NotAccepted(
                SubmitError::OutOfRoom { .. } | SubmitError::ParticipantOutOfRoom { .. },
            ) => {
                self.seen.out_of_room += 1;
                match self.clients[who].doing {
                    Doing::Cancelling(id) | Doing::Resolving(id) => Doing::Following(id),
                    _ => std::mem::take(&mut self.clients[who].doing),
                }
            }
            // Its transaction is over, but its end cannot be read while it is damaged.
            Reply::NotAccepted(SubmitError::Quarantined { id, .. })
                if submitting && self.storage.damaged.contains(&id) =>
            {
                self.seen.told_set_aside += 1;
                self.learn(who, id);
                self.after_hearing(id, false)
            }
            Reply::NotAccepted(SubmitError::Unavailable { .. }) => {
                std::mem::take(&mut self.clients[who].doing)
            }
            other => {
                let what = format!("client {who} did not expect {other:?}");
                self.note_wrong(Err(Wrong { check: Check::Reply, what }));
                Doing::Nothing
            }
        };
        if !matches!(next, Doing::Submitting) {
            self.clients[who].current = None;
        }
        self.clients[who].doing = next;
        let pause = 1 + self.below(500);
        self.at(pause, WorldEvent::Client(who));
    }

    fn after_hearing(&mut self, id: TransactionId, settled: bool) -> Doing {
        match self.below(20) {
            0..6 => Doing::Reading(id),
            6 | 7 if !settled => Doing::Cancelling(id),
            8..12 if !settled && self.ledger.sagas.contains_key(&id) => Doing::Resolving(id),
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
        let checked =
            ensure(first == id, Check::Keys, || format!("the key {key} gave {first} and {id}"));
        self.note_wrong(checked);
    }

    /// Checks that a told outcome is durable, and true.
    fn check_outcome(&self, outcome: &AnyOutcome) -> Result<(), Wrong> {
        let told = match outcome {
            AnyOutcome::Saga(told) => told,
            AnyOutcome::TwoPhase(_) if self.bug != Some(Bug::EffectsBeforeTheSync) => {
                let Some(records) = self.durable_records(outcome.id()) else { return Ok(()) };
                return ensure(records.iter().any(decides), Check::Told, || {
                    format!("{outcome:?} was told, and there is no durable decision: {records:?}")
                });
            }
            _ => return Ok(()),
        };
        let saga = self.ledger.sagas.get(&told.id()).filter(|_| {
            // This mutation is to be caught by its consequences.
            self.bug != Some(Bug::EffectsBeforeTheSync)
        });
        let Some(saga) = saga else { return Ok(()) };
        let right = match told {
            SagaOutcome::Completed(done) => {
                let really = saga.steps.iter().map(|step| step.output.as_ref());
                let outputs = done.outputs.iter().map(|(_, output)| Some(output));
                saga.settled && outputs.eq(really)
            }
            SagaOutcome::Compensated(_) => saga.turned_back,
            SagaOutcome::Unsettled(_) => true,
        };
        ensure(right, Check::Told, || format!("{told:?} was told, which is not durable or not so"))
    }

    /// A read of durable records, and of nothing else.
    fn client_reads(&mut self, id: TransactionId) -> Doing {
        self.seen.reads += 1;
        let mut records = self.durable_records(id).unwrap_or_default();
        if self.bug == Some(Bug::ReadOfWhatIsNotDurable)
            && let Some(incarnation) = &self.incarnation
        {
            let unsynced = incarnation.unsynced.iter().filter(|entry| entry.transaction == id);
            let more = unsynced.flat_map(|e| entry::decode(&e.text).unwrap_or_default());
            records.extend(more.map(|(_, record)| record));
        }
        if records.is_empty() && id.log() != self.identity {
            // It was lost with the original.
            return Doing::Nothing;
        }
        let checked = self.check_read(id, &records);
        self.note_wrong(checked);
        let over = records.last().is_some_and(Record::is_end);
        self.tell(id, Told::History(records));
        if over { Doing::Nothing } else { Doing::Following(id) }
    }

    pub fn tell(&mut self, id: TransactionId, told: Told) {
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

/// True if it decides a transaction in two phases, or may, as an operator's word.
fn decides(record: &Record) -> bool {
    use two_phase::Record::{Decided, Resolved};
    record.is_decision() || matches!(record, Record::TwoPhase(Decided(..) | Resolved(..)))
}

fn branches(random: &mut Random, number: u32) -> Proposal {
    let mut below = |limit: usize| random.next() as usize % limit;
    let (first, count) = (below(PARTICIPANTS.len()), 1 + below(3));
    let payload = Payload::of(&number).unwrap();
    let branches = (first..first + count).map(|who| StartedBranch {
        participant: ParticipantName::new(PARTICIPANTS[who % PARTICIPANTS.len()]).unwrap(),
        payload: payload.clone(),
    });
    let name = Name::new("simulated").unwrap();
    two_phase::Proposal::new(name, branches.collect()).unwrap().into()
}
