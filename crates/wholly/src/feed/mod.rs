//! The feed: durable records as events, in the order of the log.
//!
//! An event is one record, with the state of the transaction after it. Nothing is kept for the
//! feed: it reads the log from after the last event that its follower has. So a follower that was
//! away, or slow, goes on where it was, also through a restart of the coordinator.
//!
//! Trimmed events are gone. A follower whose place is before the last trimmed event learns that
//! events are missing, and up to where, before it gets any later one.
//!
//! INVARIANT: an event shows only what is durable. The feed reads no further than the last batch
//! that the loop has published as durable; a batch whose append failed is published only once the
//! log was opened again, if it landed at all.

mod fold;
mod id;

use std::sync::Arc;

use wholly_core::{
    BranchName, Name, ParticipantName, Pattern, Record, State, Timestamp, TransactionId,
};

use crate::error::GetError;
use crate::log::{LogReader, Lsn, PlacedEntry, Position, ReadError};
use crate::reader::Reader;
use fold::{Fold, Folds};
pub use id::{EventId, InvalidEventId};

/// The number of entries that are read at once.
const PAGE: usize = 512;

/// One record of a transaction, and the state of the transaction after it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FeedEvent {
    /// Ascends in the order of the log, and means the same for ever.
    pub id: EventId,
    /// The transaction.
    pub transaction: TransactionId,
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// The name of the transaction; none where its records cannot be read.
    pub name: Option<Name>,
    /// Its pattern; `None` where its records cannot be read.
    pub pattern: Option<Pattern>,
    /// The state that the record brought it to; `None` where its records cannot be read.
    pub state: Option<State>,
    /// True if nothing is left to do.
    pub settled: bool,
    /// True if an operator is needed.
    pub stuck: bool,
    /// The participant of each branch or step, in their order; none for a step in the program.
    pub participants: Arc<[Option<ParticipantName>]>,
    /// The name of each branch or step, in their order.
    pub branches: Arc<[BranchName]>,
    /// The record.
    pub record: Recorded,
}

/// The record of an event.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// A record.
    Record(Record),
    /// A record that cannot be read: the transaction is quarantined.
    Unreadable {
        /// The reason.
        why: String,
    },
    /// An operator's word that ended a transaction which was quarantined.
    Ended {
        /// The operator's reason.
        reason: String,
    },
}

/// A page of events.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// The last deleted event after the feed's place, if there is one: up to it, only the events of
    /// kept transactions are there. It is told once, and again if more is deleted before the feed
    /// has come that far.
    pub trimmed: Option<EventId>,
    /// The events, in the order of the log.
    pub events: Vec<FeedEvent>,
    /// True if more was durable when this was read.
    pub more: bool,
}

/// The events that become durable, from some event on. It ends with its coordinator's loop, and
/// never holds it up.
pub struct Feed {
    reader: Reader,
    /// The last event that was read.
    after: EventId,
    /// The last trimmed event that was told.
    told_trimmed: EventId,
    folds: Folds,
}

impl Feed {
    pub(crate) fn after(reader: Reader, after: Option<EventId>) -> Self {
        let after = after.unwrap_or_else(|| EventId::end_of(reader.durable()));
        Self { reader, after, told_trimmed: EventId::default(), folds: Folds::default() }
    }

    /// The end of what was read: a feed that begins after this event repeats and misses nothing.
    /// There need not be an event with this id.
    pub fn position(&self) -> EventId {
        self.after
    }

    /// The events that are durable by now of the transactions that `concerns` picks by their
    /// [ordinals](TransactionId::ordinal): some of them, and whether there may be more.
    ///
    /// # Errors
    /// When the log cannot be read. The feed can be read again.
    pub async fn read(
        &mut self,
        concerns: impl Fn(u64) -> bool + Send + 'static,
    ) -> Result<Page, GetError> {
        let durable = self.reader.durable();
        let (after, mut folds) = (self.after, std::mem::take(&mut self.folds));
        let known = after.max(self.told_trimmed);
        let reading = move |log: &dyn LogReader| {
            let (mut entries, more) = entries(log, after, durable)?;
            let last = entries.last().map(|entry| entry.lsn);
            entries.retain(|entry| concerns(entry.ordinal));
            let mut events = Vec::with_capacity(entries.len());
            for entry in &entries {
                folds.take(log, entry, &mut events)?;
            }
            events.retain(|event| event.id > after);
            // Last, so that nothing is trimmed unseen while the rest is read.
            let trimmed = Some(log.last_trimmed_lsn()?).filter(|place| *place > Lsn::default());
            let trimmed = trimmed.map(EventId::end_of_entry).filter(|trimmed| *trimmed > known);
            Ok((Page { trimmed, events, more }, last, folds))
        };
        let (page, last, folds) = self.reader.read(reading).await?;
        self.folds = folds;
        self.told_trimmed = page.trimmed.unwrap_or(self.told_trimmed);
        let read_up_to = if page.more { last.map(EventId::end_of_entry) } else { None };
        self.after = self.after.max(read_up_to.unwrap_or(EventId::end_of(durable)));
        Ok(page)
    }

    /// Waits until more is durable than was read.
    ///
    /// # Errors
    /// When the coordinator has stopped.
    pub async fn more(&mut self) -> Result<(), GetError> {
        let after = self.after;
        let more = |durable| EventId::end_of(durable) > after;
        self.reader.durable_until(more).await.ok_or(GetError::Stopped)
    }
}

/// A page of entries that are durable, and whether there are more of those.
fn entries(
    log: &dyn LogReader,
    after: EventId,
    durable: Position,
) -> Result<(Vec<PlacedEntry>, bool), ReadError> {
    let mut entries = log.entries_after(after.entries_before(), PAGE)?;
    let full = entries.len() == PAGE;
    let read = entries.len();
    // INVARIANT: what is read beyond the last durable batch is not shown.
    entries.retain(|entry| entry.lsn.batch() <= durable);
    let more = full && entries.len() == read;
    Ok((entries, more))
}

/// The durable events of one transaction.
pub(crate) fn events_of(
    log: &dyn LogReader,
    id: TransactionId,
    durable: Position,
) -> Result<Vec<FeedEvent>, ReadError> {
    let mut events = Vec::new();
    let entries = log.entries_of(id.ordinal())?;
    // An ordinal is unique in one log; an id that has it may come from another.
    let known = entries.first().and_then(|first| first.id);
    if known == Some(id) {
        let mut fold = Fold::new(id);
        for entry in entries.iter().take_while(|entry| entry.lsn.batch() <= durable) {
            fold.take(entry, &mut events);
        }
    }
    Ok(events)
}
