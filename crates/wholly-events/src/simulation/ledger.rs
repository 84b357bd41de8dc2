//! The commits of a service as they really were, kept beside its database: every event that it
//! published, and every event that it dealt with.

use std::collections::{BTreeMap, BTreeSet};

use wholly_core::Timestamp;

use super::session::{WriteSet, text};
use super::violation::{Checked, Property, ensure};
use crate::cursor::Cursor;
use crate::inbox::ReactionOutcome;
use crate::session::{SqlCell, SqlRow};

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// In the order of the commits.
    pub(super) published: Vec<CommittedEvent>,
    /// In the order of the commits.
    pub(super) marks: Vec<Mark>,
    marked: BTreeSet<(String, String, String)>,
    /// The events that have, or had, a position.
    pub(super) positions: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommittedEvent {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) correlation: String,
    pub(super) causation: String,
    /// The moment of its commit.
    pub(super) at: Timestamp,
    /// The moment that it has as its own.
    pub(super) time: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) reaction: String,
    pub(super) source: String,
    pub(super) id: String,
    pub(super) outcome: ReactionOutcome,
}

impl Ledger {
    /// Enters what a transaction wrote and committed at this time.
    pub(super) fn enter(&mut self, writes: &WriteSet, at: Timestamp) -> Checked {
        for values in &writes.published {
            let text = |nth: usize| text(&values[nth]).to_owned();
            let (id, kind, correlation, causation) = (text(0), text(1), text(2), text(3));
            let SqlCell::Int(millis) = values[5] else { panic!("the time of {values:?}") };
            let time = Timestamp::from_millis(millis.cast_unsigned());
            self.published.push(CommittedEvent { id, kind, correlation, causation, at, time });
        }
        for values in &writes.marks {
            let text = |nth: usize| text(&values[nth]).to_owned();
            let outcome = SqlRow(values.clone()).word(3).unwrap();
            let mark = Mark { reaction: text(0), source: text(1), id: text(2), outcome };
            let key = (text(0), text(1), text(2));
            let is_new = self.marked.insert(key);
            ensure(is_new, Property::Once, || format!("dealt with twice: {mark:?}"))?;
            self.marks.push(mark);
        }
        Ok(())
    }

    pub(super) fn has_dealt_with(&self, reaction: &str, source: &str, id: &str) -> bool {
        self.marked.contains(&(reaction.to_owned(), source.to_owned(), id.to_owned()))
    }

    /// Enters an event that has a position now: that is its own for ever, and it was committed.
    pub(super) fn placed(&mut self, position: u64, id: String) -> Checked {
        let first = self.positions.entry(position).or_insert_with(|| id.clone());
        ensure(*first == id, Property::Positions, || {
            format!("position {position} is {first}'s and {id}'s")
        })?;
        let is_known = self.published.iter().any(|one| one.id == id);
        ensure(is_known, Property::Orphan, || format!("{id} is in the feed, and was not committed"))
    }

    /// True if the event that the cursor names was here, at its place.
    pub(super) fn knows(&self, cursor: &Cursor) -> bool {
        let id = cursor.id.as_ref().map(|id| id.as_str());
        cursor.position == 0 || self.positions.get(&cursor.position).map(String::as_str) == id
    }
}
