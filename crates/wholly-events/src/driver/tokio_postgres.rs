//! PostgreSQL by tokio-postgres.
//!
//! A statement is sent with the types of its values, so it takes one round trip, also the first
//! time: the caller's transaction has no place where a prepared statement could be kept. It also
//! works behind a pool that gives each transaction another connection.

use std::pin::Pin;

use bytes::BytesMut;
use deadpool_postgres::StatementCache;
use futures_util::FutureExt;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, GenericClient, Statement};

use crate::Failure;
use crate::event::{NewEvent, now};
use crate::inbox::{self, Received};
use crate::names::{EventId, ReactionName, ServiceName};
use crate::outbox;
use crate::session::{Session, SqlCell, SqlError, SqlResult, SqlRow, SqlValue};
use crate::sql::Dialect;

/// Writes the event into the outbox, in the caller's transaction.
///
/// # Errors
/// The error of PostgreSQL. The caller must then roll back.
pub async fn publish(db: &(impl GenericClient + Sync), event: &NewEvent) -> SqlResult<()> {
    outbox::publish(&mut Postgres::new(db.client()), event).await
}

/// Records the event in the caller's transaction; returns whether this is its first delivery.
///
/// # Errors
/// The error of PostgreSQL. The caller must then roll back.
pub async fn receive_once(
    db: &(impl GenericClient + Sync),
    reaction: &ReactionName,
    source: &ServiceName,
    id: &EventId,
) -> SqlResult<Received> {
    inbox::receive_once(&mut Postgres::new(db.client()), reaction, source, id, now()).await
}

/// Creates the missing tables of this crate.
///
/// # Errors
/// The error of PostgreSQL.
pub async fn create_tables(db: &(impl GenericClient + Sync)) -> SqlResult<()> {
    outbox::create_tables(&mut Postgres::new(db.client())).await
}

/// A client in a transaction.
///
/// INVARIANT: a pipelined statement was sent before a later one, and PostgreSQL executes them in
/// that order. After one that failed it executes nothing but the transaction's end.
pub struct Postgres<'a> {
    client: &'a Client,
    /// The prepared statements of the connection, where it is a pool's that keeps them.
    prepared: Option<&'a StatementCache>,
    /// The answers of pipelined statements, in their order.
    unanswered: Vec<PendingAnswer<'a>>,
}

type PendingAnswer<'a> = Pin<Box<dyn Future<Output = SqlResult<()>> + Send + 'a>>;

impl<'a> Postgres<'a> {
    /// A client of the caller's, who ends the transaction: each statement is waited for.
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client, prepared: None, unanswered: Vec::new() }
    }

    /// A client whose connection keeps its prepared statements: PostgreSQL then neither parses nor
    /// plans a statement each time, which costs it more than the statement itself. The caller looks
    /// at the [`answers`](Self::answers) before it believes that the transaction was committed.
    pub(crate) const fn pipelined(client: &'a Client, statements: &'a StatementCache) -> Self {
        Self { client, prepared: Some(statements), unanswered: Vec::new() }
    }

    pub(crate) const fn client(&self) -> &'a Client {
        self.client
    }

    /// Waits for the answers of pipelined statements; the first error is the transaction's.
    pub(crate) async fn answers(&mut self) -> SqlResult<()> {
        for answer in self.unanswered.drain(..) {
            answer.await?;
        }
        Ok(())
    }

    /// Sends a statement; its answer is waited for later.
    fn send(&mut self, mut answer: PendingAnswer<'a>) -> SqlResult<()> {
        // The first look at a statement's future sends it.
        match answer.as_mut().now_or_never() {
            Some(answer) => answer,
            None => {
                self.unanswered.push(answer);
                Ok(())
            }
        }
    }

    async fn statement(
        &mut self,
        sql: &'static str,
        values: &Typed<'_>,
    ) -> SqlResult<Option<Statement>> {
        let Some(statements) = self.prepared else { return Ok(None) };
        let types: Vec<Type> = values.iter().map(|(_, kind)| kind.clone()).collect();
        Ok(Some(statements.prepare_typed(self.client, sql, &types).await?))
    }
}

impl Session for Postgres<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<u64> {
        let values = typed(values);
        Ok(match self.statement(sql, &values).await? {
            Some(statement) => self.client.execute(&statement, &bare(&values)).await?,
            None => self.client.execute_typed(sql, &values).await?,
        })
    }

    async fn pipeline(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<()> {
        let Some(statement) = self.statement(sql, &typed(values)).await? else {
            return self.execute(sql, values).await.map(drop);
        };
        let (client, values) = (self.client, values.iter().map(SqlCell::from).collect::<Vec<_>>());
        self.send(Box::pin(async move {
            let values: Vec<_> =
                values.iter().map(|cell| -> &(dyn ToSql + Sync) { cell }).collect();
            client.execute(&statement, &values).await?;
            Ok(())
        }))
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> SqlResult<Vec<SqlRow>> {
        let values = typed(values);
        let rows = match self.statement(sql, &values).await? {
            Some(statement) => self.client.query(&statement, &bare(&values)).await?,
            None => self.client.query_typed(sql, &values).await?,
        };
        rows.iter().map(row).collect()
    }

    async fn batch(&mut self, sql: &'static str) -> SqlResult<()> {
        let client = self.client;
        let answer = async move { Ok(client.batch_execute(sql).await?) };
        match self.prepared {
            Some(_) => self.send(Box::pin(answer)),
            None => answer.await,
        }
    }
}

/// `NULL`, of whatever type the statement wants.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Failure> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

type Typed<'a> = [(&'a (dyn ToSql + Sync), Type)];

fn bare<'a>(values: &Typed<'a>) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|(value, _)| *value).collect()
}

fn typed<'a>(values: &'a [SqlValue<'_>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let typed = values.iter().map(|value| -> (&'a (dyn ToSql + Sync), Type) {
        match value {
            // PostgreSQL finds the type out, as it does for a literal `NULL`.
            SqlValue::Null => (&Null, Type::UNKNOWN),
            SqlValue::Int(number) => (number, Type::INT8),
            SqlValue::Text(text) => (text, Type::TEXT),
        }
    });
    typed.collect()
}

impl ToSql for SqlCell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Null => Null.to_sql(kind, out),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn row(row: &tokio_postgres::Row) -> SqlResult<SqlRow> {
    let cells = (0..row.len()).map(|column| row.try_get(column));
    Ok(SqlRow(cells.collect::<Result<_, tokio_postgres::Error>>()?))
}

impl<'a> FromSql<'a> for SqlCell {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Failure> {
        match *kind {
            Type::INT8 => i64::from_sql(kind, bytes).map(Self::Int),
            _ => String::from_sql(kind, bytes).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT)
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}
