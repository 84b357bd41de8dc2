//! Group commit: one batch is gathered while another is written.
//!
//! A sync costs about the same however much it makes durable, so the records of many transactions
//! share the next one (DeWitt et al., *Implementation Techniques for Main Memory Database Systems*,
//! 1984). There is at most one batch with the log: the next cannot overtake it, and a failed one
//! leaves nothing behind it.
//!
//! ```text
//!   record ──▶ buffered ──▶ gathering ──▶ writing ──▶ written ──▶ what waited goes on
//!              not forced   a row each    the log      durable
//! ```
//!
//! Records that are not forced are *buffered* until their transaction writes anyway, for each entry
//! costs a row and an index of its own: votes join the decision, acknowledgements the end. They are
//! written without it when they have waited for some time, or when a reader asks for it.
//!
//! A batch is *gathered* until somebody waits for it, and a little longer where many come: on a
//! fast disk, answers that trickle in would else make many small batches, each of which rewrites
//! the pages at the edges of the log.
//!
//! INVARIANT: only the batch that was handed to the log becomes durable; at most one is with it.

mod batch;
mod recently_active;

use std::collections::VecDeque;
use std::time::Duration;

use wholly_core::entry::{EndedByHand, Timed};
use wholly_core::{Key, Record, Timestamp, TransactionId};

pub(super) use batch::Released;
use batch::Writing;
pub(crate) use batch::{Batch, PendingEntry};
use recently_active::{LastSeen, RecentlyActive};

use crate::log::Position;
use crate::log::listing::Labels;

/// The longest wait of an unforced record for a forced record of its transaction, or the last.
const BUFFERED_FOR: Duration = Duration::from_millis(50);

/// The time after the last batch for which a small one waits for more, where many come.
pub(super) const GATHER_FOR: Duration = Duration::from_millis(2);

/// The number of entries in the last batch that counts as many.
const MANY: usize = 16;

/// The batches of one log. A `T` waits for one of them to be durable.
pub(super) struct GroupCommit<T> {
    durable: Position,
    gathering: Batch,
    /// The transactions with buffered records, and the end of their wait; oldest first.
    buffered: VecDeque<(Timestamp, TransactionId)>,
    writing: Option<Writing>,
    /// The releases of durable batches, not taken yet.
    written: Vec<Released>,
    /// The time at which the last batch was handed to the log, and its number of entries.
    last_batch: (Timestamp, usize),
    waiting: Vec<(Position, T)>,
    active: RecentlyActive,
}

/// The entries of one transaction, in the log and on their way there.
pub(super) struct Entries {
    /// Its labels in the log; `None` where nothing of it could be read.
    pub(super) labels: Option<Labels>,
    /// The sequence of its next entry.
    pub(super) sequence: u32,
    /// Its records that are in no batch yet.
    buffered: Vec<Timed>,
    slot: Option<EntrySlot>,
    /// The batch with its last forced record: nothing leaves before that one is durable.
    gate: Position,
    /// The batch with its decision, once that is in one.
    decided: Position,
    last_seen: LastSeen,
}

/// The place of an entry in the batch that was gathered with it.
#[derive(Clone, Copy)]
struct EntrySlot {
    generation: u64,
    index: usize,
}

impl Entries {
    pub fn new(labels: Option<Labels>) -> Self {
        Self {
            labels,
            sequence: 0,
            buffered: Vec::new(),
            slot: None,
            gate: Position::default(),
            decided: Position::default(),
            last_seen: LastSeen::default(),
        }
    }

    /// True if a decision is among the records that are in no batch yet.
    pub fn buffers_a_decision(&self) -> bool {
        self.buffered.iter().any(|(_, record)| record.is_decision())
    }
}

impl<T> GroupCommit<T> {
    /// The batches of a log whose last one is at `head`.
    pub fn after(head: Position) -> Self {
        Self {
            durable: head,
            gathering: Batch::default(),
            buffered: VecDeque::new(),
            writing: None,
            written: Vec::new(),
            last_batch: Default::default(),
            waiting: Vec::new(),
            active: RecentlyActive::default(),
        }
    }

    /// Keeps a transaction's records: they join the batch that is being gathered, or are buffered
    /// until others of the transaction do. Its labels are those after the records.
    pub fn record(
        &mut self,
        id: TransactionId,
        key: Option<&Key>,
        entries: &mut Entries,
        records: Vec<Record>,
        forced: bool,
        now: Timestamp,
    ) {
        let position = self.gathering_position();
        self.active.saw(&mut entries.last_seen, now);
        let ends = records.last().is_some_and(Record::is_end);
        if entries.buffered.is_empty() && !forced && !ends {
            self.buffered.push_back((now + BUFFERED_FOR, id));
        }
        entries.buffered.extend(records.into_iter().map(|record| (now, record)));
        if forced && entries.gate != position {
            entries.gate = position;
            self.gathering.released.gated.push(id);
            self.gathering.wanted = true;
        }
        if forced || ends {
            self.write_buffered(id, key, entries, now);
        }
    }

    /// Lets a transaction's buffered records join the batch that is being gathered.
    pub fn write_buffered(
        &mut self,
        id: TransactionId,
        key: Option<&Key>,
        entries: &mut Entries,
        now: Timestamp,
    ) {
        // INVARIANT: a wholly unreadable transaction has no labels, and records nothing.
        let Some(labels) = &entries.labels else { return };
        if entries.buffered.is_empty() {
            return;
        }
        let position = self.gathering_position();
        let generation = self.gathering.generation;
        let index = match entries.slot.filter(|slot| slot.generation == generation) {
            Some(slot) => slot.index,
            None => {
                let new = PendingEntry {
                    transaction: id,
                    sequence: entries.sequence,
                    records: Vec::with_capacity(entries.buffered.len()),
                    key: key.cloned().filter(|_| entries.sequence == 0),
                    labels: labels.clone(),
                    ends: false,
                    by_hand: None,
                };
                entries.sequence += 1;
                let index = self.gathering.push(new, now);
                entries.slot = Some(EntrySlot { generation, index });
                index
            }
        };
        if entries.buffers_a_decision() {
            entries.decided = position;
        }
        let entry = &mut self.gathering.entries[index];
        entry.records.append(&mut entries.buffered);
        (entry.labels.state, entry.labels.stuck) = (labels.state, labels.stuck);
        entry.ends = entry.records.last().is_some_and(|(_, record)| record.is_end());
    }

    /// Lets an operator's word join the batch, as an entry of its own and the transaction's last.
    pub fn write_end(
        &mut self,
        id: TransactionId,
        entries: &mut Entries,
        by_hand: EndedByHand,
        labels: Labels,
        now: Timestamp,
    ) {
        let end = PendingEntry {
            transaction: id,
            sequence: entries.sequence,
            records: Vec::new(),
            key: None,
            labels,
            ends: true,
            by_hand: Some(by_hand),
        };
        entries.sequence = entries.sequence.saturating_add(1);
        entries.gate = self.gathering_position();
        let index = self.gathering.push(end, now);
        entries.slot = Some(EntrySlot { generation: self.gathering.generation, index });
        self.gathering.released.gated.push(id);
        self.gathering.wanted = true;
    }

    /// The next transaction whose records have been buffered for long enough.
    pub fn next_overdue(&mut self, now: Timestamp) -> Option<TransactionId> {
        self.buffered.front().filter(|(due, _)| *due <= now)?;
        self.buffered.pop_front().map(|(_, id)| id)
    }

    /// All transactions with buffered records, which are to be written now.
    pub fn take_buffered(&mut self) -> impl Iterator<Item = TransactionId> + use<T> {
        std::mem::take(&mut self.buffered).into_iter().map(|(_, id)| id)
    }

    /// Notes that somebody waits for the gathered batch.
    pub fn want(&mut self) {
        self.gathering.wanted = true;
    }

    /// Takes the gathered batch, for the log, if none is being written and this one is due.
    pub fn start(&mut self, now: Timestamp) -> Option<Batch> {
        if self.writing.is_some()
            || !self.gathering.is_due(now)
            || self.gathers_until().is_some_and(|at| now < at)
        {
            return None;
        }
        self.last_batch = (now, self.gathering.entries.len());
        let generation = self.gathering.generation + 1;
        let mut batch =
            std::mem::replace(&mut self.gathering, Batch { generation, ..Batch::default() });
        batch.after = self.durable;
        self.writing = Some(Writing {
            released: std::mem::take(&mut batch.released),
            transactions: batch.entries.iter().map(|entry| entry.transaction).collect(),
        });
        Some(batch)
    }

    /// The time until which the batch waits for more although somebody waits for it. Where few
    /// transactions are active, or a good part of them is gathered, it waits for nobody, for the
    /// log would else stand still until the slowest of them has answered.
    fn gathers_until(&self) -> Option<Timestamp> {
        let (at, entries) = self.last_batch;
        let more = entries >= MANY && self.gathering.entries.len() < self.active.count() / 4;
        (more && self.gathering.wanted).then(|| at + GATHER_FOR)
    }

    /// The time at which something is due even if nothing comes.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let flush = self.gathers_until().or(self.gathering.flush_at());
        let flush = flush.filter(|_| self.writing.is_none());
        let overdue = self.buffered.front().map(|&(due, _)| due);
        flush.into_iter().chain(overdue).min()
    }

    /// Notes that the batch that the log has is durable.
    pub fn made_durable(&mut self, position: Position) {
        let Some(Writing { released, .. }) = self.writing.take() else { return };
        debug_assert_eq!(position, self.durable.next());
        self.durable = position;
        self.written.push(released);
    }

    /// Takes the releases of the batches that have become durable.
    pub fn take_released(&mut self) -> Vec<Released> {
        std::mem::take(&mut self.written)
    }

    /// The position up to which all is durable.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// True if nothing holds back what follows from a transaction's forced records.
    pub fn may_leave(&self, entries: &Entries) -> bool {
        entries.gate <= self.durable
    }

    /// The position of the batch that is being gathered.
    fn gathering_position(&self) -> Position {
        let before = self.durable;
        if self.writing.is_some() { before.next().next() } else { before.next() }
    }

    /// The batch with which all that was recorded of a transaction is durable, if it is not yet.
    pub fn durable_with(&self, id: TransactionId) -> Option<Position> {
        match &self.writing {
            _ if self.gathering.holds(id) => Some(self.gathering_position()),
            Some(writing) if writing.transactions.contains(&id) => Some(self.durable.next()),
            _ => None,
        }
    }

    /// The position with which all that was recorded is durable. Buffered records count as part of
    /// the gathered batch: they join it if a reader asks for it in time, and nobody was told of
    /// them.
    pub fn recorded(&self) -> Position {
        match &self.writing {
            _ if self.has_unwritten() => self.gathering_position(),
            Some(_) => self.durable.next(),
            None => self.durable,
        }
    }

    /// True if a reader of this position waits for records that the log was not handed.
    pub fn gathers_for(&self, wanted: Position) -> bool {
        wanted >= self.gathering_position() && self.has_unwritten()
    }

    /// The batch with which a transaction's decision may be told, if that one is not durable yet.
    pub fn decision_durable_with(&self, entries: &Entries) -> Option<Position> {
        Some(entries.gate.max(entries.decided)).filter(|position| *position > self.durable)
    }

    /// Keeps a waiter until this position is durable; that may start a batch.
    pub fn wait(&mut self, position: Position, waits: T) {
        self.gathering.wanted |= position == self.gathering_position();
        self.waiting.push((position, waits));
    }

    /// Takes the waiters that need not wait any longer.
    pub fn take_ready(&mut self) -> Vec<T> {
        let durable = self.durable;
        self.waiting.extract_if(.., |(at, _)| *at <= durable).map(|(_, waits)| waits).collect()
    }

    /// The remaining waiters, when the log has failed.
    pub fn into_waiting(self) -> impl Iterator<Item = T> {
        self.waiting.into_iter().map(|(_, waits)| waits)
    }

    /// Lets a transaction go. Its key comes with the release of its last entry's batch; false if
    /// that batch is durable already.
    pub fn let_go(&mut self, entries: &Entries, key: Option<&Key>) -> bool {
        self.active.forget(entries.last_seen);
        let (Some(slot), Some(key)) = (entries.slot, key) else { return false };
        let released = match &mut self.writing {
            _ if slot.generation == self.gathering.generation => &mut self.gathering.released,
            Some(writing) if slot.generation + 1 == self.gathering.generation => {
                &mut writing.released
            }
            _ => return false,
        };
        released.ended.push(key.clone());
        true
    }

    /// True if nothing of a transaction is on its way to the log.
    pub fn is_still(&self, id: TransactionId, entries: &Entries) -> bool {
        self.may_leave(entries) && entries.buffered.is_empty() && self.durable_with(id).is_none()
    }

    /// True if anything was recorded that the log was not handed.
    fn has_unwritten(&self) -> bool {
        !self.buffered.is_empty() || !self.gathering.is_empty()
    }

    /// True while the log has a batch.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// True if nothing is on its way to the log, and nothing waits to go on.
    pub fn is_flushed(&self) -> bool {
        self.writing.is_none()
            && self.written.is_empty()
            && self.gathering.is_empty()
            && self.buffered.is_empty()
    }
}
