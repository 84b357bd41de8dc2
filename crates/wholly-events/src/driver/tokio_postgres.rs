//! PostgreSQL by tokio-postgres.
//!
//! A statement is sent with the types of its values, so it takes one round trip, also the first
//! time: the caller's transaction has no place where a prepared statement could be kept. It also
//! works behind a pool that gives each transaction another connection.

use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, GenericClient};

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Cell, Row, Session, SqlError, Value};
use crate::sql::Dialect;

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// Writes the event into the outbox, in the caller's transaction.
///
/// # Errors
/// What PostgreSQL says. The caller must then roll back.
pub async fn publish(db: &(impl GenericClient + Sync), event: &NewEvent) -> Result<(), SqlError> {
    outbox::publish(&mut Postgres(db.client()), event).await
}

/// Remembers the event in the caller's transaction, and tells whether it came before.
///
/// # Errors
/// What PostgreSQL says. The caller must then roll back.
pub async fn receive_once(
    db: &(impl GenericClient + Sync),
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> Result<Received, SqlError> {
    inbox::receive_once(&mut Postgres(db.client()), reaction, source, id, now()).await
}

/// Makes the tables of this crate where they are not yet there.
///
/// # Errors
/// What PostgreSQL says.
pub async fn create_tables(db: &(impl GenericClient + Sync)) -> Result<(), SqlError> {
    outbox::create_tables(&mut Postgres(db.client())).await
}

/// A client in a transaction.
pub struct Postgres<'a>(pub(crate) &'a Client);

impl Session for Postgres<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, SqlError> {
        Ok(self.0.execute_typed(sql, &typed(values)).await?)
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, SqlError> {
        let rows = self.0.query_typed(sql, &typed(values)).await?;
        rows.iter().map(row).collect()
    }

    async fn batch(&mut self, sql: &'static str) -> Result<(), SqlError> {
        Ok(self.0.batch_execute(sql).await?)
    }
}

fn typed<'a>(values: &'a [Value<'_>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let typed = values.iter().map(|value| -> (&'a (dyn ToSql + Sync), Type) {
        match value {
            // PostgreSQL finds the type out, as it does for a literal `NULL`.
            Value::Null => (&None::<&str>, Type::UNKNOWN),
            Value::Int(number) => (number, Type::INT8),
            Value::Text(text) => (text, Type::TEXT),
        }
    });
    typed.collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, SqlError> {
    let cells = (0..row.len()).map(|column| row.try_get(column));
    Ok(Row(cells.collect::<Result<_, tokio_postgres::Error>>()?))
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Failure> {
        match *kind {
            Type::INT8 => i64::from_sql(kind, bytes).map(Self::Int),
            _ => String::from_sql(kind, bytes).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT)
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}
