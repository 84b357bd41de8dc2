//! PostgreSQL by sqlx, which keeps a prepared statement for each connection.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, PgConnection, Type};

use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlResult, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction: `&mut *transaction` is a
/// `&mut PgConnection`.
///
/// # Errors
/// The error of PostgreSQL. The caller must then roll back.
pub async fn publish(db: &mut PgConnection, event: &NewEvent) -> SqlResult<()> {
    outbox::publish(&mut Postgres(db), event).await
}

/// Records the event in the caller's transaction; returns whether this is its first delivery.
///
/// # Errors
/// The error of PostgreSQL. The caller must then roll back.
pub async fn receive_once(
    db: &mut PgConnection,
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> SqlResult<Received> {
    inbox::receive_once(&mut Postgres(db), reaction, source, id, now()).await
}

/// Creates the missing tables of this crate.
///
/// # Errors
/// The error of PostgreSQL.
pub async fn create_tables(db: &mut PgConnection) -> SqlResult<()> {
    outbox::create_tables(&mut Postgres(db)).await
}

/// A connection in a transaction.
pub struct Postgres<'a>(pub(crate) &'a mut PgConnection);

impl Session for Postgres<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

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
) -> Query<'static, sqlx::Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value))
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
