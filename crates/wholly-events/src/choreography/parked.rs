//! Events that wait in the service's own table, so that others go on.
//!
//! An event is parked when its reaction failed, when its call to something that is no database is
//! out, or when it stands behind such an event of the same correlation. They are tried in the order
//! in which they were parked.
//!
//! INVARIANT: of a correlation only the first parked event is tried, and while one is parked every
//! other event of the correlation is parked behind it, but for one that undoes the first.

use std::fmt;

use serde::{Deserialize, Serialize};
use wholly_core::Timestamp;

use crate::event::Event;
use crate::inbox::InboxKey;
use crate::names::{Correlation, EventId, ReactionName, ServiceName};
use crate::session::{Session, SqlError, SqlRow, SqlValue};
use crate::{sql, wire};

/// Why an event is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParkedState {
    /// The event stands behind another one of its correlation.
    Waiting,
    /// Its reaction failed, and is tried again.
    Failing,
    /// Its reaction's call is out, and how it ended is not known.
    Calling,
    /// Its data cannot be read: it waits for an operator.
    Unreadable,
}

/// A parked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Its place among all that was ever parked here.
    pub sequence: u64,
    /// The reaction that it waits for.
    pub reaction: ReactionName,
    /// The event.
    pub event: Event,
    /// Why it is parked.
    pub state: ParkedState,
    /// The number of times its reaction was tried.
    pub tries: u64,
    /// The time of the next try, if there is to be one.
    pub next_try: Option<Timestamp>,
    /// The error of the last try.
    pub error: Option<String>,
    /// The time at which it was parked.
    pub at: Timestamp,
}

impl ParkedState {
    /// The word for it, in the database and in answers.
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

/// The values with which an event is parked.
pub(crate) struct ParkRequest<'a> {
    pub(crate) reaction: &'a ReactionName,
    pub(crate) event: &'a Event,
    pub(crate) state: ParkedState,
    pub(crate) tries: u64,
    pub(crate) next_try: Option<Timestamp>,
    pub(crate) error: Option<&'a str>,
}

/// Parks an event behind all others; does nothing where it is parked already.
pub(crate) async fn park<S: Session>(
    session: &mut S,
    parking: ParkRequest<'_>,
    now: Timestamp,
) -> Result<(), SqlError> {
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

/// Sets what became of a try.
pub(crate) async fn update<S: Session>(
    session: &mut S,
    sequence: u64,
    state: ParkedState,
    tries: u64,
    next_try: Option<Timestamp>,
    error: Option<&str>,
) -> Result<(), SqlError> {
    let values = [
        SqlValue::Text(state.as_str()),
        tries.into(),
        next_try.map_or(SqlValue::Null, |at| at.as_millis().into()),
        error.into(),
        sequence.into(),
    ];
    session.pipeline(sql::PARKED_UPDATE, &values).await
}

/// Takes an event out of the table; those behind it become due.
pub(crate) async fn unpark<S: Session>(
    session: &mut S,
    sequence: u64,
    correlation: &Correlation,
    now: Timestamp,
) -> Result<(), SqlError> {
    session.pipeline(sql::UNPARK, &[sequence.into()]).await?;
    let values = [now.as_millis().into(), SqlValue::Text(correlation.as_str())];
    session.pipeline(sql::PARKED_WAKE, &values).await
}

/// One parked event.
pub(crate) async fn find<S: Session>(
    session: &mut S,
    sequence: u64,
) -> Result<Option<ParkedEvent>, SqlError> {
    let rows = session.query(sql::PARKED_ONE, &[sequence.into()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The events that are to be tried now, the first of its correlation each.
pub(crate) async fn due<S: Session>(
    session: &mut S,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<ParkedEvent>, SqlError> {
    let rows = session.query(sql::PARKED_DUE, &[now.as_millis().into(), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

/// The events that are parked behind this place.
pub(crate) async fn list<S: Session>(
    session: &mut S,
    after: u64,
    limit: u64,
) -> Result<Vec<ParkedEvent>, SqlError> {
    let rows = session.query(sql::PARKED_LIST, &[after.into(), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

fn read(mut row: SqlRow) -> Result<ParkedEvent, SqlError> {
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
