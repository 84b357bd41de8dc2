//! The connections that the suite can be run on: one for each driver.

use crate::session::Session;

/// A connection that the suite begins and ends transactions on.
pub trait TestConnection {
    /// The driver's session.
    type Session<'a>: Session
    where
        Self: 'a;

    /// The session on this connection.
    fn session(&mut self) -> Self::Session<'_>;
}

#[cfg(feature = "rusqlite")]
impl TestConnection for rusqlite::Connection {
    type Session<'a> = crate::driver::rusqlite::Sqlite<'a>;

    fn session(&mut self) -> Self::Session<'_> {
        crate::driver::rusqlite::Sqlite(self)
    }
}

#[cfg(feature = "tokio-postgres")]
impl TestConnection for tokio_postgres::Client {
    type Session<'a> = crate::driver::tokio_postgres::Postgres<'a>;

    fn session(&mut self) -> Self::Session<'_> {
        crate::driver::tokio_postgres::Postgres::new(self)
    }
}

#[cfg(feature = "sqlx-sqlite")]
impl TestConnection for sqlx::SqliteConnection {
    type Session<'a> = crate::driver::sqlx_sqlite::Sqlite<'a>;

    fn session(&mut self) -> Self::Session<'_> {
        crate::driver::sqlx_sqlite::Sqlite(self)
    }
}

#[cfg(feature = "sqlx-postgres")]
impl TestConnection for sqlx::PgConnection {
    type Session<'a> = crate::driver::sqlx_postgres::Postgres<'a>;

    fn session(&mut self) -> Self::Session<'_> {
        crate::driver::sqlx_postgres::Postgres(self)
    }
}
