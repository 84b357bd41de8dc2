//! The observer: a callback of the program for each ended reaction.

use std::sync::Arc;

use crate::event::{Event, NewEvent};
use crate::inbox::ReactionOutcome;
use crate::names::ReactionName;

/// A reaction that has ended and is committed.
#[derive(Clone, Copy, Debug)]
pub struct EndedReaction<'a> {
    /// The reaction.
    pub reaction: &'a ReactionName,
    /// The event that triggered it.
    pub event: &'a Event,
    /// Its outcome.
    pub outcome: ReactionOutcome,
    /// The event that it emitted, if any.
    pub emitted: Option<&'a NewEvent>,
}

pub(crate) type ReactionObserver = Arc<dyn Fn(EndedReaction<'_>) + Send + Sync>;
