//! The transports that there are, by the suite that every transport must pass.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{database, eventually};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wholly_events::conformance::feed::{self, Harness};
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

impl<F: Feed> Harness for Publisher<F> {
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
