//! Reads, as the reader makes them: without the loop, once all that it had recorded is durable.
//!
//! Clients read what they submitted, and somebody asks for the decision of what was just begun. Between
//! the moment at which a read begins and the one at which the loop sees that it waits, anything may
//! happen.

use wholly_core::{Record, TransactionId};

use super::clients::Told;
use super::planted::Bug;
use super::world::{Caller, World, WorldEvent, connection_broke};
use super::wrong::{Check, Wrong, ensure};
use crate::engine::{Progress, Reply};
use crate::log::Position;
use crate::reader::{decided, presumed};

/// A read that waits until all that was recorded when it began is durable.
pub struct Read {
    what: What,
    begun: Progress,
}

enum What {
    /// The history that a client wants.
    History(Caller),
    Decision(TransactionId),
}

impl World {
    /// A client begins to read.
    pub fn client_begins_to_read(&mut self, to: Caller) {
        match self.incarnation.is_some() {
            true => self.begin_read(What::History(to)),
            false => self.client_hears(to, connection_broke()),
        }
    }

    /// Somebody asks for the decision of a transaction whose records are on their way to the log, or
    /// were lost on it.
    pub fn ask_for_decision(&mut self, id: TransactionId) {
        if self.chance(20) {
            self.begin_read(What::Decision(id));
        }
        if let Some(lost) = self.lost_on_the_way.take() {
            self.begin_read(What::Decision(lost));
        }
    }

    fn begin_read(&mut self, what: What) {
        let Some(incarnation) = &mut self.incarnation else { return };
        let begun = incarnation.published;
        let read = Read { what, begun };
        if begun.is_durable() || self.bug == Some(Bug::ReadsWithoutWaiting) {
            return self.let_read(read);
        }
        incarnation.reads.push(read);
        self.seen.reads_that_waited += 1;
        let (after, incarnation) = (self.below(5), self.incarnations);
        self.at(after, WorldEvent::FlushWanted { incarnation, position: begun.recorded });
    }

    /// The loop sees that a read waits.
    pub fn flush_wanted(&mut self, incarnation: u64, position: Position) {
        let now = self.time();
        if let Some(running) = self.running(incarnation) {
            running.engine.flush_for(position, now);
        }
    }

    /// Lets those reads go on for which enough is durable.
    pub fn publish(&mut self, progress: Progress) {
        let Some(incarnation) = &mut self.incarnation else { return };
        incarnation.published = progress;
        let ready = incarnation.reads.extract_if(.., |read| progress.covers(read.begun));
        let ready: Vec<_> = ready.collect();
        ready.into_iter().for_each(|read| self.let_read(read));
    }

    fn let_read(&mut self, read: Read) {
        let (after, incarnation) = (self.below(3), self.incarnations);
        self.at(after, WorldEvent::Read { incarnation, read });
    }

    /// Breaks the reads that wait for a failed log: what it had taken may never be durable.
    pub fn reads_break(&mut self, reads: Vec<Read>) {
        for read in reads {
            if let What::History(to) = read.what {
                self.client_hears(to, connection_broke());
            }
        }
    }

    /// The log is read.
    pub fn read(&mut self, incarnation: u64, Read { what, begun }: Read) {
        let runs = self.running(incarnation).map(|running| running.reader.clone());
        match (what, runs) {
            (What::History(to), Some(_)) => self.client_hears(to, Reply::Done),
            (What::History(to), None) => self.client_hears(to, connection_broke()),
            (What::Decision(id), Some(reader)) => {
                let stored = reader.history(id).expect("the log is readable");
                let presumes = stored.is_none();
                let told = match stored {
                    Some(stored) => decided(&stored),
                    None => presumed(id, Some(begun.minted), 0),
                };
                if let Ok(Some(decision)) = told {
                    self.seen.decisions_told += 1;
                    self.seen.decisions_presumed += u64::from(presumes);
                    self.tell(id, Told::Decision(decision));
                }
            }
            (What::Decision(_), None) => {}
        }
    }

    /// INVARIANT: a read shows what anybody was told.
    pub fn check_read(&self, id: TransactionId, records: &[Record]) -> Result<(), Wrong> {
        let Some(incarnation) = &self.incarnation else { return Ok(()) };
        if self.storage.damaged.contains(&id) || self.bug == Some(Bug::EffectsBeforeTheSync) {
            return Ok(());
        }
        let is_over = records.last().is_some_and(Record::is_end);
        ensure(is_over || !incarnation.told.contains(&id), Check::Read, || {
            format!("the end of {id} was told, and a read shows {records:?}")
        })?;
        self.told.get(&id).into_iter().flatten().try_for_each(|told| match told {
            Told::History(read) => ensure(records.len() >= read.len(), Check::Read, || {
                format!("{read:?} was read of {id}, and then {records:?}")
            }),
            Told::Outcome(_) | Told::Decision(_) => Ok(()),
        })
    }
}
