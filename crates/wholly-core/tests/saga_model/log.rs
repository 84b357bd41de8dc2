//! The log, and the crash of the coordinator that has it.

use wholly_core::Protocol as _;
use wholly_core::saga::{Record, Transaction};
use wholly_core::wire::Operation;
use wholly_core::{Effect, Input};

use crate::bug::Bug;
use crate::scenario::Scenario;
use crate::world::World;

/// The log and the value that survive a crash.
///
/// Durable records are kept as the value that they replay to: their order does not matter any more.
/// After the last crash nothing is read again, and only the fact that something is to be synced is
/// kept: worlds that differ only in what is never read are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    pub durable: Option<Transaction>,
    /// Written and not synced: a crash leaves any prefix. The records of one input are one batch,
    /// which lands as a whole or not at all; the engine's batches are such, or several of them.
    pub tail: Vec<Batch>,
}

/// The records of one input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    pub records: Vec<Record>,
    pub forced: bool,
    /// The value of `forced` without a planted bug.
    pub to_be_forced: bool,
}

impl World {
    pub fn must_sync(&self) -> bool {
        self.log.tail.iter().any(|batch| batch.forced)
    }

    pub fn sync(&mut self, scenario: &Scenario) {
        for batch in std::mem::take(&mut self.log.tail) {
            for record in batch.records {
                self.keep(&scenario.reads(&record));
            }
        }
    }

    fn keep(&mut self, record: &Record) {
        if let Some(Err(broken)) = self.log.durable.as_mut().map(|value| value.apply(record)) {
            self.broken = Some(broken.law);
        }
    }

    pub fn crash(&mut self, scenario: &Scenario, kept: usize) {
        self.log.tail.truncate(kept);
        if scenario.bug == Some(Bug::GapInLog) && !self.log.tail.is_empty() {
            self.log.tail.remove(0);
        }
        // Opening the log makes durable all that it returns.
        self.sync(scenario);
        self.left.crashes -= 1;
        let again = self.left.crashes > 0;
        let Some(replayed) = self.log.durable.take() else { return };
        self.log.durable = again.then(|| replayed.clone());
        self.live = replayed;
        self.tries.fill(0);
        self.network.forget_attempts();
        match scenario.bug {
            Some(Bug::RestartNotTold) => {}
            Some(Bug::RestartTellsNothingAhead) => self.lose_what_has_its_turn(),
            _ => self.step(scenario, &Input::Restarted),
        }
    }

    fn lose_what_has_its_turn(&mut self) {
        let asked: Vec<Effect> = self.live.effects().collect();
        for effect in asked.iter().filter(|effect| effect.operation == Operation::Action) {
            if let Err(broken) = self.live.apply(&Record::Lost(effect.branch)) {
                self.broken = Some(broken.law);
            }
        }
    }

    /// Appends a batch. The value after all of it says if it is forced, as in the engine.
    pub fn append(&mut self, scenario: &Scenario, mut records: Vec<Record>) {
        let forced = records.iter().any(|record| scenario.forces(&self.live, record));
        let to_be_forced = records.iter().any(|record| self.live.forces(record));
        let is_kept = match self.left.crashes {
            0 => {
                records.clear();
                (forced || to_be_forced) && !self.must_sync()
            }
            _ => !records.is_empty(),
        };
        if is_kept {
            self.log.tail.push(Batch { records, forced, to_be_forced });
        }
    }
}
