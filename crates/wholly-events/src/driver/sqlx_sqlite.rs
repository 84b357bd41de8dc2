//! SQLite by sqlx, which keeps a prepared statement for each connection.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection, TypeInfo, ValueRef};

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlCell, SqlError, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction: `&mut *transaction` is a
/// `&mut SqliteConnection`.
///
/// # Errors
/// What SQLite says. The caller must then roll back.
pub async fn publish(db: &mut SqliteConnection, event: &NewEvent) -> Result<(), SqlError> {
    outbox::publish(&mut Sqlite(db), event).await
}

/// Remembers the event in the caller's transaction, and tells whether it came before.
///
/// # Errors
/// What SQLite says. The caller must then roll back.
pub async fn receive_once(
    db: &mut SqliteConnection,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> Result<Received, SqlError> {
    inbox::receive_once(&mut Sqlite(db), reaction, source, id, now()).await
}

/// Makes the tables of this crate where they are not yet there.
///
/// # Errors
/// What SQLite says.
pub async fn create_tables(db: &mut SqliteConnection) -> Result<(), SqlError> {
    outbox::create_tables(&mut Sqlite(db)).await
}

/// A connection in a transaction.
pub struct Sqlite<'a>(pub(crate) &'a mut SqliteConnection);

impl Session for Sqlite<'_> {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn execute(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> Result<u64, SqlError> {
        Ok(bound(sql, values).execute(&mut *self.0).await?.rows_affected())
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> Result<Vec<SqlRow>, SqlError> {
        let rows = bound(sql, values).fetch_all(&mut *self.0).await?;
        rows.iter().map(row).collect()
    }

    async fn batch(&mut self, sql: &'static str) -> Result<(), SqlError> {
        sqlx::raw_sql(sql).execute(&mut *self.0).await?;
        Ok(())
    }
}

fn bound(
    sql: &'static str,
    values: &[SqlValue<'_>],
) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        SqlValue::Null => query.bind(None::<i64>),
        SqlValue::Int(number) => query.bind(number),
        SqlValue::Text(text) => query.bind(text),
    })
}

fn row(row: &SqliteRow) -> Result<SqlRow, SqlError> {
    let cells = (0..row.len()).map(|column| cell(row, column));
    Ok(SqlRow(cells.collect::<Result<_, SqlError>>()?))
}

fn cell(row: &SqliteRow, column: usize) -> Result<SqlCell, SqlError> {
    let value = row.try_get_raw(column)?;
    match value.type_info().name() {
        _ if value.is_null() => Ok(SqlCell::Null),
        "INTEGER" => Ok(SqlCell::Int(row.try_get(column)?)),
        "TEXT" => Ok(SqlCell::Text(row.try_get(column)?)),
        _ => Err(SqlError::unexpected("a column is neither number nor text")),
    }
}
