//! What must hold when the faults have stopped and everything has come to rest.

use std::collections::{HashMap, HashSet};

use wholly_core::two_phase::{Decision, Record};
use wholly_core::{Key, TransactionId};

use super::clients::Told;
use super::participants::Held;
use super::world::World;
use crate::log::{Log, StoredTransaction};
use crate::replay::{Replayed, replay};

impl World {
    pub fn check(&mut self) -> Result<(), String> {
        self.life = None;
        let open = self.log.open().map_err(|e| e.to_string())?;
        let ids = open.reader.list(None, usize::MAX).map_err(|e| e.to_string())?;
        let mut keys: HashMap<Key, TransactionId> = HashMap::new();
        for &id in &ids {
            let stored = open.reader.history(id).map_err(|e| e.to_string())?;
            let stored = stored.ok_or_else(|| format!("{id} is listed and has no history"))?;
            let replayed = replay(&stored).map_err(|e| format!("{id}: {e}"))?;
            self.check_transaction(&stored, &replayed)?;
            if let Some((_, Record::Started(started))) = replayed.history.first()
                && let Some(key) = &started.key
                && let Some(other) = keys.insert(key.clone(), id)
            {
                return Err(format!("the key {key} gave {other} and {id}"));
            }
        }
        self.check_no_orphans(&ids.into_iter().collect())?;
        self.check_told(|id| open.reader.history(id).ok().flatten())
    }

    fn check_transaction(
        &mut self,
        stored: &StoredTransaction,
        replayed: &Replayed,
    ) -> Result<(), String> {
        let (id, transaction) = (stored.id, &replayed.transaction);
        if !transaction.is_settled() {
            return Err(format!("{id} has not settled: {transaction:?}"));
        }
        let committed = transaction.decision() == Some(Decision::Committed);
        *if committed { &mut self.seen.committed } else { &mut self.seen.aborted } += 1;
        for branch in transaction.branches() {
            let participant = self
                .participants
                .iter()
                .find(|p| p.name == *branch.participant())
                .ok_or("a branch of nobody")?;
            let held = participant.branches.get(&id).copied();
            let times = participant.applied.get(&id).copied().unwrap_or(0);
            let right = match held {
                Some(Held::Prepared) => false,
                Some(Held::Committed) => committed,
                Some(Held::Aborted | Held::Refused) => !committed,
                Some(Held::ReadOnly) | None => true,
            };
            if !right || times > 1 || (times == 1 && !committed) {
                return Err(format!(
                    "{id} is {}, and {} holds {held:?}, applied {times} times",
                    transaction.state().as_str(),
                    participant.name
                ));
            }
        }
        Ok(())
    }

    /// Nobody holds anything of a transaction that the log does not know.
    fn check_no_orphans(&self, known: &HashSet<TransactionId>) -> Result<(), String> {
        for participant in &self.participants {
            for (id, held) in &participant.branches {
                if !known.contains(id) {
                    return Err(format!("{} holds {id} as {held:?}: an orphan", participant.name));
                }
            }
        }
        Ok(())
    }

    /// What anybody was told still holds.
    fn check_told(
        &self,
        history: impl Fn(TransactionId) -> Option<StoredTransaction>,
    ) -> Result<(), String> {
        for (&id, told) in &self.told {
            let Some(replayed) = history(id).and_then(|stored| replay(&stored).ok()) else {
                return Err(format!("somebody was told of {id}, which the log does not hold"));
            };
            let records: Vec<_> = replayed.history.iter().map(|(_, record)| record).collect();
            for told in told {
                let holds = match told {
                    Told::Outcome(decision) => replayed.transaction.decision() == Some(*decision),
                    Told::History(read) => records.iter().copied().take(read.len()).eq(read),
                };
                if !holds {
                    return Err(format!("{told:?} was told of {id}, and it is {records:?}"));
                }
            }
        }
        Ok(())
    }
}
