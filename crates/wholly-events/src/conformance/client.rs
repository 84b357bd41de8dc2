//! The test client: a connection to a service's database whose statements must not fail.

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use serde::Serialize;
use wholly_core::Timestamp;

use super::{TestConnection, TestDatabase};
use crate::event::NewEvent;
use crate::inbox::{self, Received};
use crate::outbox;
use crate::session::{Session, SqlResult, SqlRow, SqlValue};
use crate::sql::{self, Dialect};

/// The longest that a transaction may take until it waits for another.
const PATIENCE: Duration = Duration::from_secs(60);

/// More events than a case publishes.
const ALL: u64 = 1000;

pub(super) struct TestClient<C>(C);

impl<C: TestConnection> TestClient<C> {
    /// Connects, and makes the tables.
    pub(super) async fn of(database: &impl TestDatabase<Connection = C>) -> Self {
        let mut client = Self::without_tables(database).await;
        client.create_tables().await;
        client
    }

    pub(super) async fn without_tables(database: &impl TestDatabase<Connection = C>) -> Self {
        let mut client = Self(database.connect().await);
        // SQLite's drivers give up after five seconds.
        if client.dialect() == Dialect::Postgres {
            client.batch("SET lock_timeout = '60s'").await;
        }
        client
    }

    /// From now on, statements that meet a lock fail.
    pub(super) async fn wait_for_nobody(&mut self) {
        match self.dialect() {
            Dialect::Sqlite => drop(self.query("PRAGMA busy_timeout = 0", &[]).await),
            Dialect::Postgres => self.batch("SET lock_timeout = '1ms'").await,
        }
    }

    pub(super) async fn create_tables(&mut self) {
        outbox::create_tables(&mut self.0.session()).await.unwrap();
    }

    pub(super) async fn begin(&mut self) {
        match self.dialect() {
            Dialect::Sqlite => self.batch("BEGIN IMMEDIATE").await,
            Dialect::Postgres => self.batch("BEGIN ISOLATION LEVEL READ COMMITTED").await,
        }
    }

    pub(super) async fn commit(&mut self) {
        self.batch("COMMIT").await;
    }

    pub(super) async fn roll_back(&mut self) {
        self.batch("ROLLBACK").await;
    }

    pub(super) async fn publish(&mut self, event: &NewEvent) {
        outbox::publish(&mut self.0.session(), event).await.unwrap();
    }

    pub(super) async fn receive(&mut self, reaction: &str, source: &str, id: &str) -> Received {
        self.try_receive(reaction, source, id).await.unwrap()
    }

    pub(super) async fn try_receive(
        &mut self,
        reaction: &str,
        source: &str,
        id: &str,
    ) -> SqlResult<Received> {
        let (reaction, source, id) = (name(reaction), name(source), name(id));
        let now = Timestamp::from_millis(1);
        inbox::receive_once(&mut self.0.session(), &reaction, &source, &id, now).await
    }

    /// Gives positions to at most this many events, as the sequencer does; returns the new head.
    pub(super) async fn sequence(&mut self, limit: u64) -> u64 {
        self.begin().await;
        self.lock_feed().await;
        let head = self.sequence_locked(limit).await;
        self.commit().await;
        head
    }

    /// Takes the lock of the sequencer; returns the head.
    pub(super) async fn lock_feed(&mut self) -> u64 {
        self.execute(sql::NAME_FEED, &[1.into(), SqlValue::Text("orders")]).await;
        let locked = self.query(self.dialect().feed_locked(), &[]).await;
        locked[0].number(0).unwrap()
    }

    pub(super) async fn sequence_locked(&mut self, limit: u64) -> u64 {
        if let Some(statement) = self.dialect().sequence() {
            self.query(statement, &[limit.into()]).await;
        }
        self.query(self.dialect().feed_locked(), &[]).await[0].number(0).unwrap()
    }

    /// The feed from its start, with all that is committed, and the position of each.
    pub(super) async fn feed(&mut self) -> Vec<(u64, NewEvent)> {
        self.sequence(ALL).await;
        self.sequenced().await
    }

    /// The feed from its start, as far as it is sequenced.
    pub(super) async fn sequenced(&mut self) -> Vec<(u64, NewEvent)> {
        let rows = self.query(sql::PAGE, &[0.into(), ALL.into()]).await;
        rows.into_iter().map(published).collect()
    }

    pub(super) async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> u64 {
        self.0.session().execute(sql, values).await.unwrap()
    }

    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> Vec<SqlRow> {
        self.try_query(sql, values).await.unwrap()
    }

    pub(super) async fn try_query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> SqlResult<Vec<SqlRow>> {
        self.0.session().query(sql, values).await
    }

    pub(super) async fn batch(&mut self, sql: &'static str) {
        self.0.session().batch(sql).await.unwrap();
    }

    pub(super) fn dialect(&self) -> Dialect {
        <C::Session<'_> as Session>::DIALECT
    }

    /// Returns when a transaction of another connection waits for a lock.
    ///
    /// # Panics
    /// If the transaction ends without having waited.
    pub(super) async fn see_waiting<T: Debug>(&mut self, other: Pin<&mut impl Future<Output = T>>) {
        match select(other, pin!(self.see_one_waiting())).await {
            Either::Left((done, _)) => panic!("it did not wait: {done:?}"),
            Either::Right(((), _)) => {}
        }
    }

    async fn see_one_waiting(&mut self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database() AND backend_type = 'client backend'";
        let deadline = Instant::now() + PATIENCE;
        while self.query(waiting, &[]).await[0].number(0).unwrap() == 0 {
            assert!(Instant::now() < deadline, "nobody waits");
        }
    }
}

pub(super) fn event(correlation: &str, data: &impl Serialize) -> NewEvent {
    NewEvent::new("OrderCreated", correlation, data).unwrap()
}

pub(super) fn name<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A statement that is made for a case; there are few.
pub(super) fn made(statement: String) -> &'static str {
    Box::leak(statement.into_boxed_str())
}

fn published(mut row: SqlRow) -> (u64, NewEvent) {
    let event = NewEvent {
        id: row.name(1).unwrap(),
        kind: row.name(2).unwrap(),
        correlation: row.name(3).unwrap(),
        causation: row.optional_name(4).unwrap(),
        traceparent: row.optional_text(5).unwrap(),
        time: Timestamp::from_millis(row.number(6).unwrap()),
        data: row.text(7).unwrap(),
    };
    (row.number(0).unwrap(), event)
}
