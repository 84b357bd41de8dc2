//! The observer by which a service tells its own program of its reactions.

use std::sync::Arc;

use crate::event::{Event, NewEvent};
use crate::inbox::ReactionOutcome;
use crate::names::ReactionName;

/// A reaction that ended, and is committed.
#[derive(Clone, Copy, Debug)]
pub struct EndedReaction<'a> {
    /// The reaction.
    pub reaction: &'a ReactionName,
    /// The event to which it reacted.
    pub event: &'a Event,
    /// Its end.
    pub outcome: ReactionOutcome,
    /// The event that it emitted.
    pub emitted: Option<&'a NewEvent>,
}

pub(crate) type ReactionObserver = Arc<dyn Fn(EndedReaction<'_>) + Send + Sync>;
