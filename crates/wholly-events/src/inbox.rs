//! The inbox: what was dealt with is remembered in the transaction that dealt with it (*idempotent
//! receiver*; Hohpe and Woolf, Enterprise Integration Patterns, 2003).
//!
//! INVARIANT: the key is reaction, source and id. An id is unique only within its source, and two
//! reactions of a service to one event are two effects.

use std::fmt;

use serde::{Deserialize, Serialize};
use wholly_core::Timestamp;

use crate::names::{EventId, ReactionName, ServiceName};
use crate::session::{Session, SqlError, SqlValue};
use crate::sql;

/// The answer of the inbox to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The event came for the first time: make the change, in this transaction.
    First,
    /// The event came before, and its change was made then: make none.
    Again,
}

/// The outcome of an event, as the inbox keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReactionOutcome {
    /// The reaction took effect.
    Done,
    /// The reaction refused.
    Refused,
    /// Another reaction had taken it back before it came.
    Suppressed,
    /// An operator dropped it.
    Dropped,
}

/// Remembers the event in the caller's transaction, and tells whether it came before.
///
/// Two transactions that receive the same event at once do so one after the other.
///
/// # Errors
/// What the database says. The caller must then roll back.
pub async fn receive_once<S: Session>(
    session: &mut S,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
    now: Timestamp,
) -> Result<Received, SqlError> {
    let key = InboxKey { reaction, source, id };
    match session.execute(sql::RECEIVE, &line(key, ReactionOutcome::Done, None, now)).await? {
        0 => Ok(Received::Again),
        _ => Ok(Received::First),
    }
}

/// A reaction to an event: the inbox's key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxKey<'a> {
    pub(crate) reaction: &'a ReactionName,
    pub(crate) source: &'a ServiceName,
    pub(crate) id: &'a EventId,
}

/// Remembers what became of the event, and the operator's reason, unless it is remembered already.
pub(crate) async fn record<S: Session>(
    session: &mut S,
    key: InboxKey<'_>,
    outcome: ReactionOutcome,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), SqlError> {
    session.pipeline(sql::RECEIVE, &line(key, outcome, reason, now)).await
}

/// A line of the inbox.
fn line<'a>(
    key: InboxKey<'a>,
    outcome: ReactionOutcome,
    reason: Option<&'a str>,
    now: Timestamp,
) -> [SqlValue<'a>; 6] {
    [
        SqlValue::Text(key.reaction.as_str()),
        SqlValue::Text(key.source.as_str()),
        SqlValue::Text(key.id.as_str()),
        SqlValue::Text(outcome.as_str()),
        now.as_millis().into(),
        reason.into(),
    ]
}

impl ReactionOutcome {
    /// The word for it, in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Suppressed => "suppressed",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for ReactionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
