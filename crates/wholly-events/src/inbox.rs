//! The inbox: a handled event is recorded in the transaction that handles it (*idempotent
//! receiver*; Hohpe and Woolf, Enterprise Integration Patterns, 2003).
//!
//! INVARIANT: the key is reaction, source and id. An id is unique only within its source, and two
//! reactions of a service to one event have two effects.

use std::fmt;

use serde::{Deserialize, Serialize};
use wholly_core::Timestamp;

use crate::names::{EventId, ReactionName, ServiceName};
use crate::session::{Session, SqlResult, SqlValue};
use crate::sql;

/// The answer of the inbox to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// First delivery: the caller makes its change in this transaction.
    First,
    /// Repeated delivery: the change was made before, and the caller makes none.
    Again,
}

/// The outcome of a reaction to an event, as recorded in the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReactionOutcome {
    /// The reaction took effect.
    Done,
    /// The reaction refused.
    Refused,
    /// Another reaction had undone this one before the event arrived.
    Suppressed,
    /// An operator dropped the event.
    Dropped,
}

/// Records the event in the caller's transaction; returns whether this is its first delivery.
///
/// Concurrent transactions that receive the same event are serialized.
///
/// # Errors
/// The database's error. The caller must then roll back.
pub async fn receive_once<S: Session>(
    session: &mut S,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
    now: Timestamp,
) -> SqlResult<Received> {
    let key = InboxKey { reaction, source, id };
    match session.execute(sql::RECEIVE, &line(key, ReactionOutcome::Done, None, now)).await? {
        0 => Ok(Received::Again),
        _ => Ok(Received::First),
    }
}

/// The inbox's key: a reaction and an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxKey<'a> {
    pub(crate) reaction: &'a ReactionName,
    pub(crate) source: &'a ServiceName,
    pub(crate) id: &'a EventId,
}

/// Records the outcome of a reaction, and an operator's reason; keeps an earlier record.
pub(crate) async fn record<S: Session>(
    session: &mut S,
    key: InboxKey<'_>,
    outcome: ReactionOutcome,
    reason: Option<&str>,
    now: Timestamp,
) -> SqlResult<()> {
    session.pipeline(sql::RECEIVE, &line(key, outcome, reason, now)).await
}

/// The values of an inbox row.
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
    /// The outcome's name in the database and over HTTP.
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
