//! The conformance suite on every driver.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking; this is for its helpers")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use wholly_events::conformance::{self, Database};
use wholly_events::inbox::Received;
use wholly_events::{EventId, NewEvent, ReactionName, ServiceName};
use wholly_test_postgres::PostgresServer;

type Server = tokio::sync::Mutex<PostgresServer>;

#[tokio::test]
async fn sqlite_by_rusqlite() {
    struct File(TempDir);

    impl Database for File {
        type Connection = rusqlite::Connection;

        async fn connect(&self) -> rusqlite::Connection {
            rusqlite::Connection::open(self.0.path().join("events.db")).unwrap()
        }
    }

    conformance::run(async || File(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn sqlite_by_sqlx() {
    struct File(TempDir);

    impl Database for File {
        type Connection = SqliteConnection;

        async fn connect(&self) -> SqliteConnection {
            let file = self.0.path().join("events.db");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
            options.create_if_missing(true).connect().await.unwrap()
        }
    }

    conformance::run(async || File(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn postgres_by_tokio_postgres() {
    struct Url(String);

    impl Database for Url {
        type Connection = tokio_postgres::Client;

        async fn connect(&self) -> tokio_postgres::Client {
            connect(&self.0).await
        }
    }

    let server = server();
    let database = new_database(&server).await;
    conformance::run(async || Url(new_schema(&database).await)).await;
}

#[tokio::test]
async fn postgres_by_sqlx() {
    struct Url(String);

    impl Database for Url {
        type Connection = PgConnection;

        async fn connect(&self) -> PgConnection {
            PgConnection::connect(&self.0).await.unwrap()
        }
    }

    let server = server();
    let database = new_database(&server).await;
    conformance::run(async || Url(new_schema(&database).await)).await;
}

/// The public functions in the transaction of the driver itself: their futures go to another
/// thread, and a transaction that is dropped leaves nothing.
#[tokio::test]
async fn a_transaction_of_tokio_postgres_is_one() {
    use wholly_events::tokio_postgres::{create_tables, publish, receive_once};

    let server = server();
    let mut db = connect(&new_database(&server).await).await;
    let task = tokio::spawn(async move {
        create_tables(&db).await.unwrap();
        let (reaction, source, id, event) = received_and_published();
        for end in [false, true, true] {
            let tx = db.transaction().await.unwrap();
            let received = receive_once(&tx, &reaction, &source, &id).await.unwrap();
            if received == Received::First {
                publish(&tx, &event).await.unwrap();
            }
            if end {
                tx.commit().await.unwrap();
            }
        }
        let count = "SELECT count(*) FROM wholly_outbox";
        assert_eq!(db.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    });
    task.await.unwrap();
}

macro_rules! a_transaction_of_sqlx_is_one {
    ($db:expr, $driver:ident) => {{
        use wholly_events::sqlx::$driver::{create_tables, publish, receive_once};

        let mut db = $db;
        let task = tokio::spawn(async move {
            create_tables(&mut db).await.unwrap();
            let (reaction, source, id, event) = received_and_published();
            for end in [false, true, true] {
                let mut tx = db.begin().await.unwrap();
                let received = receive_once(&mut tx, &reaction, &source, &id).await.unwrap();
                if received == Received::First {
                    publish(&mut tx, &event).await.unwrap();
                }
                if end {
                    tx.commit().await.unwrap();
                }
            }
            let count = sqlx::query_scalar("SELECT count(*) FROM wholly_outbox");
            let count: i64 = count.fetch_one(&mut db).await.unwrap();
            assert_eq!(count, 1);
        });
        task.await.unwrap();
    }};
}

#[tokio::test]
async fn a_transaction_of_sqlx_is_one_in_sqlite() {
    let db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    a_transaction_of_sqlx_is_one!(db, sqlite);
}

#[tokio::test]
async fn a_transaction_of_sqlx_is_one_in_postgres() {
    let server = server();
    let url = new_database(&server).await;
    a_transaction_of_sqlx_is_one!(PgConnection::connect(&url).await.unwrap(), postgres);
}

fn received_and_published() -> (ReactionName, ServiceName, EventId, NewEvent) {
    let event = NewEvent::new("StockReserved", "ORD001", &1).unwrap();
    ("reserve".parse().unwrap(), "orders".parse().unwrap(), "1".parse().unwrap(), event)
}

/// The server of all tests that run at the same time; it ends with the last of them.
fn server() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        // No test here kills it.
        let server = Arc::new(Server::new(PostgresServer::start(&[("fsync", "off")]).unwrap()));
        *shared = Arc::downgrade(&server);
        server
    })
}

async fn new_database(server: &Server) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("events_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    server.lock().await.create_database(&name).await.unwrap()
}

/// A schema that is a database to its connections, and is made in a fraction of the time.
async fn new_schema(database: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("case_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    connect(database).await.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    format!("{database}?options=-csearch_path%3D{name}")
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
