//! The fate of a batch: it lands or not, and the coordinator hears of it, or not.

use wholly_core::Record;

use super::planted::Bug;
use super::world::{World, WorldEvent};
use super::wrong::{Check, Wrong};
use crate::engine::{Batch, Input, PendingEntry};
use crate::log::{AppendError, Entry, Log, Position};

impl World {
    /// The log has done what it could with a batch.
    pub fn written(&mut self, incarnation: u64, batch: &Batch) {
        if self.running(incarnation).is_none() {
            return;
        }
        let faulty = self.now < self.faults_until;
        // With a planted mutation the log is worse: some show only when a batch is lost.
        let fates = if self.bug.is_some() { 40 } else { 100 };
        let fate = if faulty { self.below(fates) } else { 99 };
        match fate {
            0 => self.crash("killed before the batch landed"),
            1 => {
                let _ = self.land(batch);
                self.crash("killed after the batch landed");
            }
            2 | 3 => {
                if fate == 2 {
                    let _ = self.land(batch);
                }
                self.seen.failed_appends += 1;
                if self.bug == Some(Bug::AppendLandsAfterAFailedOne) {
                    return self.made_durable(batch.after.next());
                }
                self.log_failed();
            }
            _ => match self.land(batch) {
                Ok(position) => {
                    self.storage.told.head = position;
                    self.made_durable(position);
                }
                Err(_) if self.bug == Some(Bug::AppendLandsAfterAFailedOne) => {
                    self.land_all_the_same(batch);
                    self.made_durable(batch.after.next());
                }
                Err(error) => {
                    let what = format!("an append in good order was rejected: {error}");
                    self.note_wrong(Err(Wrong { check: Check::Log, what }));
                }
            },
        }
    }

    /// The log of this mutant takes any batch, even without the one before it.
    fn land_all_the_same(&mut self, batch: &Batch) {
        let open = self.log.open().expect("the log opens");
        let Some(incarnation) = &mut self.incarnation else { return };
        (incarnation.writer, incarnation.reader) = (open.writer, open.reader);
        incarnation.writer.append(open.head, &texts(batch)).expect("an append in good order");
        self.landed(batch);
    }

    fn land(&mut self, batch: &Batch) -> Result<Position, AppendError> {
        let Some(incarnation) = &mut self.incarnation else { return Ok(batch.after) };
        let landed = incarnation.writer.append(batch.after, &texts(batch));
        if landed.is_ok() {
            self.landed(batch);
        }
        landed
    }

    /// A batch is in the log for good.
    fn landed(&mut self, batch: &Batch) {
        for entry in &batch.entries {
            for (_, record) in &entry.records {
                let Record::Saga(record) = record else { continue };
                let id = entry.transaction;
                let checked = self.ledger.recorded(id, record, self.incarnations, &mut self.seen);
                self.note_wrong(checked);
            }
        }
    }

    fn made_durable(&mut self, position: Position) {
        if let Some(incarnation) = &mut self.incarnation {
            incarnation.unsynced.clear();
        }
        if !self.early.remove(&position) {
            self.input(Input::Durable(position));
        }
    }

    /// The coordinator sees its log fail: it tells its callers, and opens the log again.
    fn log_failed(&mut self) {
        self.note(|| "an append failed".to_owned());
        let Some(incarnation) = self.incarnation.take() else { return };
        self.lost_on_the_way = incarnation.unsynced.first().map(|entry| entry.transaction);
        self.early.clear();
        for (to, reply) in incarnation.engine.fail("an append failed") {
            self.client_hears(to, reply);
        }
        self.reads_break(incarnation.reads);
        let after = self.below(1_000);
        self.at(after, WorldEvent::StartCoordinator);
    }
}

/// The entries of a batch, as they are appended.
pub fn texts(batch: &Batch) -> Vec<Entry> {
    let entry = |pending: &PendingEntry| pending.clone().into_entry().expect("it has a text");
    batch.entries.iter().map(entry).collect()
}
