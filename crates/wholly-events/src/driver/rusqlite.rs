//! SQLite by rusqlite: the driver blocks, so its futures are ready at once.

use futures_util::FutureExt;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlCell, SqlError, SqlResult, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction: `&Transaction` is a
/// `&Connection`.
///
/// # Errors
/// The error of SQLite. The caller must then roll back.
pub fn publish(db: &Connection, event: &NewEvent) -> SqlResult<()> {
    ready(outbox::publish(&mut Sqlite(db), event))
}

/// Records the event in the caller's transaction; returns whether this is its first delivery.
///
/// # Errors
/// The error of SQLite. The caller must then roll back.
pub fn receive_once(
    db: &Connection,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> SqlResult<Received> {
    ready(inbox::receive_once(&mut Sqlite(db), reaction, source, id, now()))
}

/// Creates the missing tables of this crate.
///
/// # Errors
/// The error of SQLite.
pub fn create_tables(db: &Connection) -> SqlResult<()> {
    ready(outbox::create_tables(&mut Sqlite(db)))
}

/// A connection in a transaction.
pub struct Sqlite<'a>(pub(crate) &'a Connection);

/// The result of a future that never waits.
pub(crate) fn ready<T>(future: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
    // INVARIANT: a session of rusqlite never waits, and what is done with one waits for nothing
    // else.
    let never = || Err(SqlError("a statement of rusqlite waited".to_owned()));
    future.now_or_never().unwrap_or_else(never)
}

impl Session for Sqlite<'_> {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<u64> {
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.execute(params_from_iter(values))? as u64)
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> SqlResult<Vec<SqlRow>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = (0..columns).map(|column| cell(row.get_ref(column)?));
            all.push(SqlRow(cells.collect::<SqlResult<_>>()?));
        }
        Ok(all)
    }

    async fn batch(&mut self, sql: &'static str) -> SqlResult<()> {
        // One statement, like a savepoint's, is kept ready, as those with values are.
        match sql.contains(';') {
            true => Ok(self.0.execute_batch(sql)?),
            false => self.execute(sql, &[]).await.map(drop),
        }
    }
}

fn cell(value: ValueRef<'_>) -> SqlResult<SqlCell> {
    match value {
        ValueRef::Null => Ok(SqlCell::Null),
        ValueRef::Integer(number) => Ok(SqlCell::Int(number)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(SqlError::unexpected)?;
            Ok(SqlCell::Text(text.to_owned()))
        }
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(SqlError::unexpected("a column is neither number nor text"))
        }
    }
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&error)
    }
}
