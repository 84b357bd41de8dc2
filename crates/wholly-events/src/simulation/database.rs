//! The database of a simulated service: transactions with random ends, dumps and restores.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures_util::FutureExt;
use rusqlite::Connection;

use super::handlers::{self, ShopHandlers};
use super::ledger::Ledger;
use super::planted::Bug;
use super::session::{SimulatedSession, WriteSet, write};
use super::unreadable::NO_EVENT;
use crate::SqlError;
use crate::choreography::job::{JobOutput, StoreJob, perform};
use crate::choreography::plan::ServicePlan;
use crate::choreography::react::{self, ReactError};
use crate::event::NewEvent;
use crate::store::StoreError;
use wholly_core::Timestamp;

/// The work of one transaction.
#[derive(Debug)]
pub(super) enum TransactionWork {
    /// A job of the service.
    Job(StoreJob),
    /// A client's order, or a change to it, with its event.
    Place(NewEvent, Timestamp),
}

/// The end of a transaction without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionEnd {
    Commits,
    /// A commit without an answer.
    CommitsUnheard,
    RollsBack,
}

/// A transaction that was committed.
pub(super) struct CommittedWork {
    pub(super) reply: JobOutput,
    pub(super) writes: WriteSet,
}

pub(super) struct SimulatedDatabase {
    pub(super) db: Connection,
    /// True if it behaves like PostgreSQL.
    pub(super) sequenced: bool,
    /// The next sequence of an event.
    pub(super) next_sequence: u64,
    dump: Option<Dump>,
    bug: Option<Bug>,
}

/// An earlier state, stored beside the tables.
struct Dump {
    next_sequence: u64,
    ledger: Ledger,
}

impl SimulatedDatabase {
    pub(super) fn new(service: usize, sequenced: bool, bug: Option<Bug>) -> Self {
        let db = Connection::open_in_memory().unwrap();
        handlers::create_tables(&db, service);
        Self { db, sequenced, next_sequence: 1, dump: None, bug }
    }

    /// Does the work in one transaction; `Ok(None)` if it was rolled back.
    pub(super) fn run(
        &mut self,
        plan: &ServicePlan,
        handlers: &ShopHandlers,
        work: &TransactionWork,
        drawn: Option<u64>,
        fate: TransactionEnd,
    ) -> Result<Option<CommittedWork>, StoreError> {
        self.db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let next = Cell::new(drawn.unwrap_or(self.next_sequence));
        let (writes, result) = match self.sequenced {
            true => self.perform::<true>(plan, handlers, work, &next),
            false => self.perform::<false>(plan, handlers, work, &next),
        };
        let commits = result.is_ok() && fate != TransactionEnd::RollsBack;
        self.db.execute_batch(if commits { "COMMIT" } else { "ROLLBACK" }).unwrap();
        self.next_sequence = self.next_sequence.max(next.get());
        self.plant(commits, fate, &writes);
        let reply = result.map_err(StoreError::from)?;
        Ok(commits.then_some(CommittedWork { reply, writes }))
    }

    fn perform<const SEQUENCED: bool>(
        &self,
        plan: &ServicePlan,
        handlers: &ShopHandlers,
        work: &TransactionWork,
        next_sequence: &Cell<u64>,
    ) -> (WriteSet, Result<JobOutput, ReactError>) {
        let (db, bug) = (&self.db, self.bug);
        let writes = WriteSet::default();
        let mut session = SimulatedSession::<SEQUENCED> { db, next_sequence, bug, writes };
        let result = match work {
            TransactionWork::Job(job) => perform(&mut session, plan, handlers, job).now_or_never(),
            TransactionWork::Place(event, now) => {
                place(&mut session, plan, event, *now).now_or_never()
            }
        };
        (session.writes, result.expect("a session of the simulation never waits"))
    }

    /// Writes rows that planted bugs write outside the transaction.
    fn plant(&mut self, commits: bool, fate: TransactionEnd, writes: &WriteSet) {
        let mut outside = WriteSet::default();
        if self.bug == Some(Bug::PublishBeforeTheCommit) && !commits {
            outside.published.clone_from(&writes.published);
        }
        if self.bug == Some(Bug::InboxOutsideTheTransaction)
            && commits
            && fate == TransactionEnd::Commits
        {
            outside.marks.clone_from(&writes.marks);
        }
        let next = Cell::new(self.next_sequence);
        write(&self.db, self.sequenced, &outside, &next);
        self.next_sequence = next.get();
    }

    pub(super) fn number(&self, sql: &str, values: &[&str]) -> u64 {
        let values = rusqlite::params_from_iter(values);
        let number: i64 = self.db.query_row(sql, values, |row| row.get(0)).unwrap();
        u64::try_from(number).unwrap()
    }

    fn tables(&self) -> Vec<String> {
        let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table'";
        let mut statement = self.db.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub(super) fn dump(&mut self, ledger: &Ledger) {
        self.db.execute_batch("ATTACH ':memory:' AS dump").unwrap();
        for table in self.tables() {
            let copy = format!("CREATE TABLE dump.copy_{table} AS SELECT * FROM main.{table}");
            self.db.execute_batch(&copy).unwrap();
        }
        let next_sequence = self.next_sequence;
        self.dump = Some(Dump { next_sequence, ledger: ledger.clone() });
    }

    pub(super) fn has_dump(&self) -> bool {
        self.dump.is_some()
    }

    /// Restores the dump; returns the ledger of its time.
    pub(super) fn restore(&mut self) -> Option<Ledger> {
        let dump = self.dump.take()?;
        for table in self.tables() {
            let copy = format!(
                "DELETE FROM main.{table};
                INSERT INTO main.{table} SELECT * FROM dump.copy_{table}"
            );
            self.db.execute_batch(&copy).unwrap();
        }
        self.db.execute_batch("DETACH dump").unwrap();
        self.next_sequence = dump.next_sequence;
        Some(dump.ledger)
    }

    /// The number of rows of every table that must be trimmed.
    pub(super) fn rows(&self) -> BTreeMap<&'static str, u64> {
        let mut tables = vec![
            "wholly_outbox",
            "wholly_inbox",
            "wholly_effect",
            "wholly_parked",
            "wholly_timeout",
        ];
        if self.sequenced {
            tables.push("wholly_correlation");
        }
        let rows = |table| self.number(&format!("SELECT count(*) FROM {table}"), &[]);
        tables.into_iter().map(|table| (table, rows(table))).collect()
    }
}

/// Takes or changes an order, or writes what is no event. The client may not have heard of it, and
/// say it again.
async fn place<const SEQUENCED: bool>(
    session: &mut SimulatedSession<'_, SEQUENCED>,
    plan: &ServicePlan,
    event: &NewEvent,
    now: Timestamp,
) -> Result<JobOutput, ReactError> {
    if event.kind.as_str() == NO_EVENT {
        react::emit(session, plan, event, now).await?;
        return Ok(JobOutput::Done);
    }
    let sql = match event.kind.as_str() {
        "OrderCreated" => {
            "INSERT INTO orders SELECT ?1, 0, 0, 0
            WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = ?1)"
        }
        "OrderNoted" => "UPDATE orders SET cancelled = 0 WHERE id = ?1 AND cancelled = 0",
        _ => "UPDATE orders SET cancelled = 1 WHERE id = ?1 AND cancelled = 0",
    };
    let id = event.correlation.as_str();
    if session.db.execute(sql, [id]).map_err(SqlError::from)? == 1 {
        react::emit(session, plan, event, now).await?;
    }
    Ok(JobOutput::Done)
}
