//! The statements over the barrier's table.

use rusqlite::{Connection, OptionalExtension, Transaction};
use wholly_core::Timestamp;
use wholly_core::wire::Call;

use crate::Failure;
use crate::local::{BranchRow, Expired, RowChange, millis, one_row_ended};

/// Ids ascend with time, so that rows are inserted and purged at the ends of the tree.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS wholly_branch (
        transaction_id TEXT NOT NULL,
        branch TEXT NOT NULL,
        state TEXT NOT NULL,
        data TEXT,
        changed_at INTEGER NOT NULL, -- milliseconds since the Unix epoch
        PRIMARY KEY (transaction_id, branch)
    ) STRICT, WITHOUT ROWID;
";

/// The number of branches that are prepared and wait for their decision.
///
/// # Errors
/// When the database cannot be read.
pub fn in_doubt(db: &Transaction<'_>) -> rusqlite::Result<u32> {
    db.query_row("SELECT count(*) FROM wholly_branch WHERE state = 'prepared'", [], |r| r.get(0))
}

pub(super) fn find(db: &Transaction<'_>, call: &Call) -> rusqlite::Result<Option<BranchRow>> {
    db.prepare_cached(
        "SELECT state, data FROM wholly_branch WHERE transaction_id = ?1 AND branch = ?2",
    )?
    .query_row((call.transaction.to_string(), call.branch.as_str()), |row| {
        Ok(BranchRow { state: row.get(0)?, data: row.get(1)? })
    })
    .optional()
}

pub(super) fn change(
    db: &Transaction<'_>,
    call: &Call,
    change: Option<RowChange>,
    now: Timestamp,
) -> Result<(), Failure> {
    let (id, branch, now) = (call.transaction.to_string(), call.branch.as_str(), millis(now));
    match change {
        None => Ok(()),
        Some(RowChange::Insert(BranchRow { state, data })) => {
            let insert = "INSERT INTO wholly_branch VALUES (?1, ?2, ?3, ?4, ?5)";
            db.prepare_cached(insert)?.execute((id, branch, state, data, now))?;
            Ok(())
        }
        Some(RowChange::End { from, to }) => {
            let update = "UPDATE wholly_branch SET state = ?3, data = NULL, changed_at = ?4
                 WHERE transaction_id = ?1 AND branch = ?2 AND state = ?5";
            let rows = db.prepare_cached(update)?.execute((id, branch, to, now, from))?;
            one_row_ended(rows)
        }
    }
}

/// The id and the time of the row with the greatest id.
pub(super) fn youngest(db: &Connection) -> rusqlite::Result<Option<(String, i64)>> {
    let last = "SELECT transaction_id, changed_at FROM wholly_branch
        ORDER BY transaction_id DESC LIMIT 1";
    db.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Deletes expired rows; returns how many.
pub(super) fn delete(db: &Transaction<'_>, expired: &Expired) -> rusqlite::Result<usize> {
    let Expired { transaction_id, changed_at, limit } = expired;
    db.prepare_cached(
        // INVARIANT: a prepared branch is never deleted.
        "DELETE FROM wholly_branch WHERE (transaction_id, branch) IN (
             SELECT transaction_id, branch FROM wholly_branch
             WHERE transaction_id < ?1 AND changed_at < ?2 AND state <> 'prepared' LIMIT ?3)",
    )?
    .execute((transaction_id, changed_at, limit))
}
