//! From entries to events: a transaction is folded record by record, as in a replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use wholly_core::entry::EndedByHand;
use wholly_core::{
    BranchName, ParticipantName, Record, Target, Timestamp, Transaction, TransactionId, entry,
};

use super::{EventId, FeedEvent, Recorded};
use crate::log::{LogReader, PlacedEntry, ReadError};

/// The most transactions that are kept folded between their entries. The oldest give way, and are
/// folded again from the log if they go on.
const KEPT: usize = 4_096;

/// The transactions that a feed has met and that have not ended, by ordinal.
#[derive(Default)]
pub(super) struct Folds(BTreeMap<u64, Fold>);

impl Folds {
    /// Adds the events of an entry.
    pub fn take(
        &mut self,
        log: &dyn LogReader,
        entry: &PlacedEntry,
        events: &mut Vec<FeedEvent>,
    ) -> Result<(), ReadError> {
        let kept = self.0.remove(&entry.ordinal).filter(|fold| fold.next == entry.sequence);
        let fold = match (kept, entry.id) {
            (Some(fold), _) => Some(fold),
            (None, Some(id)) => Some(Fold::new(id)),
            (None, None) => Fold::before(log, entry)?,
        };
        // A transaction that is gone was deleted, long after it had settled.
        let Some(mut fold) = fold else { return Ok(()) };
        fold.take(entry, events);
        if !fold.is_over() {
            self.0.insert(entry.ordinal, fold);
            while self.0.len() > KEPT {
                self.0.pop_first();
            }
        }
        Ok(())
    }
}

/// A transaction as the entries so far tell it.
pub(super) struct Fold {
    id: TransactionId,
    /// The sequence of the entry that follows.
    next: u32,
    /// None before its start.
    transaction: Option<Transaction>,
    /// The reason why its records cannot be used.
    broken: Option<String>,
    /// True if an operator ended it.
    ended: bool,
    participants: Arc<[Option<ParticipantName>]>,
    branches: Arc<[BranchName]>,
}

impl Fold {
    pub fn new(id: TransactionId) -> Self {
        let (participants, branches) = (Arc::default(), Arc::default());
        let (transaction, broken) = (None, None);
        Self { id, next: 0, transaction, broken, ended: false, participants, branches }
    }

    fn is_over(&self) -> bool {
        self.ended || self.transaction.as_ref().is_some_and(Transaction::is_settled)
    }

    /// The transaction of this entry as it was before it.
    fn before(log: &dyn LogReader, entry: &PlacedEntry) -> Result<Option<Self>, ReadError> {
        let entries = log.entries_of(entry.ordinal)?;
        let Some(id) = entries.first().and_then(|first| first.id) else { return Ok(None) };
        let mut fold = Self::new(id);
        for earlier in entries.iter().take_while(|earlier| earlier.lsn < entry.lsn) {
            fold.take(earlier, &mut Vec::new());
        }
        Ok(Some(fold))
    }

    /// Adds the events of its next entry.
    pub fn take(&mut self, entry: &PlacedEntry, events: &mut Vec<FeedEvent>) {
        if self.broken.is_none() && self.next != entry.sequence {
            let PlacedEntry { sequence: found, .. } = entry;
            self.broken = Some(format!("entry {} is missing; the next one is {found}", self.next));
        }
        self.next = entry.sequence.saturating_add(1);
        let id = EventId::of(entry.lsn, 0);
        let records = match &entry.damage {
            Some(damage) => Err(damage.clone()),
            None => entry::decode(&entry.text).map_err(|error| error.to_string()),
        };
        match (records, entry::decode_ended(&entry.text)) {
            (Err(_), Some(EndedByHand { at, reason })) => {
                self.ended = true;
                let id = EventId::end_of_entry(entry.lsn);
                events.push(self.event(id, at, Recorded::Ended { reason }));
            }
            (Err(error), None) => {
                // Each damage is told where it is; all else tells of the first.
                let first = self.broken.get_or_insert_with(|| error.clone());
                let why = entry.damage.clone().unwrap_or_else(|| first.clone());
                events.push(self.event(id, self.id.minted_at(), Recorded::Unreadable { why }));
            }
            (Ok(records), _) => {
                let last = records.len().saturating_sub(1);
                for (nth, (at, record)) in records.into_iter().enumerate() {
                    let recorded = self.apply(record);
                    // A follower that has the end has the whole entry, even once it is trimmed.
                    let id = match nth == last && self.is_over() {
                        true => EventId::end_of_entry(entry.lsn),
                        false => EventId::of(entry.lsn, nth),
                    };
                    events.push(self.event(id, at, recorded));
                }
            }
        }
    }

    fn apply(&mut self, record: Record) -> Recorded {
        if let Some(why) = &self.broken {
            return Recorded::Unreadable { why: why.clone() };
        }
        let broken = match &mut self.transaction {
            Some(transaction) => transaction.apply(&record).err().map(|error| error.to_string()),
            None => {
                self.transaction = Transaction::start(&record);
                self.name_branches();
                let started = self.transaction.is_some();
                (!started).then(|| "it does not begin with a start".to_owned())
            }
        };
        self.broken = broken;
        match &self.broken {
            Some(why) => Recorded::Unreadable { why: why.clone() },
            None => Recorded::Record(record),
        }
    }

    fn name_branches(&mut self) {
        let Some(transaction) = &self.transaction else { return };
        self.branches = transaction.parts().map(|part| part.name).collect();
        let participants = transaction.parts().map(|part| match part.target {
            Target::Participant(participant) => Some(participant),
            Target::Code { .. } => None,
        });
        self.participants = participants.collect();
    }

    /// An event with the state of the transaction after its record.
    fn event(&self, id: EventId, at: Timestamp, record: Recorded) -> FeedEvent {
        let readable = self.transaction.as_ref().filter(|_| self.broken.is_none());
        let view = readable.map(Transaction::view);
        FeedEvent {
            id,
            transaction: self.id,
            at,
            name: self.transaction.as_ref().map(|transaction| transaction.view().name.clone()),
            pattern: view.map(|view| view.pattern),
            state: view.map(|view| view.state),
            settled: self.ended || view.is_some_and(|view| view.settled),
            stuck: !self.ended && view.is_none_or(|view| view.stuck),
            participants: self.participants.clone(),
            branches: self.branches.clone(),
            record,
        }
    }
}
