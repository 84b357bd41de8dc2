//! PostgreSQL by sqlx, which keeps a prepared statement for each connection.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, PgConnection, Row as _, Type, TypeInfo, ValueRef};

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlCell, SqlError, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction: `&mut *transaction` is a
/// `&mut PgConnection`.
///
/// # Errors
/// What PostgreSQL says. The caller must then roll back.
pub async fn publish(db: &mut PgConnection, event: &NewEvent) -> Result<(), SqlError> {
    outbox::publish(&mut Postgres(db), event).await
}

/// Remembers the event in the caller's transaction, and tells whether it came before.
///
/// # Errors
/// What PostgreSQL says. The caller must then roll back.
pub async fn receive_once(
    db: &mut PgConnection,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> Result<Received, SqlError> {
    inbox::receive_once(&mut Postgres(db), reaction, source, id, now()).await
}

/// Makes the tables of this crate where they are not yet there.
///
/// # Errors
/// What PostgreSQL says.
pub async fn create_tables(db: &mut PgConnection) -> Result<(), SqlError> {
    outbox::create_tables(&mut Postgres(db)).await
}

/// A connection in a transaction.
pub struct Postgres<'a>(pub(crate) &'a mut PgConnection);

impl Session for Postgres<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

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
) -> Query<'static, sqlx::Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value))
}

fn row(row: &PgRow) -> Result<SqlRow, SqlError> {
    let cells = (0..row.len()).map(|column| cell(row, column));
    Ok(SqlRow(cells.collect::<Result<_, SqlError>>()?))
}

fn cell(row: &PgRow, column: usize) -> Result<SqlCell, SqlError> {
    let value = row.try_get_raw(column)?;
    match value.type_info().name() {
        _ if value.is_null() => Ok(SqlCell::Null),
        "INT8" => Ok(SqlCell::Int(row.try_get(column)?)),
        "TEXT" => Ok(SqlCell::Text(row.try_get(column)?)),
        _ => Err(SqlError::unexpected("a column is neither number nor text")),
    }
}

impl Type<sqlx::Postgres> for SqlValue<'_> {
    /// The type that PostgreSQL finds out, as it does for a literal `NULL`.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, sqlx::Postgres> for SqlValue<'_> {
    fn encode_by_ref(&self, to: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => Encode::<sqlx::Postgres>::encode_by_ref(number, to),
            Self::Text(text) => Encode::<sqlx::Postgres>::encode_by_ref(text, to),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        match self {
            Self::Null => None,
            Self::Int(_) => Some(<i64 as Type<sqlx::Postgres>>::type_info()),
            Self::Text(_) => Some(<str as Type<sqlx::Postgres>>::type_info()),
        }
    }
}
