//! SQLite by sqlx, which keeps a prepared statement for each connection.

use sqlx::SqliteConnection;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlResult, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction: `&mut *transaction` is a
/// `&mut SqliteConnection`.
///
/// # Errors
/// The error of SQLite. The caller must then roll back.
pub async fn publish(db: &mut SqliteConnection, event: &NewEvent) -> SqlResult<()> {
    outbox::publish(&mut Sqlite(db), event).await
}

/// Records the event in the caller's transaction; returns whether this is its first delivery.
///
/// # Errors
/// The error of SQLite. The caller must then roll back.
pub async fn receive_once(
    db: &mut SqliteConnection,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> SqlResult<Received> {
    inbox::receive_once(&mut Sqlite(db), reaction, source, id, now()).await
}

/// Creates the missing tables of this crate.
///
/// # Errors
/// The error of SQLite.
pub async fn create_tables(db: &mut SqliteConnection) -> SqlResult<()> {
    outbox::create_tables(&mut Sqlite(db)).await
}

/// A connection in a transaction.
pub struct Sqlite<'a>(pub(crate) &'a mut SqliteConnection);

impl Session for Sqlite<'_> {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<u64> {
        Ok(bound(sql, values).execute(&mut *self.0).await?.rows_affected())
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> SqlResult<Vec<SqlRow>> {
        let rows = bound(sql, values).fetch_all(&mut *self.0).await?;
        rows.iter().map(super::row).collect()
    }

    async fn batch(&mut self, sql: &'static str) -> SqlResult<()> {
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
