//! The homes of the shop's services: an SQLite file each, or a database each of one PostgreSQL.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio_postgres::{Client, NoTls};
use wholly_events::choreography::Operator;
use wholly_events::store::{SqliteFile, Store, pool};
use wholly_events::{Cursor, Declaration, ServiceName};

use super::TortureError;
use super::tables::Row;
use wholly_demo::choreography::{Flow, declaration};
use wholly_demo::fleet::Fleet;
use wholly_demo::process::lock;
use wholly_demo::shop::ServiceKind;
use wholly_test_postgres::{PostgresError, PostgresServer};

pub(super) enum Databases {
    Sqlite,
    Postgres {
        server: Arc<Mutex<PostgresServer>>,
        /// The address at which its superuser is let in.
        url: String,
        urls: BTreeMap<ServiceKind, String>,
    },
}

impl Databases {
    /// SQLite, or a new server.
    pub(super) async fn start(in_postgres: bool) -> Result<Self, TortureError> {
        if !in_postgres {
            return Ok(Self::Sqlite);
        }
        let server = PostgresServer::start(&[])?;
        let mut urls = BTreeMap::new();
        for kind in ServiceKind::ALL {
            urls.insert(kind, server.create_database(kind.as_str()).await?);
        }
        Ok(Self::Postgres { url: server.url(), urls, server: Arc::new(Mutex::new(server)) })
    }

    /// The URLs of the services that do not live in SQLite.
    pub(super) fn urls(&self) -> BTreeMap<ServiceKind, String> {
        match self {
            Self::Sqlite => BTreeMap::new(),
            Self::Postgres { urls, .. } => urls.clone(),
        }
    }

    /// True if there is a server that can be killed.
    pub(super) fn have_server(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Kills the server, where there is one.
    pub(super) async fn kill_server(&self) -> Result<(), TortureError> {
        self.with_server(PostgresServer::kill).await
    }

    /// Starts the server that was killed.
    pub(super) async fn start_server(&self) -> Result<(), TortureError> {
        self.with_server(PostgresServer::start_again).await
    }

    /// The result of each statement, all of one moment.
    pub(super) async fn rows(
        &self,
        fleet: &Fleet,
        kind: ServiceKind,
        statements: &[&str],
    ) -> Result<Vec<Vec<Row>>, TortureError> {
        match self {
            Self::Sqlite => Ok(of_sqlite(&fleet.database(kind), statements)?),
            Self::Postgres { urls, .. } => {
                let url = urls.get(&kind).map_or("", String::as_str);
                Ok(of_postgres(&connect(url).await?, statements).await?)
            }
        }
    }

    /// True if a copy can be made only while the service is down.
    pub(super) fn copies_at_rest(&self) -> bool {
        self.have_server()
    }

    /// Makes a consistent copy of a service's database.
    pub(super) async fn copy(&self, fleet: &Fleet, kind: ServiceKind) -> Result<(), TortureError> {
        match self {
            Self::Sqlite => {
                let (database, copy) = (fleet.database(kind), copy_of(&fleet.database(kind)));
                remove(&copy)?;
                let copy = copy.display().to_string();
                open(&database)?.execute("VACUUM INTO ?1", [copy])?;
            }
            Self::Postgres { url, .. } => {
                let client = connect(url).await?;
                client.batch_execute(&format!("DROP DATABASE IF EXISTS {kind}_copy")).await?;
                // It waits for the connections of a service that was just killed.
                let copy = format!("CREATE DATABASE {kind}_copy TEMPLATE \"{kind}\"");
                client.batch_execute(&copy).await?;
            }
        }
        Ok(())
    }

    /// Puts the copy in the place of the database of a service that is down.
    pub(super) async fn put_back(
        &self,
        fleet: &Fleet,
        kind: ServiceKind,
    ) -> Result<(), TortureError> {
        match self {
            Self::Sqlite => {
                let database = fleet.database(kind);
                for end in ["", "-wal", "-shm"] {
                    remove(Path::new(&format!("{}{end}", database.display())))?;
                }
                std::fs::copy(copy_of(&database), &database).map_err(system("copy a database"))?;
            }
            Self::Postgres { url, .. } => {
                let client = connect(url).await?;
                let drop = format!("DROP DATABASE \"{kind}\" WITH (FORCE)");
                client.batch_execute(&drop).await?;
                let rename = format!("ALTER DATABASE {kind}_copy RENAME TO \"{kind}\"");
                client.batch_execute(&rename).await?;
            }
        }
        Ok(())
    }

    /// Sets a follower's place in a feed, as an operator does.
    pub(super) async fn set_cursor(
        &self,
        fleet: &Fleet,
        flow: Flow,
        follower: ServiceKind,
        source: ServiceKind,
        to: Cursor,
    ) -> Result<(), TortureError> {
        let unreadable = |why: String| TortureError::Unreadable(why);
        let declared = declaration(follower, flow).map_err(|why| unreadable(why.to_string()))?;
        let source =
            ServiceName::new(source.as_str()).map_err(|why| unreadable(why.to_string()))?;
        match self {
            Self::Sqlite => {
                let file = SqliteFile::open(&fleet.database(follower))?;
                set(file, declared, source, to).await
            }
            Self::Postgres { urls, .. } => {
                let url = urls.get(&follower).map_or("", String::as_str);
                set(pool(url, 1)?, declared, source, to).await
            }
        }
    }

    async fn with_server(
        &self,
        change: impl FnOnce(&mut PostgresServer) -> Result<(), PostgresError> + Send + 'static,
    ) -> Result<(), TortureError> {
        let Self::Postgres { server, .. } = self else { return Ok(()) };
        let server = Arc::clone(server);
        // It blocks, and clients ask meanwhile.
        let changed = tokio::task::spawn_blocking(move || change(&mut lock(&server)));
        Ok(changed.await??)
    }
}

async fn set<S: Store>(
    store: S,
    declared: Declaration,
    source: ServiceName,
    to: Cursor,
) -> Result<(), TortureError> {
    let reason = "the feed was put back to an older state; all of it was acted upon".to_owned();
    Ok(Operator::of(store, declared).set_cursor(source, to, reason).await?)
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

fn of_sqlite(database: &Path, statements: &[&str]) -> rusqlite::Result<Vec<Vec<Row>>> {
    let mut connection = open(database)?;
    let db = connection.transaction()?;
    let rows = |statement: &&str| {
        let mut statement = db.prepare(statement)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|nth| row.get(nth)).collect())?;
        rows.collect()
    };
    statements.iter().map(rows).collect()
}

async fn of_postgres(
    client: &Client,
    statements: &[&str],
) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut all = Vec::new();
    for statement in statements {
        let rows = client.query(*statement, &[]).await?;
        let row = |row: &tokio_postgres::Row| (0..row.len()).map(|nth| row.try_get(nth)).collect();
        all.push(rows.iter().map(row).collect::<Result<_, _>>()?);
    }
    client.batch_execute("COMMIT").await?;
    Ok(all)
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what goes wrong with it, the client is told.
    tokio::spawn(connection);
    Ok(client)
}

fn copy_of(database: &Path) -> PathBuf {
    database.with_extension("copy")
}

fn remove(file: &Path) -> Result<(), TortureError> {
    match std::fs::remove_file(file) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(system("remove a file")(why)),
        _ => Ok(()),
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> TortureError {
    move |why| TortureError::System { what, why }
}
