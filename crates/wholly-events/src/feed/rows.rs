//! The feed in the publisher's own tables: positions, pages, and what is trimmed.

use wholly_core::Timestamp;

use super::{CursorRefusal, Page, SetAside, Start};
use crate::cursor::Cursor;
use crate::event::{DATA_LIMIT, Event};
use crate::names::{EventId, ServiceName};
use crate::probe::{Law, broken};
use crate::session::{Row, Session, SqlError};
use crate::wire::Placed;
use crate::{Value, sql};

/// The most events that get a position in one transaction.
pub(crate) const SEQUENCED_AT_ONCE: u64 = 1_000;

/// The most rows that are deleted in one transaction, so that others need not wait long.
pub(crate) const TRIMMED_AT_ONCE: u64 = 1_000;

/// The place of the last event with a position, and of the last one that was trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The place of the last event.
    pub head: Cursor,
    /// The place of the last event that is no more there.
    pub trimmed: Cursor,
}

/// Names the feed, where it has no name; returns the version of its tables, and its name.
pub(crate) async fn name<S: Session>(
    session: &mut S,
    source: &ServiceName,
) -> Result<(u64, ServiceName), SqlError> {
    let version = Value::Int(sql::SCHEMA_VERSION);
    session.execute(sql::NAME_FEED, &[version, Value::Text(source.as_str())]).await?;
    let rows = session.query(sql::FEED_NAME, &[]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Err(no_feed()) };
    Ok((row.number(0)?, row.name(1)?))
}

/// Gives positions to what is committed and has none, in this transaction; returns the ends. They
/// may be served once it is committed.
pub(crate) async fn sequence<S: Session>(session: &mut S) -> Result<Ends, SqlError> {
    let mut ends = ends(session, S::DIALECT.feed_locked()).await?;
    let Some(sequence) = S::DIALECT.sequence() else { return Ok(ends) };
    // A statement of its own: its snapshot is of a moment when the line was locked already.
    for row in session.query(sequence, &[SEQUENCED_AT_ONCE.into()]).await? {
        ends.head = cursor(row, 0)?;
    }
    Ok(ends)
}

/// The ends of the feed, by this statement.
async fn ends<S: Session>(session: &mut S, sql: &'static str) -> Result<Ends, SqlError> {
    let rows = session.query(sql, &[]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Err(no_feed()) };
    let trimmed = Cursor { position: row.number(2)?, id: row.optional_name(3)? };
    Ok(Ends { head: cursor(row, 0)?, trimmed })
}

fn cursor(mut row: Row, column: usize) -> Result<Cursor, SqlError> {
    Ok(Cursor { position: row.number(column)?, id: row.optional_name(column + 1)? })
}

fn no_feed() -> SqlError {
    SqlError("the feed has no line in wholly_feed; has it been deleted?".to_owned())
}

/// The events behind a place, up to the head that is known to be committed.
pub(crate) async fn page<S: Session>(
    session: &mut S,
    start: &Start,
    source: &ServiceName,
    head: u64,
    limit: u64,
) -> Result<Result<Page, CursorRefusal>, SqlError> {
    let before = ends(session, S::DIALECT.feed()).await?;
    let after = match start {
        Start::Earliest => before.trimmed,
        Start::Now => before.head,
        Start::After(cursor) => match judge(session, cursor, &before).await? {
            Ok(()) => cursor.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    let limit = limit.min(head.saturating_sub(after.position));
    let rows = match limit {
        0 => Vec::new(),
        _ => session.query(sql::PAGE, &[after.position.into(), limit.into()]).await?,
    };
    // What was trimmed between the two statements would be stepped over.
    let trimmed = ends(session, S::DIALECT.feed()).await?.trimmed.position;
    if trimmed > after.position {
        return Ok(Err(CursorRefusal::Trimmed { position: after.position, trimmed }));
    }
    let mut page = Page { events: Vec::new(), set_aside: Vec::new(), cursor: after, head };
    for mut row in rows {
        let (position, id) = (row.number(0)?, row.name::<EventId>(1)?);
        if position > head {
            break;
        }
        page.cursor = Cursor::at(position, id.clone());
        match event(row, id, source) {
            Ok(event) => page.events.push(Placed { position, event }),
            Err(why) => page.set_aside.push(SetAside { position, body: String::new(), why }),
        }
    }
    Ok(Ok(page))
}

/// True knowledge of a cursor: it must name an event that is there, or the last one that was
/// trimmed.
///
/// INVARIANT: a place is believed only with the event's own id. A database that was put back to an
/// earlier state gives positions again, to other events.
async fn judge<S: Session>(
    session: &mut S,
    cursor: &Cursor,
    ends: &Ends,
) -> Result<Result<(), CursorRefusal>, SqlError> {
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

/// Deletes events that were made before this moment, oldest first; returns whether there may be
/// more of them. The last one's id is kept, for the cursor that names it.
pub(crate) async fn trim<S: Session>(session: &mut S, before: Timestamp) -> Result<bool, SqlError> {
    // The line's lock keeps a sequencer, and another trimmer, away.
    ends(session, S::DIALECT.feed_locked()).await?;
    let values = [TRIMMED_AT_ONCE.into(), before.as_millis().into()];
    let rows = session.query(sql::TRIM_TO, &values).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(false) };
    let last = cursor(row, 0)?;
    let id = last.id.as_ref().map(|id| id.as_str()).into();
    session.execute(sql::TRIMMED, &[last.position.into(), id]).await?;
    Ok(session.execute(sql::TRIM, &[last.position.into()]).await? >= TRIMMED_AT_ONCE)
}

/// The event of a row, or why it is none: any program may write into the table, and one row that is
/// wrong must not stop the others.
fn event(mut row: Row, id: EventId, source: &ServiceName) -> Result<Event, String> {
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
        return Err(format!("its data has {} bytes, and may have {DATA_LIMIT}", event.data.len()));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&event.data) {
        Ok(_) => Ok(event),
        Err(why) => Err(format!("its data is no JSON: {why}")),
    }
}

#[cfg(all(test, feature = "rusqlite"))]
mod tests {
    use super::*;
    use crate::driver::rusqlite::{Sqlite, create_tables, publish, ready};
    use crate::event::NewEvent;

    #[test]
    fn an_event_that_is_young_keeps_an_old_one_behind_it() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let source = ServiceName::new("order").unwrap();
        ready(name(&mut Sqlite(&db), &source)).unwrap();
        for time in [10, 20, 90, 5, 91] {
            let mut event = NewEvent::new("OrderCreated", "ORD001", &time).unwrap();
            event.time = Timestamp::from_millis(time);
            publish(&db, &event).unwrap();
        }
        let trimmed = |before| {
            ready(trim(&mut Sqlite(&db), Timestamp::from_millis(before))).unwrap();
            ready(ends(&mut Sqlite(&db), Sqlite::DIALECT.feed())).unwrap().trimmed.position
        };
        assert_eq!([5, 50, 90, 91, 92].map(trimmed), [0, 2, 2, 4, 5]);
    }
}
