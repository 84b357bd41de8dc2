//! The rules of a reaction, on every store.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::atomic::{AtomicU32, Ordering};

use deadpool_postgres::{Manager, Pool};
use tokio_postgres::NoTls;
use wholly_events::conformance::reactions;
use wholly_participant::sqlite::Database;
use wholly_test_postgres::PostgresServer;

#[tokio::test]
async fn sqlite_keeps_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    reactions::run(async || {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        let database = Database::open(directory.path().join(format!("{nth}.db"))).unwrap();
        let table = "CREATE TABLE effect (name TEXT)";
        database.transaction(|db| Ok(db.execute_batch(table)?)).await.unwrap();
        database
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_rules() {
    let server = PostgresServer::start(&[]).unwrap();
    let count = AtomicU32::new(0);
    reactions::run(async || {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        let url = server.create_database(&format!("case_{nth}")).await.unwrap();
        let manager = Manager::new(url.parse().unwrap(), NoTls);
        let pool = Pool::builder(manager).max_size(4).build().unwrap();
        let table = "CREATE TABLE effect (nth bigserial, name text)";
        pool.get().await.unwrap().batch_execute(table).await.unwrap();
        pool
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_lose_commits_are_refused() {
    use wholly_events::store::{Store, StoreError};
    let server = PostgresServer::start(&[("synchronous_commit", "off")]).unwrap();
    let manager = Manager::new(server.url().parse().unwrap(), NoTls);
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    let refused = pool.check_settings().await;
    let setting = match refused {
        Err(StoreError::LosesCommits { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting, "synchronous_commit");
}
