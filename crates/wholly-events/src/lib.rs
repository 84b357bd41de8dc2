//! Events between services with nothing lost: outbox, inbox, feeds, and the choreographed saga.
//!
//! A service that commits a change and then publishes an event will crash between the two one day,
//! and a service that reacts to an event will receive it twice. The *outbox* writes the event in
//! the transaction that makes it true, and the *inbox* records it in the transaction that reacts to
//! it. [`rusqlite`], [`tokio_postgres`] and [`sqlx`] put both into the caller's own transaction.
//!
//! The saga without a coordinator builds on them. A service declares its reactions as a
//! [`Choreography`], follows the feeds of other services over HTTP, and serves its own feed:
//!
//! ```
//! use rusqlite::Connection;
//! use serde::{Deserialize, Serialize};
//! use wholly_events::feed::{HttpFeed, router};
//! use wholly_events::{Choreography, Failure, Incoming, Reacted};
//! use wholly_participant::sqlite::Database;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     order_id: String,
//!     quantity: u32,
//! }
//!
//! /// Runs in one transaction with inbox and outbox, and takes effect at most once.
//! fn reserve(db: &Connection, order: Incoming<Order>) -> Result<Reacted<Order, Order>, Failure> {
//!     let taken = db.execute(
//!         "UPDATE stock SET count = count - ?1 WHERE count >= ?1",
//!         [order.quantity],
//!     )?;
//!     Ok(match taken {
//!         0 => Reacted::Refused(order.data), // its writes are rolled back, and the refusal is emitted
//!         _ => Reacted::Done(order.data),
//!     }) // an error is retried, and later events of this order wait
//! }
//!
//! /// Undoes the reservation, whichever of the two events comes first.
//! fn release(db: &Connection, order: Incoming<Order>) -> Result<Reacted<Order>, Failure> {
//!     if order.undone.iter().any(|(_, done)| done.is_some()) {
//!         db.execute("UPDATE stock SET count = count + ?1", [order.quantity])?;
//!     }
//!     Ok(Reacted::Done(order.data))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("inventory.db");
//! let database = Database::open(path)?;
//! database.transaction(|db| Ok(db.execute_batch("CREATE TABLE stock (count)")?)).await?;
//! let inventory = Choreography::new("inventory")
//!     .on("OrderCreated", reserve).emits("InventoryReserved").refuses("InventoryRefused")
//!     .on("PaymentRefused", release).undoes(reserve).emits("InventoryReleased")
//!     .follow("order", HttpFeed::at("http://127.0.0.1:7501/feed")?)
//!     .follow("payment", HttpFeed::at("http://127.0.0.1:7503/feed")?)
//!     .start(database).await?; // continues where it stopped
//! let app: axum::Router = router(inventory); // .merge(the service's own routes)
//! # Ok(())
//! # }
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`inbox`], [`sql`] | the tables and their statements |
//! | [`wire`] | an event as a CloudEvent |
//! | [`feed`] | how events travel: the trait for transports, and HTTP |
//! | [`choreography`] | services that react to events; [`choreography::react`] is the specification |
//! | [`store`] | the databases of choreographed services |
//! | [`check`](check()), [`diagram`](diagram()) | checks and diagrams of a whole choreography |
// A service that uses only the outbox compiles the rest as dead code.
#![cfg_attr(
    not(all(feature = "choreography", any(feature = "rusqlite", feature = "tokio-postgres"))),
    allow(dead_code)
)]

mod check;
#[cfg(feature = "choreography")]
pub mod choreography;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cursor;
mod declaration;
mod diagram;
mod driver;
mod event;
#[cfg(feature = "choreography")]
pub mod feed;
mod graph;
pub mod inbox;
mod names;
mod outbox;
#[cfg(feature = "choreography")]
mod probe;
mod session;
#[cfg(test)]
mod shops;
#[cfg(all(test, feature = "rusqlite", feature = "choreography"))]
mod simulation;
pub mod sql;
#[cfg(feature = "choreography")]
pub mod store;
pub mod wire;

pub use check::{Finding, Refusal, Severity, check};
#[cfg(feature = "choreography")]
pub use choreography::{Choreography, Incoming, Reacted, Service};
pub use cursor::{Cursor, InvalidCursor};
pub use declaration::{Declaration, Reaction, Timeout};
pub use diagram::diagram;
pub use event::{DATA_LIMIT, Event, InvalidEvent, NewEvent};
pub use names::{Correlation, EventId, EventType, InvalidName, ReactionName, ServiceName};
pub use session::{Session, SqlCell, SqlError, SqlResult, SqlRow, SqlValue};

/// The outbox and the inbox in SQLite, by rusqlite: in the caller's transaction.
///
/// ```
/// use wholly_events::rusqlite::{create_tables, publish, receive_once};
/// use wholly_events::{EventId, NewEvent, ReactionName, ServiceName};
/// use wholly_events::inbox::Received;
///
/// let mut db = rusqlite::Connection::open_in_memory()?;
/// create_tables(&db)?;
/// db.execute_batch("CREATE TABLE stock (item TEXT PRIMARY KEY, reserved INTEGER NOT NULL)")?;
/// let (reaction, source) = (ReactionName::new("reserve")?, ServiceName::new("orders")?);
/// let id = EventId::new("018bcfe5-6801-7000-8000-000000000000")?;
///
/// let tx = db.transaction()?;
/// if receive_once(&tx, &reaction, &source, &id)? == Received::First {
///     tx.execute("INSERT INTO stock VALUES ('shoe', 1)", ())?;
///     let event = NewEvent::new("StockReserved", "ORD001", &serde_json::json!({ "item": "shoe" }))?;
///     publish(&tx, &event.caused_by(&id))?;
/// }
/// tx.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "rusqlite")]
pub mod rusqlite {
    pub use crate::driver::rusqlite::{create_tables, publish, receive_once};
}

/// An error of the service's own code.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The outbox and the inbox in PostgreSQL, by tokio-postgres: in the caller's transaction.
///
/// A transaction of deadpool-postgres is one of tokio-postgres: `&*tx`.
///
/// ```no_run
/// use wholly_events::tokio_postgres::{create_tables, publish, receive_once};
/// use wholly_events::{EventId, NewEvent, ReactionName, ServiceName};
/// use wholly_events::inbox::Received;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgresql://orders@localhost/orders";
/// let (mut db, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
/// tokio::spawn(connection);
/// create_tables(&db).await?;
/// db.batch_execute("CREATE TABLE stock (item text PRIMARY KEY, reserved bigint NOT NULL)").await?;
/// let (reaction, source) = (ReactionName::new("reserve")?, ServiceName::new("orders")?);
/// let id = EventId::new("018bcfe5-6801-7000-8000-000000000000")?;
///
/// let tx = db.transaction().await?;
/// if receive_once(&tx, &reaction, &source, &id).await? == Received::First {
///     tx.execute("INSERT INTO stock VALUES ('shoe', 1)", &[]).await?;
///     let event = NewEvent::new("StockReserved", "ORD001", &serde_json::json!({ "item": "shoe" }))?;
///     publish(&tx, &event.caused_by(&id)).await?;
/// }
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tokio-postgres")]
pub mod tokio_postgres {
    pub use crate::driver::tokio_postgres::{create_tables, publish, receive_once};
}

/// The outbox and the inbox by sqlx: in the caller's transaction.
#[cfg(any(feature = "sqlx-sqlite", feature = "sqlx-postgres"))]
pub mod sqlx {
    /// SQLite.
    ///
    /// ```
    /// use sqlx::{Connection, SqliteConnection};
    /// use wholly_events::sqlx::sqlite::{create_tables, publish, receive_once};
    /// use wholly_events::{EventId, NewEvent, ReactionName, ServiceName};
    /// use wholly_events::inbox::Received;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut db = SqliteConnection::connect("sqlite::memory:").await?;
    /// create_tables(&mut db).await?;
    /// let table = "CREATE TABLE stock (item TEXT PRIMARY KEY, reserved INTEGER NOT NULL)";
    /// sqlx::query(table).execute(&mut db).await?;
    /// let (reaction, source) = (ReactionName::new("reserve")?, ServiceName::new("orders")?);
    /// let id = EventId::new("018bcfe5-6801-7000-8000-000000000000")?;
    ///
    /// let mut tx = db.begin().await?;
    /// if receive_once(&mut tx, &reaction, &source, &id).await? == Received::First {
    ///     sqlx::query("INSERT INTO stock VALUES ('shoe', 1)").execute(&mut *tx).await?;
    ///     let data = serde_json::json!({ "item": "shoe" });
    ///     let event = NewEvent::new("StockReserved", "ORD001", &data)?;
    ///     publish(&mut tx, &event.caused_by(&id)).await?;
    /// }
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sqlx-sqlite")]
    pub mod sqlite {
        pub use crate::driver::sqlx_sqlite::{create_tables, publish, receive_once};
    }

    /// PostgreSQL: as SQLite, with a `PgConnection`.
    #[cfg(feature = "sqlx-postgres")]
    pub mod postgres {
        pub use crate::driver::sqlx_postgres::{create_tables, publish, receive_once};
    }
}
