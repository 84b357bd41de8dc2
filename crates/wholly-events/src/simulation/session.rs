//! A session of the simulation: over SQLite, in two dialects.
//!
//! As SQLite, every statement is the product's own. As PostgreSQL, three things are put in the way
//! that SQLite understands: the schema's types, `FOR UPDATE`, and the sequencer's statement, which
//! becomes two. An event takes its `sequence` when its transaction begins, as PostgreSQL's does, so
//! that transactions commit out of their sequence.

use rusqlite::{Connection, params_from_iter};

use super::planted::Bug;
use crate::driver::rusqlite::Sqlite;
use crate::session::{Session, SqlCell, SqlResult, SqlRow, SqlValue};
use crate::sql::{self, Dialect};

/// A transaction of the simulation, and what it has written.
pub(super) struct SimulatedSession<'a, const SEQUENCED: bool> {
    pub(super) db: &'a Connection,
    pub(super) next_sequence: &'a std::cell::Cell<u64>,
    pub(super) bug: Option<Bug>,
    pub(super) writes: WriteSet,
}

/// The rows of outbox and inbox that a transaction has written.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteSet {
    /// The values of each event: id, type, correlation, causation, traceparent, time, data.
    pub(super) published: Vec<Vec<SqlCell>>,
    /// The values of each mark: reaction, source, id, outcome, time, reason.
    pub(super) marks: Vec<Vec<SqlCell>>,
}

/// Publishes with a sequence of this transaction's own.
const PUBLISH_LATE: &str = "INSERT INTO wholly_outbox
    (id, type, correlation, causation, traceparent, time, data, sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// The first part of the sequencer's statement: `$1` at most.
const PLACE: &str = "UPDATE wholly_outbox
    SET position = (SELECT head FROM wholly_feed) + next.nth
    FROM (SELECT sequence AS own, row_number() OVER (ORDER BY sequence) AS nth FROM wholly_outbox
        WHERE position IS NULL ORDER BY sequence LIMIT $1) AS next
    WHERE sequence = next.own";

/// The second part.
const MOVE_HEAD: &str = "UPDATE wholly_feed SET (head, head_id) =
        (SELECT position, id FROM wholly_outbox ORDER BY position DESC LIMIT 1)
    WHERE EXISTS (SELECT 1 FROM wholly_outbox WHERE position > head) RETURNING head, head_id";

/// A planted bug: the sequence is the position.
const PLACE_BY_SEQUENCE: &str =
    "UPDATE wholly_outbox SET position = sequence WHERE position IS NULL AND $1 > 0";

/// A planted bug: the last event that is old, whatever is before it.
const TRIM_TO_LAST_OLD: &str = "SELECT position, id FROM (
        SELECT position, id, time FROM wholly_outbox WHERE position IS NOT NULL
        ORDER BY position LIMIT $1
    ) AS oldest WHERE time < $2 ORDER BY position DESC LIMIT 1";

/// A planted bug: the head is the largest position that is there.
const HEAD_BY_MAX: &str = "UPDATE wholly_feed
    SET head = coalesce((SELECT max(position) FROM wholly_outbox), 0)";

impl<const SEQUENCED: bool> Session for SimulatedSession<'_, SEQUENCED> {
    const DIALECT: Dialect = if SEQUENCED { Dialect::Postgres } else { Dialect::Sqlite };

    async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<u64> {
        let kept = || values.iter().map(SqlCell::from).collect();
        if sql == sql::PUBLISH {
            self.writes.published.push(kept());
            if SEQUENCED {
                let sequence = self.next_sequence.get();
                self.next_sequence.set(sequence + 1);
                let values: Vec<_> = values.iter().copied().chain([sequence.into()]).collect();
                return Sqlite(self.db).execute(PUBLISH_LATE, &values).await;
            }
        }
        if sql == sql::RECEIVE {
            if self.bug == Some(Bug::InboxOutsideTheTransaction) {
                self.writes.marks.push(kept());
                return Ok(1);
            }
            let changed = Sqlite(self.db).execute(sql, values).await?;
            if changed == 1 {
                self.writes.marks.push(kept());
            }
            return Ok(changed);
        }
        Sqlite(self.db).execute(sql, values).await
    }

    async fn pipeline(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<()> {
        // In PostgreSQL it is all the same whether a statement gives rows that nobody reads.
        match sql == Self::DIALECT.feed_locked() || Some(sql) == Self::DIALECT.sequence() {
            true => self.query(sql, values).await.map(drop),
            false => self.execute(sql, values).await.map(drop),
        }
    }

    async fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> SqlResult<Vec<SqlRow>> {
        let mut sqlite = Sqlite(self.db);
        if Some(sql) == Self::DIALECT.sequence() {
            if self.bug == Some(Bug::PositionsReusedAfterTrimming) {
                sqlite.execute(HEAD_BY_MAX, &[]).await?;
            }
            let place = match self.bug {
                Some(Bug::CursorOverTheSequence) => PLACE_BY_SEQUENCE,
                _ => PLACE,
            };
            sqlite.execute(place, values).await?;
            return sqlite.query(MOVE_HEAD, &[]).await;
        }
        if sql == sql::TRIM_TO && self.bug == Some(Bug::TrimsBehindTheYoung) {
            return sqlite.query(TRIM_TO_LAST_OLD, values).await;
        }
        match sql.strip_suffix(" FOR UPDATE") {
            Some(sql) => sqlite.query(sql, values).await,
            None => sqlite.query(sql, values).await,
        }
    }

    async fn batch(&mut self, sql: &'static str) -> SqlResult<()> {
        // The tables' block is one for PostgreSQL alone; what is in it is not.
        let tables = sql.find("CREATE TABLE").filter(|_| sql.starts_with("DO $$"));
        let sql = tables.map_or(sql, |from| sql[from..].trim_end_matches("END IF;\nEND $$"));
        let mut sql = sql.replace(" COLLATE \"C\"", "").replace(
            "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            "INTEGER PRIMARY KEY AUTOINCREMENT",
        );
        if self.bug == Some(Bug::PositionsReusedAfterTrimming) {
            sql = sql.replace(" AUTOINCREMENT", "");
        }
        Ok(self.db.execute_batch(&sql)?)
    }
}

/// Writes what a transaction had kept back, or should have lost: for planted bugs.
pub(super) fn write(
    db: &Connection,
    sequenced: bool,
    writes: &WriteSet,
    next: &std::cell::Cell<u64>,
) {
    for event in &writes.published {
        let sequence = SqlCell::Int(i64::try_from(next.get()).unwrap());
        next.set(next.get() + 1);
        let (sql, own) =
            if sequenced { (PUBLISH_LATE, Some(&sequence)) } else { (sql::PUBLISH, None) };
        db.execute(sql, params_from_iter(event.iter().chain(own).map(SqlValue::from))).unwrap();
    }
    for mark in &writes.marks {
        db.execute(sql::RECEIVE, params_from_iter(mark.iter().map(SqlValue::from))).unwrap();
    }
}

/// The text of a value; none where it is another.
pub(super) fn text(value: &SqlCell) -> &str {
    match value {
        SqlCell::Text(text) => text,
        SqlCell::Null | SqlCell::Int(_) => "",
    }
}
