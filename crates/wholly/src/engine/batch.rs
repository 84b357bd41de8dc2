//! Group commit: one batch is gathered while another is written.
//!
//! Records that are not forced are held back until their transaction writes anyway, for each entry
//! costs a row and an index of its own: votes join the decision, acknowledgements the end. They
//! are written without it when they have waited for some time, or when a reader asks for it.

use std::time::Duration;

use wholly_core::entry::{self, EndedByHand, Timed};
use wholly_core::{Key, Record, Timestamp, TransactionId};

use super::keys::KeyState;
use super::{Engine, Minted, Part, Progress, Reply};
use crate::log::listing::Labels;
use crate::log::{Entry, Position};

/// How long records that are not forced wait for one of their transaction that is, or the last.
const BUFFERED_FOR: Duration = Duration::from_millis(50);

/// How long a batch that nobody waits for waits for one that leaves anyway.
const IDLE_FLUSH: Duration = Duration::from_millis(20);

/// How long after the last batch one that is still small waits for more, where many come.
const GATHER_FOR: Duration = Duration::from_millis(2);

/// So many entries in the last batch are many.
const MANY: usize = 16;

/// What is appended at once.
#[derive(Default)]
pub(crate) struct Batch {
    /// The position of the batch before it.
    pub after: Position,
    /// One for each transaction.
    pub entries: Vec<PendingEntry>,
    /// Somebody waits for it.
    wanted: bool,
    /// When the first record came into it.
    since: Timestamp,
    /// Those with a forced record in it, which may go on when it is durable.
    gated: Vec<TransactionId>,
    /// The keys of those that ended with it.
    ended: Vec<Key>,
    generation: u64,
}

/// What is remembered of a batch while the log has it.
pub(super) struct Writing {
    gated: Vec<TransactionId>,
    ended: Vec<Key>,
    transactions: Vec<TransactionId>,
}

/// An entry before it is text.
#[derive(Clone)]
pub(crate) struct PendingEntry {
    pub transaction: TransactionId,
    pub sequence: u32,
    pub records: Vec<Timed>,
    pub key: Option<Key>,
    /// What the transaction is with these records.
    pub labels: Labels,
    pub ends: bool,
    /// An operator's word that ends it: then there are no records.
    pub by_hand: Option<EndedByHand>,
}

impl PendingEntry {
    /// The entry as it is appended.
    pub fn into_entry(self) -> Result<Entry, serde_json::Error> {
        let Self { transaction, sequence, records, key, labels, ends, by_hand } = self;
        let (text, ended) = match by_hand {
            Some(by_hand) => (entry::encode_ended(&by_hand)?, Some(by_hand.at)),
            None => {
                let ended = records.last().filter(|_| ends).map(|(at, _)| *at);
                (entry::encode(&records)?, ended)
            }
        };
        Ok(Entry { transaction, sequence, text, key, labels, ended })
    }
}

/// Where a transaction's entry is in the batch being gathered.
#[derive(Clone, Copy)]
pub(super) struct EntrySlot {
    generation: u64,
    index: usize,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When it is written although nobody waits for it.
    pub fn flush_at(&self) -> Option<Timestamp> {
        (!self.is_empty()).then(|| self.since + IDLE_FLUSH)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        !self.is_empty() && (self.wanted || self.flush_at().is_some_and(|at| at <= now))
    }

    fn holds(&self, id: TransactionId) -> bool {
        self.entries.iter().any(|entry| entry.transaction == id)
    }
}

impl<W> Engine<W> {
    /// Keeps a transaction's records: they join the batch that is being gathered, or are held back
    /// until others of the transaction do.
    pub(super) fn record(&mut self, id: TransactionId, records: Vec<Record>, now: Timestamp) {
        let position = self.gathering_position();
        let Some(open) = self.open.get_mut(&id).filter(|_| !records.is_empty()) else { return };
        self.recently_active.saw(&mut open.last_seen, now);
        let forced = records.iter().any(|record| open.part.forces(record));
        let ends = records.last().is_some_and(Record::is_end);
        if open.buffered.is_empty() && !forced && !ends {
            self.buffered.push_back((now + BUFFERED_FOR, id));
        }
        if let (Part::Live(transaction), Some(labels)) = (&open.part, &mut open.labels) {
            labels.update(transaction);
        }
        open.buffered.extend(records.into_iter().map(|record| (now, record)));
        if forced && open.gate != position {
            open.gate = position;
            self.gathering.gated.push(id);
            self.gathering.wanted = true;
        }
        if forced || ends {
            self.write_buffered(id, now);
        }
        self.count_owed(id);
        self.note_stuck(id, now);
    }

    /// Lets a transaction's records join the batch that is being gathered.
    pub(super) fn write_buffered(&mut self, id: TransactionId, now: Timestamp) {
        let position = self.gathering_position();
        let Some(open) = self.open.get_mut(&id).filter(|o| !o.buffered.is_empty()) else { return };
        // INVARIANT: what nothing could be read of has no labels, and records nothing.
        let Some(labels) = &open.labels else { return };
        let batch = &mut self.gathering;
        if batch.is_empty() {
            batch.since = now;
        }
        let place = match open.place.filter(|place| place.generation == batch.generation) {
            Some(place) => place.index,
            None => {
                batch.entries.push(PendingEntry {
                    transaction: id,
                    sequence: open.sequence,
                    records: Vec::with_capacity(open.buffered.len()),
                    key: open.key.clone().filter(|_| open.sequence == 0),
                    labels: labels.clone(),
                    ends: false,
                    by_hand: None,
                });
                open.sequence += 1;
                let index = batch.entries.len() - 1;
                open.place = Some(EntrySlot { generation: batch.generation, index });
                index
            }
        };
        if open.buffered.iter().any(|(_, record)| record.is_decision()) {
            open.decided = position;
        }
        let entry = &mut batch.entries[place];
        entry.records.append(&mut open.buffered);
        (entry.labels.state, entry.labels.stuck) = (labels.state, labels.stuck);
        entry.ends = entry.records.last().is_some_and(|(_, record)| record.is_end());
    }

    /// Lets an operator's word join the batch, as an entry of its own and the transaction's last.
    pub(super) fn write_end(
        &mut self,
        id: TransactionId,
        by_hand: EndedByHand,
        labels: Labels,
        now: Timestamp,
    ) {
        self.write_buffered(id, now);
        let position = self.gathering_position();
        let Some(open) = self.open.get_mut(&id) else { return };
        let batch = &mut self.gathering;
        if batch.is_empty() {
            batch.since = now;
        }
        let index = batch.entries.len();
        batch.entries.push(PendingEntry {
            transaction: id,
            sequence: open.sequence,
            records: Vec::new(),
            key: None,
            labels,
            ends: true,
            by_hand: Some(by_hand),
        });
        open.sequence = open.sequence.saturating_add(1);
        open.place = Some(EntrySlot { generation: batch.generation, index });
        open.gate = position;
        batch.gated.push(id);
        batch.wanted = true;
    }

    /// Writes what has been held back for long enough.
    pub(super) fn write_overdue(&mut self, now: Timestamp) {
        while let Some(&(_, id)) = self.buffered.front().filter(|(due, _)| *due <= now) {
            self.buffered.pop_front();
            self.write_buffered(id, now);
        }
    }

    /// Everything that is known is to be written, although nobody waits for it.
    pub fn flush(&mut self, now: Timestamp) {
        for (_, id) in std::mem::take(&mut self.buffered) {
            self.write_buffered(id, now);
        }
        self.want_batch();
    }

    /// Somebody waits for what is gathered.
    pub(super) fn want_batch(&mut self) {
        self.gathering.wanted = true;
    }

    /// Where the batch that is being gathered will stand.
    pub(super) fn gathering_position(&self) -> Position {
        let before = self.durable;
        if self.writing.is_some() { before.next().next() } else { before.next() }
    }

    /// Hands the gathered batch to the log, if none is being written and this one is due.
    pub(super) fn start_batch(&mut self, now: Timestamp) {
        if self.writing.is_some()
            || !self.gathering.is_due(now)
            || self.gathers_until().is_some_and(|at| now < at)
        {
            return;
        }
        self.last_batch = (now, self.gathering.entries.len());
        let generation = self.gathering.generation + 1;
        let mut batch =
            std::mem::replace(&mut self.gathering, Batch { generation, ..Batch::default() });
        batch.after = self.durable;
        self.writing = Some(Writing {
            gated: std::mem::take(&mut batch.gated),
            ended: std::mem::take(&mut batch.ended),
            transactions: batch.entries.iter().map(|entry| entry.transaction).collect(),
        });
        self.outputs.append = Some(batch);
    }

    /// Until when the batch waits for more although somebody waits for it. On a fast disk, answers
    /// that trickle in would else make many small batches, each of which rewrites the pages at the
    /// edges of the log. Few that go on briskly, or a good part of them gathered: it waits for
    /// nobody, for the log would else stand still until the slowest of them has answered.
    pub(super) fn gathers_until(&self) -> Option<Timestamp> {
        let (at, entries) = self.last_batch;
        let more =
            entries >= MANY && self.gathering.entries.len() < self.recently_active.count() / 4;
        (more && self.gathering.wanted).then(|| at + GATHER_FOR)
    }

    /// The batch that the log has is durable. The next one, if it is due, comes out before what
    /// this one lets go on: the log need not stand still meanwhile.
    pub(super) fn made_durable(&mut self, position: Position, now: Timestamp) {
        // INVARIANT: only the batch that was handed to the log becomes durable.
        let Some(written) = self.writing.take() else { return };
        debug_assert_eq!(position, self.durable.next());
        self.durable = position;
        self.written.push(written);
        self.start_batch(now);
    }

    /// Lets go on what waited for the batches that have become durable.
    pub(super) fn go_on_after_written(&mut self, now: Timestamp) {
        if self.written.is_empty() {
            return;
        }
        for written in std::mem::take(&mut self.written) {
            for id in written.gated {
                self.advance(id, now);
            }
            self.look_up_ended(written.ended);
        }
        let durable = self.durable;
        let told = self.untold.extract_if(.., |(at, ..)| *at <= durable);
        self.outputs.replies.extend(told.map(|(_, reply, to)| (to, reply)));
    }

    /// A transaction ended with the entry at this place: its key is looked up only when that one
    /// is durable.
    pub(super) fn ended_in(&mut self, place: EntrySlot, key: Key) {
        let ended = match &mut self.writing {
            _ if place.generation == self.gathering.generation => &mut self.gathering.ended,
            Some(writing) if place.generation + 1 == self.gathering.generation => {
                &mut writing.ended
            }
            _ => {
                self.keys.remove(&key);
                return;
            }
        };
        ended.push(key.clone());
        self.keys.insert(key, KeyState::Ended(Vec::new()));
    }

    /// Replies what may tell a decision when that is durable; that may start a batch.
    pub(super) fn tell(&mut self, id: TransactionId, reply: Reply, to: W, now: Timestamp) {
        let is_decision = |(_, record): &Timed| record.is_decision();
        if self.open.get(&id).is_some_and(|open| open.buffered.iter().any(is_decision)) {
            self.write_buffered(id, now);
        }
        let position = self.open.get(&id).map(|open| open.gate.max(open.decided));
        match position.filter(|position| *position > self.durable) {
            Some(position) => {
                self.gathering.wanted |= position == self.gathering_position();
                self.untold.push((position, reply, to));
            }
            None => self.reply(to, reply),
        }
    }

    /// The point that the loop has reached. Buffered records count as part of the batch that is being
    /// gathered: they join it if a reader asks for it in time, and nobody was told of them.
    pub fn progress(&self) -> Progress {
        let recorded = match &self.writing {
            _ if self.has_unwritten() => self.gathering_position(),
            Some(_) => self.durable.next(),
            None => self.durable,
        };
        let minted = Minted { identity: self.identity, last_ordinal: self.last_ordinal };
        Progress { recorded, durable: self.durable, minted }
    }

    /// Writes everything that was recorded, if a reader waits for the batch that is being gathered.
    pub fn flush_for(&mut self, wanted: Position, now: Timestamp) {
        if wanted >= self.gathering_position() && self.has_unwritten() {
            self.flush(now);
        }
    }

    fn has_unwritten(&self) -> bool {
        !self.gathering.is_empty() || !self.buffered.is_empty()
    }

    /// With which batch all that was recorded of a transaction is durable, if it is not yet.
    pub(super) fn durable_with(&self, id: TransactionId) -> Option<Position> {
        let writes = |writing: &Writing| writing.transactions.contains(&id);
        match &self.writing {
            _ if self.gathering.holds(id) => Some(self.gathering_position()),
            Some(writing) if writes(writing) => Some(self.durable.next()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use wholly_core::two_phase::StartedBranch;
    use wholly_core::{LogId, ParticipantName, Payload, Target};

    use super::*;
    use crate::Settings;
    use crate::engine::{Change, Input, Random, Submission, Terms, Wait};

    fn submit(engine: &mut Engine<()>, count: usize, now: Timestamp) {
        let participant: ParticipantName = "hangs".parse().unwrap();
        let branch = StartedBranch { participant, payload: Payload::null() };
        let change = Change::TwoPhase { name: "x".parse().unwrap(), branches: vec![branch] };
        for _ in 0..count {
            let submission = Submission {
                key: None,
                other_key: None,
                trace: None,
                deadline: None,
                change: change.clone(),
            };
            engine.handle(Input::Submit { submission, wait: Wait::Accepted, to: () }, now);
        }
    }

    /// Polls, and says that the batch that comes out is durable; how many entries it had.
    fn append(engine: &mut Engine<()>, now: Timestamp) -> Option<usize> {
        let batch = engine.poll(now).append?;
        engine.handle(Input::Durable(batch.after.next()), now);
        engine.poll(now);
        Some(batch.entries.len())
    }

    #[test]
    fn a_batch_does_not_wait_for_what_hangs() {
        let hangs = [(Target::Participant("hangs".parse().unwrap()), Terms::default())];
        let (log, head) = (LogId::from_bits(7), Position::default());
        let random = Random::seeded(7);
        let mut engine =
            Engine::new(Settings::default(), log, head, 0, hangs, random, Default::default());
        let now = Timestamp::from_millis(1_700_000_000_000);
        submit(&mut engine, 100, now);
        assert_eq!(append(&mut engine, now), Some(100));
        // These begun just now, another batch waits for a quarter of them.
        submit(&mut engine, 20, now);
        assert_eq!(append(&mut engine, now), None);
        assert_eq!(append(&mut engine, now + GATHER_FOR), Some(20));
        // None of them was heard of since: a quarter of the next 16 is enough.
        let later = now + Duration::from_secs(1);
        submit(&mut engine, 16, later);
        assert_eq!(append(&mut engine, later), Some(16));
        submit(&mut engine, 6, later);
        assert_eq!(append(&mut engine, later), Some(6));
    }
}
