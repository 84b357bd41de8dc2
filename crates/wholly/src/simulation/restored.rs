//! A backup is taken, the coordinator is lost for good, and the copy goes on in its place.
//!
//! The copy knows what was durable when it was made, and the participants have what the original
//! did since. The copy must hold its transactions in doubt; an operator waits until no call of the
//! original is on its way any more, looks at what the participants really have, and says so.
//!
//! Lost records stay lost: what a client was told of them binds nobody, and a participant keeps
//! what it has of a transaction that the copy does not know. It must only not be told that
//! the transaction was aborted.

use std::collections::BTreeMap;

use wholly_core::saga::{self, Resolution};
use wholly_core::two_phase::{self, Decision};
use wholly_core::wire::Operation;
use wholly_core::{
    BranchName, Ended, LogId, Protocol as _, Record, State, Transaction, TransactionId,
};

use super::ledger::{BarrierRow, Ledger, Saga, StepTruth};
use super::participants::Held;
use super::planted::Bug;
use super::seen::Seen;
use super::storage::Storage;
use super::world::{World, WorldEvent};
use super::wrong::{Check, Wrong, ensure};
use crate::engine::{Input, Minted};
use crate::log::listing::Query;
use crate::log::memory::MemoryLog;
use crate::log::{Log, OpenLog, StoredTransaction, first_unsettled};
use crate::reader::presumed;
use crate::replay::replay;

/// The identity of the log in the beginning, and of the copy.
pub const ORIGINAL: LogId = LogId::from_bits(1);
const COPY: LogId = LogId::from_bits(2);

/// A time longer than anything travels.
const QUIET: u64 = 8_000;
/// The pause between the operator's rounds: after whatever was said is durable.
const ROUNDS: u64 = 1_000;

/// A caller that is no client.
pub const PERSON: usize = usize::MAX;

impl World {
    /// Sometimes the coordinator is lost for good some time after a backup.
    pub fn plan_loss(&mut self, faults_for: u64) {
        if self.chance(30) {
            let backup = self.below(faults_for / 2);
            let lost = backup + self.below(faults_for / 4);
            self.at(backup, WorldEvent::Backup);
            self.at(lost, WorldEvent::Lost);
        }
    }

    pub fn back_up(&mut self) {
        let keeps = self.bug == Some(Bug::CopyKeepsItsIdentity);
        let copy = self.log.restored(if keeps { ORIGINAL } else { COPY });
        self.note(|| "backup".to_owned());
        self.backup = Some(copy);
    }

    /// The original is gone, and the copy is what there is from now on.
    pub fn lose(&mut self) {
        let Some(copy) = self.backup.take() else { return };
        self.crash("lost for good");
        (self.storage, self.log) = (Storage::of(&copy), copy);
        self.identity = COPY;
        self.seen.restored += 1;
        let known = known(&self.log);
        let is_settled = |id: &TransactionId| known.get(id).is_some_and(|of| of.settled);
        self.told.retain(|id, _| is_settled(id));
        self.keys.retain(|_, id| known.contains_key(id));
        self.ledger.go_back(&known, self.incarnations);
        self.at(QUIET, WorldEvent::Operator);
    }

    /// True if the copy must do nothing for a transaction.
    pub fn is_held(&self, id: TransactionId) -> bool {
        let released = || Some(self.transaction(id)?.released());
        id.log() != self.identity && released() != Some(Some(self.identity))
    }

    /// A transaction as the log tells it.
    fn transaction(&self, id: TransactionId) -> Option<Transaction> {
        let stored = self.incarnation.as_ref()?.reader.history(id).ok()??;
        Some(replay(&stored).ok()?.transaction)
    }

    /// The operator comes by, and settles the held transactions.
    pub fn operator_comes(&mut self) {
        let unsettled = match &self.incarnation {
            Some(incarnation) => {
                first_unsettled(&*incarnation.reader, usize::MAX).expect("the log is readable")
            }
            None => return self.at(ROUNDS, WorldEvent::Operator),
        };
        let held: Vec<_> =
            unsettled.iter().map(|stored| stored.id).filter(|id| self.is_held(*id)).collect();
        if !held.is_empty() {
            self.at(ROUNDS, WorldEvent::Operator);
        }
        for id in held {
            match self.transaction(id) {
                Some(Transaction::TwoPhase(transaction)) => self.settle(id, &transaction),
                Some(Transaction::Saga(saga)) => self.settle_saga(id, &saga),
                None => {}
            }
        }
    }

    /// Settles a transaction: if one participant has committed it, all of them have, or will.
    fn settle(&mut self, id: TransactionId, transaction: &two_phase::Transaction) {
        let has_committed = |branch: &&two_phase::Branch| {
            let mut participants = self.participants.iter();
            let participant = participants.find(|p| p.name == *branch.participant());
            participant.is_some_and(|p| p.branches.get(&id) == Some(&Held::Committed))
        };
        let committed = transaction.branches().iter().find(has_committed);
        let undecided = transaction.decision().is_none();
        match committed.map(|branch| BranchName::from(branch.participant())) {
            Some(branch) if undecided => {
                self.seen.held_committed_by_hand += 1;
                self.say(id, branch, Ended::TwoPhase(Decision::Committed));
            }
            // In one phase its participant decides, if it has not.
            None if undecided && !self.is_in_one_phase(id) => self.call_off(id),
            _ => self.let_go_on(id),
        }
    }

    fn is_in_one_phase(&self, id: TransactionId) -> bool {
        use two_phase::Record::Started;
        self.durable_records(id).is_some_and(|records| {
            matches!(records.first(), Some(Record::TwoPhase(Started(started))) if started.one_phase)
        })
    }

    /// Says of each step that ran before others that it has run, so that the copy knows that those
    /// had their turn; and takes back what the original began to take back.
    fn settle_saga(&mut self, id: TransactionId, saga: &saga::Transaction) {
        let really = &self.ledger.sagas[&id];
        let actions: Vec<_> = saga
            .effects()
            .filter(|effect| effect.operation == Operation::Action)
            .map(|effect| effect.branch)
            .collect();
        let step = |index: u16| &really.steps[usize::from(index)];
        let has_run = |index: u16| step(index).row == BarrierRow::Done;
        let done =
            actions.iter().find(|index| has_run(**index) && really.behind(**index).any(has_run));
        let taken_back = really
            .steps
            .iter()
            .any(|step| matches!(step.row, BarrierRow::Compensated | BarrierRow::Empty));
        let pivot = really.pivot().filter(|(pivot, _)| actions.contains(pivot));
        let named = |index| really.graph.step(index).map(|(step, _)| step.name.clone().into());
        match (done, pivot) {
            (Some(index), _) => {
                let output = step(*index).output.clone().expect("it is done");
                let Some(name) = named(*index) else { return };
                self.seen.held_completed_by_hand += 1;
                self.say(id, name, Ended::Saga(Resolution::Completed(output)));
            }
            // It may have left, for all that the copy knows: only a word for it turns the saga.
            (None, Some((pivot, _))) if taken_back => {
                let Some(name) = named(pivot) else { return };
                self.say(id, name, Ended::Saga(Resolution::Compensated));
            }
            (None, None) if taken_back && saga.state() == State::Running => self.call_off(id),
            _ => self.let_go_on(id),
        }
    }

    fn say(&mut self, id: TransactionId, branch: BranchName, ended: Ended) {
        self.note(|| format!("an operator says that {branch} of {id} is {ended:?}"));
        let (reason, to) = ("seen there".to_owned(), (PERSON, 0));
        self.input(Input::Resolve { id, branch, ended, reason, to });
    }

    fn call_off(&mut self, id: TransactionId) {
        self.note(|| format!("an operator aborts {id}"));
        self.seen.held_called_off += 1;
        let (reason, to) = ("nobody has it".to_owned(), (PERSON, 0));
        self.input(Input::Cancel { id, reason, to });
    }

    pub fn let_go_on(&mut self, id: TransactionId) {
        self.note(|| format!("an operator lets {id} go on"));
        self.seen.held_released += 1;
        let (reason, to) = ("the original is lost".to_owned(), (PERSON, 0));
        self.input(Input::Release { id, reason, to });
    }

    /// A participant in doubt about a transaction unknown to the copy must not be told of an abort.
    pub fn check_lost(&mut self, id: TransactionId, open: &OpenLog) -> Result<(), Wrong> {
        self.seen.lost_in_doubt += 1;
        let minted =
            Minted { identity: open.identity, last_ordinal: open.last_ordinal.max(id.ordinal()) };
        let told = presumed(id, Some(minted), 0);
        ensure(told.is_err(), Check::Restored, || {
            format!("{id} was lost, and who is in doubt about it is told {told:?}")
        })
    }
}

/// A transaction as the copy knows it.
pub struct KnownFromCopy {
    settled: bool,
    records: Vec<Record>,
}

fn known(log: &MemoryLog) -> BTreeMap<TransactionId, KnownFromCopy> {
    let open = log.open().expect("the log opens");
    let listed = open.reader.list(&Query::newest(usize::MAX)).expect("the log is readable");
    let known = |id: TransactionId| -> Option<KnownFromCopy> {
        let stored: StoredTransaction = open.reader.history(id).ok()??;
        let replayed = replay(&stored).ok()?;
        let settled = replayed.transaction.is_settled();
        let records = replayed.history.into_iter().map(|(_, record)| record).collect();
        Some(KnownFromCopy { settled, records })
    };
    listed.rows.iter().filter_map(|row| Some((row.id, known(row.id)?))).collect()
}

impl Ledger {
    /// Makes durable only what the copy knows; effects at participants stay.
    fn go_back(&mut self, known: &BTreeMap<TransactionId, KnownFromCopy>, incarnation: u64) {
        for (id, saga) in &mut self.sagas {
            saga.go_back(known.get(id).map_or(&[], |known| &known.records), incarnation);
        }
    }
}

impl Saga {
    fn go_back(&mut self, records: &[Record], incarnation: u64) {
        (self.started, self.turned_back, self.settled) = (false, false, false);
        for step in &mut self.steps {
            *step = StepTruth {
                begun: false,
                ahead: false,
                lost: false,
                completed: None,
                refused: false,
                resolved_away: false,
                ..std::mem::take(step)
            };
        }
        for record in records {
            let Record::Saga(record) = record else { continue };
            // They were checked when they became durable, by what was so then.
            let _ = self.recorded(record, incarnation, &mut Seen::default());
        }
        for step in self.steps.iter_mut().filter(|step| !step.begun) {
            // Every call of the original has left its trace by the time of a decision.
            (step.attempts, step.refused_at_first) = (0, None);
        }
    }
}
