//! How an operator ends what was quarantined because its records cannot be used.
//!
//! Nothing is known well enough to decide anything, so nothing is decided and nobody is asked: the
//! word is recorded as the transaction's last entry, and the loop lets it go.

use wholly_core::entry::EndedByHand;
use wholly_core::{Name, Timestamp, TransactionId};

use super::{Engine, Open, OpenState, Reply, Wait};
use crate::error::EndError;
use crate::log::listing::{Labels, Pattern, State};

impl<W> Engine<W> {
    /// Ends a transaction that was quarantined. `sequence` is behind all entries that the log has of
    /// it: of those that are damaged, the loop knows nothing.
    pub(super) fn end(
        &mut self,
        id: TransactionId,
        reason: String,
        sequence: u32,
        to: W,
        now: Timestamp,
    ) {
        let labels = match self.open.get_mut(&id) {
            None => return self.reply(to, Reply::NotOpen),
            Some(Open { quarantined: true, .. }) => {
                return self.reply(to, Reply::NotEnded(EndError::Restored { id }));
            }
            Some(Open { part: OpenState::Live(_), .. }) => {
                return self.reply(to, Reply::NotEnded(EndError::NotQuarantined { id }));
            }
            // Somebody was first.
            Some(Open { part: OpenState::Ended, .. }) => {
                return self.wait(id, Wait::Recorded, to, now);
            }
            Some(Open { part: OpenState::Unusable, entries, .. }) => {
                entries.sequence = entries.sequence.max(sequence);
                entries.labels.clone().or_else(unknown)
            }
        };
        let Some(labels) = labels else {
            let why = "it has no name to be listed by".to_owned();
            return self.reply(to, Reply::NotEnded(EndError::Unavailable { why }));
        };
        let by_hand = EndedByHand { at: now, reason };
        self.write_end(id, by_hand, Labels { stuck: false, ..labels }, now);
        if let Some(open) = self.open.get_mut(&id) {
            open.part = OpenState::Ended;
        }
        self.note_quarantined(id, None);
        self.note_stuck(id, now);
        self.wait(id, Wait::Recorded, to, now);
    }
}

/// How a list shows what nothing is known of.
fn unknown() -> Option<Labels> {
    let name = Name::new("unknown").ok()?;
    let (pattern, state) = (Pattern::TwoPhase, State::Init);
    Some(Labels { name, pattern, participants: [].into(), state, stuck: false })
}
