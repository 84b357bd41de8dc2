//! Parked events: they wait in a table of the service while other correlations continue.
//!
//! An event is parked if its reaction failed, if its call is out, or if an earlier event of its
//! correlation is parked. Parked events are retried in the order in which they were parked.
//!
//! INVARIANT: only the first parked event of a correlation is retried. While an event is parked,
//! every later event of its correlation is parked behind it, except one that undoes the first.

use std::fmt;

use serde::{Deserialize, Serialize};
use wholly_core::Timestamp;

use crate::event::Event;
use crate::inbox::InboxKey;
use crate::names::{Correlation, EventId, ReactionName, ServiceName};
use crate::session::{Session, SqlError, SqlResult, SqlRow, SqlValue};
use crate::{sql, wire};

/// The reason why an event is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParkedState {
    /// The event waits behind another one of its correlation.
    Waiting,
    /// Its reaction failed and is retried.
    Failing,
    /// Its reaction's call is out: the result is unknown.
    Calling,
    /// Its data cannot be read. It waits for an operator.
    Unreadable,
}

/// A parked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedEvent {
    /// The event's number, in the order of parking.
    pub sequence: u64,
    /// The reaction that it waits for.
    pub reaction: ReactionName,
    /// The event.
    pub event: Event,
    /// The reason for parking.
    pub state: ParkedState,
    /// The number of attempts so far.
    pub tries: u64,
    /// The time of the next attempt, if one is planned.
    pub next_try: Option<Timestamp>,
    /// The error of the last attempt.
    pub error: Option<String>,
    /// The time of parking.
    pub at: Timestamp,
}

impl ParkedState {
    /// The state's name in the database and over HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Calling => "calling",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for ParkedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ParkedEvent {
    pub(crate) fn key(&self) -> InboxKey<'_> {
        InboxKey { reaction: &self.reaction, source: &self.event.source, id: &self.event.id }
    }
}

/// The values of a new parked event.
pub(crate) struct ParkRequest<'a> {
    pub(crate) reaction: &'a ReactionName,
    pub(crate) event: &'a Event,
    pub(crate) state: ParkedState,
    pub(crate) tries: u64,
    pub(crate) next_try: Option<Timestamp>,
    pub(crate) error: Option<&'a str>,
}

/// Parks an event behind all others, unless it is parked already.
pub(crate) async fn park<S: Session>(
    session: &mut S,
    parking: ParkRequest<'_>,
    now: Timestamp,
) -> SqlResult<()> {
    let text = wire::to_json(parking.event, None).map_err(SqlError::unexpected)?;
    let values = [
        SqlValue::Text(parking.reaction.as_str()),
        SqlValue::Text(parking.event.source.as_str()),
        SqlValue::Text(parking.event.id.as_str()),
        SqlValue::Text(parking.event.correlation.as_str()),
        SqlValue::Text(&text),
        SqlValue::Text(parking.state.as_str()),
        parking.tries.into(),
        parking.next_try.map_or(SqlValue::Null, |at| at.as_millis().into()),
        parking.error.into(),
        now.as_millis().into(),
    ];
    session.pipeline(sql::PARK, &values).await
}

/// Records an attempt.
pub(crate) async fn update<S: Session>(
    session: &mut S,
    sequence: u64,
    state: ParkedState,
    tries: u64,
    next_try: Option<Timestamp>,
    error: Option<&str>,
) -> SqlResult<()> {
    let values = [
        SqlValue::Text(state.as_str()),
        tries.into(),
        next_try.map_or(SqlValue::Null, |at| at.as_millis().into()),
        error.into(),
        sequence.into(),
    ];
    session.pipeline(sql::PARKED_UPDATE, &values).await
}

/// Removes a parked event; those behind it become due.
pub(crate) async fn unpark<S: Session>(
    session: &mut S,
    sequence: u64,
    correlation: &Correlation,
    now: Timestamp,
) -> SqlResult<()> {
    session.pipeline(sql::UNPARK, &[sequence.into()]).await?;
    let values = [now.as_millis().into(), SqlValue::Text(correlation.as_str())];
    session.pipeline(sql::PARKED_WAKE, &values).await
}

/// The parked event with this number.
pub(crate) async fn find<S: Session>(
    session: &mut S,
    sequence: u64,
) -> SqlResult<Option<ParkedEvent>> {
    let rows = session.query(sql::PARKED_ONE, &[sequence.into()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The parked events that are due, each the first of its correlation.
pub(crate) async fn due<S: Session>(
    session: &mut S,
    now: Timestamp,
    limit: u64,
) -> SqlResult<Vec<ParkedEvent>> {
    let rows = session.query(sql::PARKED_DUE, &[now.as_millis().into(), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

/// The parked events after this number.
pub(crate) async fn list<S: Session>(
    session: &mut S,
    after: u64,
    limit: u64,
) -> SqlResult<Vec<ParkedEvent>> {
    let rows = session.query(sql::PARKED_LIST, &[after.into(), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

fn read(mut row: SqlRow) -> SqlResult<ParkedEvent> {
    // The names are in the table for its keys; the event has them, too.
    let _: (ServiceName, EventId) = (row.name(2)?, row.name(3)?);
    let (event, _) = wire::from_json(&row.text(5)?).map_err(SqlError::unexpected)?;
    Ok(ParkedEvent {
        sequence: row.number(0)?,
        reaction: row.name(1)?,
        event,
        state: row.word(6)?,
        tries: row.number(7)?,
        next_try: row.optional_number(8)?.map(Timestamp::from_millis),
        error: row.optional_text(9)?,
        at: Timestamp::from_millis(row.number(10)?),
    })
}
