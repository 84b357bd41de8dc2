//! The transports that there are, by the suite that every transport must pass.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{database, eventually};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wholly_events::conformance::feed::{self, FeedHarness};
use wholly_events::feed::{Feed, HttpFeed, LocalFeed, router};
use wholly_events::rusqlite::publish;
use wholly_events::{Choreography, NewEvent, Service};
use wholly_participant::sqlite::Database;

/// A service in this process, and a way to read its feed.
struct Publisher<F> {
    feed: F,
    database: Database,
    service: Service<Database>,
    serving: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl<F> Drop for Publisher<F> {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl<F: Feed> FeedHarness for Publisher<F> {
    type Feed = F;

    fn feed(&self) -> &F {
        &self.feed
    }

    async fn publish(&self, event: &NewEvent) {
        let event = event.clone();
        self.database.transaction(move |db| Ok(publish(db, &event)?)).await.unwrap();
        self.service.wake();
    }

    async fn publish_data(&self, data: String) {
        let event = NewEvent::new("Odd", "c", &0).unwrap();
        let spoil = "UPDATE wholly_outbox SET data = ?1 WHERE id = ?2";
        let work = move |db: &rusqlite::Transaction<'_>| {
            publish(db, &event)?;
            db.execute(spoil, [&*data, event.id().as_str()])?;
            Ok(())
        };
        self.database.transaction(work).await.unwrap();
        self.service.wake();
    }

    async fn trim(&self) {
        let old = "UPDATE wholly_outbox SET time = 0";
        self.database.transaction(move |db| Ok(db.execute(old, [])?)).await.unwrap();
        // A service looks for what is old when it starts: another process does so here.
        let _other = choreography().start(self.database.clone()).await.unwrap();
        let is_trimmed = async || {
            let none = "SELECT NOT EXISTS (SELECT 1 FROM wholly_outbox)";
            let read =
                move |db: &rusqlite::Transaction<'_>| Ok(db.query_row(none, [], |row| row.get(0))?);
            self.database.transaction(read).await.unwrap()
        };
        eventually(is_trimmed).await;
    }
}

fn choreography() -> Choreography<Database> {
    Choreography::new("orders")
}

async fn service() -> (Service<Database>, Database, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let database = database(&directory.path().join("orders.db"), "").await;
    (choreography().start(database.clone()).await.unwrap(), database, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_over_http_conforms() {
    feed::run(async || {
        let (service, database, directory) = service().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/feed", listener.local_addr().unwrap());
        let routes = router(service.clone());
        let serving = Some(tokio::spawn(async { axum::serve(listener, routes).await.unwrap() }));
        let feed = HttpFeed::at(&url).unwrap();
        Publisher { feed, database, service, serving, _directory: directory }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_in_the_same_process_conforms() {
    feed::run(async || {
        let (service, database, directory) = service().await;
        let feed = LocalFeed::of(&service);
        Publisher { feed, database, service, serving: None, _directory: directory }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_clock_disagrees_with_the_tables_deletes_nothing() {
    let (service, database, _directory) = service().await;
    let event = NewEvent::new("PositionedEvent", "c", &1).unwrap();
    database.transaction(move |db| Ok(publish(db, &event)?)).await.unwrap();
    service.wake();
    let placed = async |sql: &'static str| {
        let read = move |db: &rusqlite::Transaction<'_>| Ok(db.query_row(sql, [], |r| r.get(0))?);
        database.transaction(read).await.unwrap()
    };
    eventually(async || placed("SELECT count(position) = 1 FROM wholly_outbox").await).await;
    drop(service);
    // By this clock the last event is from 1970: nothing happened since, or the clock is wrong.
    let old = "UPDATE wholly_outbox SET time = 1000";
    database.transaction(move |db| Ok(db.execute(old, [])?)).await.unwrap();
    // It looks for what is old at once, and ten times a second.
    let often = Duration::from_millis(400);
    let orders = Choreography::new("orders").retention(often, 2 * often);
    let _orders = orders.start(database.clone()).await.unwrap();
    let deleted = async || placed("SELECT count(*) = 0 FROM wholly_outbox").await;
    let deleted = timeout(Duration::from_secs(1), eventually(deleted)).await;
    assert!(deleted.is_err(), "it is kept for an hour, in which the clock can be set right");
}
