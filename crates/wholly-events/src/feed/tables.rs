//! The feed in the publisher's own tables: positions, pages and retention.

use wholly_core::Timestamp;

use super::{CursorRefusal, FeedPage, SetAside, StartFrom};
use crate::cursor::Cursor;
use crate::event::{DATA_LIMIT, Event};
use crate::names::{EventId, ServiceName};
use crate::probe::{Law, broken};
use crate::session::{Session, SqlError, SqlResult, SqlRow};
use crate::wire::PositionedEvent;
use crate::{SqlValue, sql};

/// The largest number of events that get a position in one transaction.
pub(crate) const SEQUENCE_BATCH: u64 = 1_000;

/// The largest number of rows deleted in one transaction, so that other transactions wait briefly.
pub(crate) const TRIM_BATCH: u64 = 1_000;

/// The cursors of the last event with a position and of the last trimmed event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedBounds {
    /// The cursor of the last event.
    pub head: Cursor,
    /// The cursor of the last trimmed event.
    pub trimmed: Cursor,
}

/// Names the feed unless it has a name; returns the version of the tables and the name.
pub(crate) async fn name<S: Session>(
    session: &mut S,
    source: &ServiceName,
) -> SqlResult<(u64, ServiceName)> {
    let version = SqlValue::Int(sql::SCHEMA_VERSION);
    session.execute(sql::NAME_FEED, &[version, SqlValue::Text(source.as_str())]).await?;
    let rows = session.query(sql::FEED_NAME, &[]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Err(no_feed()) };
    Ok((row.number(0)?, row.name(1)?))
}

/// The end of a feed after positions were assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// The cursor of the last event, or of an earlier one if there are very many new events.
    pub head: Cursor,
    /// The events after the caller's cursor up to the head. None if the feed no longer has that
    /// cursor.
    pub page: Option<FeedPage>,
}

/// Assigns positions to committed events that have none; returns the events after the known cursor.
/// They may be served after the commit of this transaction.
pub(crate) async fn sequence<S: Session>(
    session: &mut S,
    source: &ServiceName,
    known: Option<&Cursor>,
) -> SqlResult<Sequenced> {
    if let Some(sequence) = S::DIALECT.sequence() {
        session.pipeline(S::DIALECT.feed_locked(), &[]).await?;
        // A separate statement: its snapshot is taken after the row was locked.
        session.pipeline(sequence, &[SEQUENCE_BATCH.into()]).await?;
    }
    let page = match known {
        Some(known) => page_after(session, source, known).await?,
        None => None,
    };
    match page {
        Some(page) if !page.is_empty() => {
            Ok(Sequenced { head: page.cursor.clone(), page: Some(page) })
        }
        page => {
            let head = ends(session, S::DIALECT.feed()).await?.head;
            Ok(Sequenced { page: page.filter(|_| known == Some(&head)), head })
        }
    }
}

/// The events after this cursor, if the feed still has it.
async fn page_after<S: Session>(
    session: &mut S,
    source: &ServiceName,
    known: &Cursor,
) -> SqlResult<Option<FeedPage>> {
    // The event at the cursor is read, too: a restored database has another event there, or none.
    let before = known.position.saturating_sub(1);
    let values = [before.into(), (SEQUENCE_BATCH + 1).into()];
    let mut rows = session.query(sql::PAGE, &values).await?.into_iter();
    if known.position > 0 {
        let place = rows.next().map(|row| cursor(row, 0)).transpose()?;
        if place.as_ref() != Some(known) {
            return Ok(None);
        }
    }
    let mut page = read(rows, source, known.clone(), u64::MAX)?;
    page.head = page.cursor.position;
    Ok(Some(page))
}

/// The bounds of the feed, by this statement.
async fn ends<S: Session>(session: &mut S, sql: &'static str) -> SqlResult<FeedBounds> {
    let rows = session.query(sql, &[]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Err(no_feed()) };
    let trimmed = Cursor { position: row.number(2)?, id: row.optional_name(3)? };
    Ok(FeedBounds { head: cursor(row, 0)?, trimmed })
}

fn cursor(mut row: SqlRow, column: usize) -> SqlResult<Cursor> {
    Ok(Cursor { position: row.number(column)?, id: row.optional_name(column + 1)? })
}

fn no_feed() -> SqlError {
    SqlError(
        "the table wholly_feed has no row; check whether another program has deleted it".to_owned(),
    )
}

/// A page of the feed, up to a head that is known to be committed.
pub(crate) async fn page<S: Session>(
    session: &mut S,
    start: &StartFrom,
    source: &ServiceName,
    head: u64,
    limit: u64,
) -> SqlResult<Result<FeedPage, CursorRefusal>> {
    let before = ends(session, S::DIALECT.feed()).await?;
    let after = match start {
        StartFrom::Earliest => before.trimmed,
        StartFrom::Now => before.head,
        StartFrom::After(cursor) => match check_cursor(session, cursor, &before).await? {
            Ok(()) => cursor.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    let limit = limit.min(head.saturating_sub(after.position));
    let rows = match limit {
        0 => Vec::new(),
        _ => session.query(sql::PAGE, &[after.position.into(), limit.into()]).await?,
    };
    // Events trimmed between the two statements would be skipped.
    let trimmed = ends(session, S::DIALECT.feed()).await?.trimmed.position;
    if trimmed > after.position {
        return Ok(Err(CursorRefusal::Trimmed { position: after.position, trimmed }));
    }
    Ok(Ok(read(rows, source, after, head)?))
}

/// Makes a page from rows after a cursor, up to the head.
fn read(
    rows: impl IntoIterator<Item = SqlRow>,
    source: &ServiceName,
    after: Cursor,
    head: u64,
) -> SqlResult<FeedPage> {
    let mut page = FeedPage { events: Vec::new(), set_aside: Vec::new(), cursor: after, head };
    for mut row in rows {
        let (position, id) = (row.number(0)?, row.name::<EventId>(1)?);
        if position > head {
            break;
        }
        page.cursor = Cursor::at(position, id.clone());
        match event(row, id, source) {
            Ok(event) => page.events.push(PositionedEvent { position, event }),
            Err(why) => page.set_aside.push(SetAside { position, body: String::new(), why }),
        }
    }
    Ok(page)
}

/// Checks that a cursor names an event of the feed or the last trimmed one.
///
/// INVARIANT: a position is accepted only with its event's id. A database that was restored to an
/// earlier state assigns positions again, to other events.
async fn check_cursor<S: Session>(
    session: &mut S,
    cursor: &Cursor,
    ends: &FeedBounds,
) -> SqlResult<Result<(), CursorRefusal>> {
    let position = cursor.position;
    if broken(Law::CursorsAreJudged) {
        return Ok(Ok(()));
    }
    if position > ends.head.position {
        return Ok(Err(CursorRefusal::Ahead { position, head: ends.head.position }));
    }
    if position < ends.trimmed.position {
        return Ok(Err(CursorRefusal::Trimmed { position, trimmed: ends.trimmed.position }));
    }
    if position == ends.trimmed.position {
        return Ok(match cursor.id == ends.trimmed.id {
            true => Ok(()),
            false => Err(CursorRefusal::Other { position }),
        });
    }
    let rows = session.query(sql::AT, &[position.into()]).await?;
    let id = rows.into_iter().next().map(|mut row| row.name(0)).transpose()?;
    Ok(match id == cursor.id {
        true => Ok(()),
        false => Err(CursorRefusal::Other { position }),
    })
}

/// Deletes events made before this time, oldest first; returns whether there may be more. The id of
/// the last deleted event is kept for cursors that name it.
pub(crate) async fn trim<S: Session>(session: &mut S, before: Timestamp) -> SqlResult<bool> {
    // The row's lock excludes the sequencer and other trimmers.
    ends(session, S::DIALECT.feed_locked()).await?;
    let values = [TRIM_BATCH.into(), before.as_millis().into()];
    let rows = session.query(sql::TRIM_TO, &values).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(false) };
    let last = cursor(row, 0)?;
    let id = last.id.as_ref().map(|id| id.as_str()).into();
    session.execute(sql::TRIMMED, &[last.position.into(), id]).await?;
    Ok(session.execute(sql::TRIM, &[last.position.into()]).await? >= TRIM_BATCH)
}

/// Reads the event of a row. Any program may write into the table, so an invalid row is reported
/// alone and does not stop the others.
fn event(mut row: SqlRow, id: EventId, source: &ServiceName) -> Result<Event, String> {
    let mut read = || {
        Ok(Event {
            id: id.clone(),
            source: source.clone(),
            kind: row.name(2)?,
            correlation: row.name(3)?,
            causation: row.optional_name(4)?,
            traceparent: row.optional_text(5)?,
            time: Timestamp::from_millis(row.number(6)?),
            data: row.text(7)?,
        })
    };
    let event = read().map_err(|why: SqlError| why.to_string())?;
    if event.data.len() > DATA_LIMIT {
        return Err(format!("its data has {} bytes; the limit is {DATA_LIMIT}", event.data.len()));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&event.data) {
        Ok(_) => Ok(event),
        Err(why) => Err(format!("its data is not JSON: {why}")),
    }
}

#[cfg(all(test, feature = "rusqlite"))]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::driver::rusqlite::{Sqlite, create_tables, publish, ready};
    use crate::event::NewEvent;

    fn outbox() -> (rusqlite::Connection, ServiceName) {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let source = ServiceName::new("order").unwrap();
        ready(name(&mut Sqlite(&db), &source)).unwrap();
        (db, source)
    }

    fn published(db: &rusqlite::Connection, time: u64) -> EventId {
        let mut event = NewEvent::new("OrderCreated", "ORD001", &time).unwrap();
        event.time = Timestamp::from_millis(time);
        publish(db, &event).unwrap();
        event.id
    }

    #[test]
    fn events_after_a_cursor_are_found_only_while_the_feed_has_the_cursor() {
        let (db, source) = outbox();
        let sequence =
            |known: Option<&Cursor>| ready(sequence(&mut Sqlite(&db), &source, known)).unwrap();
        let ids = |found: &Sequenced| {
            let events = found.page.as_ref().map(|page| page.events.iter());
            events.map(|events| events.map(|one| one.event.id.clone()).collect::<Vec<_>>())
        };
        let nothing = sequence(None);
        assert_eq!((nothing.head.clone(), ids(&nothing)), (Cursor::START, None));
        let first = published(&db, 1);
        let found = sequence(Some(&nothing.head));
        assert_eq!((found.head.position, ids(&found)), (1, Some(vec![first])));
        let [second, third] = [2, 3].map(|time| published(&db, time));
        let found = sequence(Some(&found.head));
        assert_eq!((found.head.position, ids(&found)), (3, Some(vec![second, third])));
        let known = found.head;
        assert_eq!(ids(&sequence(Some(&known))), Some(vec![]));
        // The database is restored and continues with other events.
        db.execute_batch("DELETE FROM wholly_outbox WHERE position = 3").unwrap();
        assert_eq!(ids(&sequence(Some(&known))), None);
        db.execute_batch("UPDATE sqlite_sequence SET seq = 2").unwrap();
        let other = published(&db, 4);
        let found = sequence(Some(&known));
        assert_eq!((ids(&found), found.head), (None, Cursor::at(3, other)));
    }

    #[test]
    fn a_recent_event_keeps_older_ones_behind_it() {
        let (db, _) = outbox();
        for time in [10, 20, 90, 5, 91] {
            published(&db, time);
        }
        let trimmed = |before| {
            ready(trim(&mut Sqlite(&db), Timestamp::from_millis(before))).unwrap();
            ready(ends(&mut Sqlite(&db), Sqlite::DIALECT.feed())).unwrap().trimmed.position
        };
        assert_eq!([5, 50, 90, 91, 92].map(trimmed), [0, 2, 2, 4, 5]);
    }
}
