//! From records to the log, and back to what waited for them to be durable.

use wholly_core::entry::EndedByHand;
use wholly_core::{Key, Record, Timestamp, TransactionId};

use super::group_commit::Released;
use super::keys::KeyState;
use super::{Engine, Minted, OpenState, Progress, Reply};
use crate::log::Position;
use crate::log::listing::Labels;

impl<W> Engine<W> {
    /// Keeps a transaction's records.
    pub(super) fn record(&mut self, id: TransactionId, records: Vec<Record>, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id).filter(|_| !records.is_empty()) else { return };
        let forced = records.iter().any(|record| open.part.forces(record));
        if let (OpenState::Live(transaction), Some(labels)) = (&open.part, &mut open.entries.labels)
        {
            labels.update(transaction);
        }
        self.commit.record(id, open.key.as_ref(), &mut open.entries, records, forced, now);
        self.count_owed(id);
        self.note_stuck(id, now);
    }

    /// Lets a transaction's buffered records join the batch that is being gathered.
    pub(super) fn write_buffered(&mut self, id: TransactionId, now: Timestamp) {
        if let Some(open) = self.open.get_mut(&id) {
            self.commit.write_buffered(id, open.key.as_ref(), &mut open.entries, now);
        }
    }

    /// Lets an operator's word join the batch, as the transaction's last entry.
    pub(super) fn write_end(
        &mut self,
        id: TransactionId,
        by_hand: EndedByHand,
        labels: Labels,
        now: Timestamp,
    ) {
        self.write_buffered(id, now);
        if let Some(open) = self.open.get_mut(&id) {
            self.commit.write_end(id, &mut open.entries, by_hand, labels, now);
        }
    }

    /// Writes what has been buffered for long enough.
    pub(super) fn write_overdue(&mut self, now: Timestamp) {
        while let Some(id) = self.commit.next_overdue(now) {
            self.write_buffered(id, now);
        }
    }

    /// Everything that is known is to be written, although nobody waits for it.
    pub fn flush(&mut self, now: Timestamp) {
        for id in self.commit.take_buffered() {
            self.write_buffered(id, now);
        }
        self.commit.want();
    }

    /// Hands the gathered batch to the log, if none is being written and this one is due.
    pub(super) fn start_batch(&mut self, now: Timestamp) {
        if let Some(batch) = self.commit.start(now) {
            self.outputs.append = Some(batch);
        }
    }

    /// The batch that the log has is durable. The next one, if it is due, comes out before what
    /// this one lets go on: the log need not stand still meanwhile.
    pub(super) fn made_durable(&mut self, position: Position, now: Timestamp) {
        self.commit.made_durable(position);
        self.start_batch(now);
    }

    /// Lets go on what waited for the batches that have become durable.
    pub(super) fn go_on_after_written(&mut self, now: Timestamp) {
        let written = self.commit.take_released();
        if written.is_empty() {
            return;
        }
        for Released { gated, ended } in written {
            for id in gated {
                self.advance(id, now);
            }
            self.look_up_ended(ended);
        }
        let told = self.commit.take_ready();
        self.outputs.replies.extend(told.into_iter().map(|(reply, to)| (to, reply)));
    }

    /// A transaction is gone from memory. Its key is looked up only when its last entry is durable.
    pub(super) fn entries_end(&mut self, entries: &super::Entries, key: Option<Key>) {
        let key = key.filter(|key| !self.is_looked_up(key));
        let ends_later = self.commit.let_go(entries, key.as_ref());
        match key {
            Some(key) if ends_later => _ = self.keys.insert(key, KeyState::Ended(Vec::new())),
            Some(key) => _ = self.keys.remove(&key),
            None => {}
        }
    }

    /// Replies what may tell a decision when that is durable; that may start a batch.
    pub(super) fn tell(&mut self, id: TransactionId, reply: Reply, to: W, now: Timestamp) {
        if self.open.get(&id).is_some_and(|open| open.entries.buffers_a_decision()) {
            self.write_buffered(id, now);
        }
        let open = self.open.get(&id);
        match open.and_then(|open| self.commit.decision_durable_with(&open.entries)) {
            Some(position) => self.commit.wait(position, (reply, to)),
            None => self.reply(to, reply),
        }
    }

    /// The point that the loop has reached.
    pub fn progress(&self) -> Progress {
        let minted = Minted { identity: self.identity, last_ordinal: self.last_ordinal };
        Progress { recorded: self.commit.recorded(), durable: self.commit.durable(), minted }
    }

    /// Writes everything that was recorded, if a reader waits for the batch that is being gathered.
    pub fn flush_for(&mut self, wanted: Position, now: Timestamp) {
        if self.commit.gathers_for(wanted) {
            self.flush(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wholly_core::two_phase::{Proposal, StartedBranch};
    use wholly_core::{LogId, ParticipantName, Payload, Target};

    use super::*;
    use crate::Settings;
    use crate::engine::group_commit::GATHER_FOR;
    use crate::engine::{Input, NewTransaction, Random, Terms, Wait};

    fn submit(engine: &mut Engine<()>, count: usize, now: Timestamp) {
        let participant: ParticipantName = "hangs".parse().unwrap();
        let branch = StartedBranch { participant, payload: Payload::null() };
        let branches = vec![branch];
        let proposal = Proposal::new("x".parse().unwrap(), branches).unwrap();
        for _ in 0..count {
            let submission = NewTransaction {
                key: None,
                other_key: None,
                trace: None,
                deadline: None,
                proposal: proposal.clone().into(),
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
