//! Checks of the world at rest, after the faults have stopped.

use std::collections::{HashMap, HashSet};

use wholly_core::two_phase::{self, Decision};
use wholly_core::{Key, Record, State, Transaction, TransactionId, saga};

use super::clients::Told;
use super::definitions;
use super::ledger::BarrierRow;
use super::participants::Held;
use super::world::World;
use super::wrong::{Check, Wrong, ensure};
use crate::log::listing::Query;
use crate::log::{Log, OpenLog, StoredTransaction};
use crate::outcome::AnyOutcome;
use crate::replay::{Replayed, replay};

impl World {
    pub fn check(&mut self) -> Result<(), Wrong> {
        self.incarnation = None;
        let open = self.log.open().map_err(unreadable)?;
        let listed = open.reader.list(&Query::newest(usize::MAX)).map_err(unreadable)?.rows;
        let mut keys: HashMap<Key, TransactionId> = HashMap::new();
        for row in &listed {
            let id = row.id;
            let stored = open.reader.history(id).map_err(unreadable)?;
            let stored = stored.ok_or_else(|| unreadable(format!("{id} has no history")))?;
            let replayed = replay(&stored).map_err(|e| unreadable(format!("{id}: {e}")))?;
            ensure(row.is_of(&replayed.transaction), Check::Log, || {
                format!("{row:?} is listed, and {id} is {:?}", replayed.transaction)
            })?;
            self.check_transaction(id, &replayed)?;
            if let Some(key) = replayed.history.first().and_then(|(_, record)| record.key()) {
                let other = keys.insert(key.clone(), id);
                ensure(other.is_none(), Check::Keys, || format!("{key} gave {other:?} and {id}"))?;
            }
        }
        self.check_no_orphans(&listed.iter().map(|row| row.id).collect(), &open)?;
        self.check_told(|id| open.reader.history(id).ok().flatten())
    }

    fn check_transaction(&mut self, id: TransactionId, replayed: &Replayed) -> Result<(), Wrong> {
        let transaction = &replayed.transaction;
        ensure(transaction.is_settled(), Check::Ends, || {
            format!("{id} has not settled: {transaction:?}")
        })?;
        match transaction {
            Transaction::TwoPhase(transaction) => self.check_branches(id, transaction),
            Transaction::Saga(saga) => self.check_saga(id, saga),
        }
    }

    fn check_branches(
        &mut self,
        id: TransactionId,
        transaction: &two_phase::Transaction,
    ) -> Result<(), Wrong> {
        let committed = transaction.decision() == Some(Decision::Committed);
        *if committed { &mut self.seen.committed } else { &mut self.seen.aborted } += 1;
        for branch in transaction.branches() {
            let mut participants = self.participants.iter();
            let participant = participants.find(|p| p.name == *branch.participant());
            let participant =
                participant.ok_or_else(|| unreadable(format!("a branch of nobody: {id}")))?;
            let held = participant.branches.get(&id).copied();
            let times = participant.applied.get(&id).copied().unwrap_or(0);
            let right = match held {
                Some(Held::Prepared) => false,
                Some(Held::Committed) => committed,
                Some(Held::Aborted | Held::Refused) => !committed,
                Some(Held::ReadOnly) | None => true,
            };
            ensure(right && times <= u32::from(committed), Check::Agreement, || {
                format!(
                    "{id} is {}, and {} holds {held:?}, applied {times} times",
                    transaction.state().as_str(),
                    participant.name
                )
            })?;
        }
        Ok(())
    }

    fn check_saga(&mut self, id: TransactionId, saga: &saga::Transaction) -> Result<(), Wrong> {
        let completed = saga.state() == State::Completed;
        *if completed { &mut self.seen.completed } else { &mut self.seen.compensated } += 1;
        let really = &self.ledger.sagas[&id];
        ensure(really.turned_back != completed && really.settled, Check::Log, || {
            format!("{id} was recorded otherwise than it is read: {saga:?}")
        })?;
        for (index, step) in (0..).zip(&really.steps) {
            let needed_none = really.turned_back && step.done == 1 && step.undone == 0;
            if needed_none && definitions::needs_none(&really.graph, index) {
                self.seen.compensation_not_needed += 1;
            }
        }
        really.check_whole().map_err(|wrong| Wrong {
            what: format!("{id} is {}, and {}", saga.state().as_str(), wrong.what),
            ..wrong
        })
    }

    /// Checks that nobody holds a transaction that the log does not know, unless it was lost with
    /// the original.
    fn check_no_orphans(
        &mut self,
        known: &HashSet<TransactionId>,
        open: &OpenLog,
    ) -> Result<(), Wrong> {
        let is_lost = |id: &TransactionId| id.log() != self.identity && !known.contains(id);
        let mut in_doubt = Vec::new();
        for participant in &self.participants {
            for (id, held) in &participant.branches {
                ensure(known.contains(id) || is_lost(id), Check::Orphan, || {
                    format!("{} holds {id} as {held:?}", participant.name)
                })?;
                if is_lost(id) && *held == Held::Prepared {
                    in_doubt.push(*id);
                }
            }
        }
        for (id, saga) in &self.ledger.sagas {
            let untouched = saga.steps.iter().all(|step| step.row == BarrierRow::None);
            ensure(known.contains(id) || untouched || is_lost(id), Check::Orphan, || {
                format!("steps of {id} have run")
            })?;
        }
        in_doubt.into_iter().try_for_each(|id| self.check_lost(id, open))
    }

    /// Checks that everything told still holds.
    fn check_told(
        &self,
        history: impl Fn(TransactionId) -> Option<StoredTransaction>,
    ) -> Result<(), Wrong> {
        for (&id, told) in &self.told {
            let replayed = history(id).and_then(|stored| replay(&stored).ok());
            let is_presumed = |told: &Told| *told == Told::Decision(Decision::Aborted);
            if replayed.is_none() && told.iter().all(is_presumed) {
                continue;
            }
            let replayed = replayed.ok_or_else(|| Wrong {
                check: Check::Told,
                what: format!("somebody was told of {id}, which the log does not hold"),
            })?;
            let outcome = AnyOutcome::of(id, &replayed.transaction);
            let records: Vec<&Record> = replayed.history.iter().map(|(_, record)| record).collect();
            for told in told {
                let holds = match told {
                    Told::Outcome(told) => outcome == *told,
                    Told::History(read) => records.iter().copied().take(read.len()).eq(read),
                    Told::Decision(told) => match &replayed.transaction {
                        Transaction::TwoPhase(transaction) => transaction.decision() == Some(*told),
                        Transaction::Saga(_) => false,
                    },
                };
                ensure(holds, Check::Told, || {
                    format!("{told:?} was told of {id}, and it is {records:?}")
                })?;
            }
        }
        Ok(())
    }
}

fn unreadable(error: impl ToString) -> Wrong {
    Wrong { check: Check::Log, what: error.to_string() }
}
