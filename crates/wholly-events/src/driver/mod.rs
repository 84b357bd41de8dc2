//! The drivers, a file each.

#[cfg(feature = "rusqlite")]
pub(crate) mod rusqlite;
#[cfg(feature = "sqlx-postgres")]
pub(crate) mod sqlx_postgres;
#[cfg(feature = "sqlx-sqlite")]
pub(crate) mod sqlx_sqlite;
#[cfg(feature = "tokio-postgres")]
pub(crate) mod tokio_postgres;

#[cfg(any(feature = "sqlx-sqlite", feature = "sqlx-postgres"))]
impl From<sqlx::Error> for crate::SqlError {
    fn from(error: sqlx::Error) -> Self {
        Self::of(&error)
    }
}

/// A row of sqlx, whose columns hold whole numbers and text.
#[cfg(any(feature = "sqlx-sqlite", feature = "sqlx-postgres"))]
fn row<R: sqlx::Row>(row: &R) -> crate::session::SqlResult<crate::SqlRow>
where
    usize: sqlx::ColumnIndex<R>,
    for<'a> i64: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
{
    use sqlx::{TypeInfo, ValueRef};

    use crate::session::{SqlCell, SqlError, SqlRow};

    let cell = |column| {
        let value = row.try_get_raw(column)?;
        match value.type_info().name() {
            _ if value.is_null() => Ok(SqlCell::Null),
            "INTEGER" | "INT8" => Ok(SqlCell::Int(row.try_get(column)?)),
            "TEXT" => Ok(SqlCell::Text(row.try_get(column)?)),
            _ => Err(SqlError::unexpected("a column is neither number nor text")),
        }
    };
    Ok(SqlRow((0..row.len()).map(cell).collect::<Result<_, SqlError>>()?))
}
