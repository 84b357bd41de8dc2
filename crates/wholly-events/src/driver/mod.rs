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
