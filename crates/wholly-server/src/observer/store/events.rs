//! Events as they were read, and the place up to which they were read.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use wholly_core::Timestamp;
use wholly_events::feed::FeedPage;
use wholly_events::{Correlation, Cursor, EventId, EventType, ServiceName};

use super::services::declarations;
use super::{Store, StoreError, rows};

/// The most events of a correlation that are kept: more is no transaction, but a mistake.
pub(super) const EVENTS_LIMIT: u64 = 1_000;

/// The longest data that is kept, in bytes: longer data can be had from its publisher.
const DATA_LIMIT: usize = 16 * 1024;

/// The most that a publisher's clock may be ahead: a later time would keep its event for ever.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// An event as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub source: ServiceName,
    pub id: EventId,
    pub position: u64,
    pub kind: EventType,
    /// The time by its publisher's clock; if that cannot be, the time at which it was read.
    pub at: Timestamp,
    pub causation: Option<EventId>,
    /// JSON; `None` if it is long.
    pub data: Option<String>,
}

impl Store {
    /// The place up to which a feed was read.
    pub async fn cursor(&self, source: ServiceName) -> Result<Option<Cursor>, StoreError> {
        self.run(move |db| {
            let sql = "SELECT cursor FROM feed WHERE source = ?1";
            let found = db.query_row(sql, [source.as_str()], |row| row.get(0)).optional()?;
            let text: Option<String> = found.flatten();
            // A text that is no cursor is read again from the beginning.
            Ok(text.and_then(|text| text.parse().ok()))
        })
        .await
    }

    /// Forgets the place, so that the feed is read from its earliest event on.
    pub async fn forget_cursor(&self, source: ServiceName) -> Result<(), StoreError> {
        let sql = "UPDATE feed SET cursor = NULL WHERE source = ?1";
        self.run(move |db| db.execute(sql, [source.as_str()]).map(drop)).await
    }

    /// Takes in events of a feed, with the place behind them.
    pub async fn take(
        &self,
        source: ServiceName,
        page: FeedPage,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.run(move |db| {
            let mut touched: Vec<Correlation> = Vec::new();
            for placed in page.events {
                let correlation = placed.event.correlation.clone();
                let at = match placed.event.time {
                    at if at == Timestamp::default() || at > now + AHEAD => now,
                    at => at,
                };
                rows::begin(db, &correlation, at)?;
                let observed = Observed {
                    source: source.clone(),
                    id: placed.event.id,
                    position: placed.position,
                    kind: placed.event.kind,
                    at,
                    causation: placed.event.causation,
                    data: Some(placed.event.data).filter(|data| data.len() <= DATA_LIMIT),
                };
                if insert(db, &correlation, &observed)? && !touched.contains(&correlation) {
                    touched.push(correlation);
                }
            }
            let declared = declarations(db)?;
            for correlation in touched {
                rows::judge(db, &correlation, &declared, now)?;
            }
            let sql = "INSERT INTO feed (source, cursor) VALUES (?1, ?2)
                ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor";
            db.execute(sql, params![source.as_str(), page.cursor.to_string()]).map(drop)
        })
        .await
    }
}

/// Writes an event, if it is not there; returns true if anything changed.
fn insert(db: &Connection, correlation: &Correlation, event: &Observed) -> rusqlite::Result<bool> {
    let mut known = db.prepare_cached("SELECT 1 FROM event WHERE source = ?1 AND id = ?2")?;
    if known.exists([event.source.as_str(), event.id.as_str()])? {
        return Ok(false);
    }
    let mut count = db.prepare_cached("SELECT count(*) FROM event WHERE correlation = ?1")?;
    let count = count.query_row([correlation.as_str()], |row| number(row, 0))?;
    if count >= EVENTS_LIMIT {
        rows::leave_out(db, correlation)?;
        return Ok(false);
    }
    let sql = "INSERT INTO event (source, id, position, type, at, correlation, causation, data)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    db.prepare_cached(sql)?.execute(params![
        event.source.as_str(),
        event.id.as_str(),
        i64::try_from(event.position).unwrap_or(i64::MAX),
        event.kind.as_str(),
        millis(event.at),
        correlation.as_str(),
        event.causation.as_ref().map(EventId::as_str),
        event.data,
    ])?;
    Ok(true)
}

/// The events of a correlation, in the order of their times, with their data or without it.
pub(super) fn of(
    db: &Connection,
    correlation: &Correlation,
    with_data: bool,
) -> rusqlite::Result<Vec<Observed>> {
    let sql = "SELECT source, id, position, type, at, causation, CASE WHEN ?2 THEN data END
        FROM event WHERE correlation = ?1 ORDER BY at, rowid";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![correlation.as_str(), with_data])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(Observed {
            source: name(row, 0)?,
            id: name(row, 1)?,
            position: number(row, 2)?,
            kind: name(row, 3)?,
            at: time(row.get(4)?),
            causation: optional_name(row, 5)?,
            data: row.get(6)?,
        });
    }
    Ok(events)
}

/// A time as SQLite counts.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// The number in a column: SQLite's have a sign, and the written ones have none.
pub(super) fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// The name in a column. One that is none is damage: only names were written.
pub(super) fn name<T>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err = wholly_events::InvalidName>,
{
    let text: String = row.get(column)?;
    let damaged = |why| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(why))
    };
    text.parse().map_err(damaged)
}

pub(super) fn optional_name<T>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err = wholly_events::InvalidName>,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => name(row, column).map(Some),
    }
}
