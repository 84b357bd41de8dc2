//! The barrier's row in SQLite: table `wholly_branch`, one row a branch or step.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wholly_core::wire::Call;
use wholly_core::{LogId, OperationName, Payload, Timestamp, TransactionId};

use crate::Failure;
use crate::barrier::State;

/// Ids ascend with time, so that rows are inserted and purged at the ends of the tree.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS wholly_branch (
        transaction_id TEXT NOT NULL,
        branch TEXT NOT NULL,
        state TEXT NOT NULL,
        data TEXT, -- prepared: the prepared data, as JSON; refused: the reason; done: see Done
        changed_at INTEGER NOT NULL, -- milliseconds since the Unix epoch
        PRIMARY KEY (transaction_id, branch)
    ) STRICT, WITHOUT ROWID;
";

/// A branch's row.
pub(super) struct Row {
    pub(super) state: State,
    data: Option<String>,
}

/// What the row of a saga's step keeps once it is done, as JSON.
#[derive(Serialize, Deserialize)]
struct Done {
    action: OperationName,
    output: Payload,
}

/// How many branches are prepared and wait for their decision.
///
/// # Errors
/// When the database cannot be read.
pub fn in_doubt(db: &Transaction<'_>) -> rusqlite::Result<u32> {
    db.query_row("SELECT count(*) FROM wholly_branch WHERE state = 'prepared'", [], |r| r.get(0))
}

pub(super) fn find(db: &Transaction<'_>, call: &Call) -> Result<Option<Row>, Failure> {
    let found: Option<(String, Option<String>)> = db
        .prepare_cached(
            "SELECT state, data FROM wholly_branch WHERE transaction_id = ?1 AND branch = ?2",
        )?
        .query_row((call.transaction.to_string(), call.branch.as_str()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    found.map(|(word, data)| Ok(Row { state: state(&word, data.as_deref())?, data })).transpose()
}

pub(super) fn insert(
    db: &Transaction<'_>,
    call: &Call,
    state: &State,
    prepared: Option<&str>,
    now: Timestamp,
) -> Result<(), Failure> {
    let data = match state {
        State::Refused { reason } | State::ActionRefused { reason } => Some(reason.clone()),
        State::Done { action, output } => {
            Some(serde_json::to_string(&Done { action: action.clone(), output: output.clone() })?)
        }
        _ => prepared.map(str::to_owned),
    };
    let id = call.transaction.to_string();
    db.prepare_cached("INSERT INTO wholly_branch VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        id,
        call.branch.as_str(),
        word(state),
        data,
        millis(now),
    ))?;
    Ok(())
}

/// Ends a prepared branch, or a step that was done; the row's data has done its part.
pub(super) fn end(
    db: &Transaction<'_>,
    call: &Call,
    state: &State,
    now: Timestamp,
) -> Result<(), Failure> {
    let from = if *state == State::Compensated { "done" } else { "prepared" };
    let ended = db
        .prepare_cached(
            "UPDATE wholly_branch SET state = ?3, data = NULL, changed_at = ?4
             WHERE transaction_id = ?1 AND branch = ?2 AND state = ?5",
        )?
        .execute((
            call.transaction.to_string(),
            call.branch.as_str(),
            word(state),
            millis(now),
            from,
        ))?;
    match ended {
        1 => Ok(()),
        _ => Err("the branch's row was changed by the service's own code".into()),
    }
}

/// The prepared data of a prepared branch.
pub(super) fn prepared<P: DeserializeOwned>(row: Option<Row>) -> Result<P, Failure> {
    let data = row.and_then(|row| row.data).ok_or("the branch's row has lost its prepared data")?;
    serde_json::from_str(&data).map_err(|e| {
        format!("this version of the service cannot read what was prepared: {e}").into()
    })
}

/// The time at which the youngest branch began or ended; `None` where there is none. Ids ascend with
/// time.
pub(super) fn youngest(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let last = "SELECT transaction_id, changed_at FROM wholly_branch
        ORDER BY transaction_id DESC LIMIT 1";
    let found = db.query_row(last, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    });
    let Some((id, changed_at)) = found.optional()? else { return Ok(None) };
    let began = id.parse::<TransactionId>().map_or(Timestamp::default(), TransactionId::minted_at);
    Ok(Some(began.max(Timestamp::from_millis(changed_at))))
}

/// Deletes at most `limit` rows of branches and steps that ended before then.
pub(super) fn purge(
    db: &Transaction<'_>,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<usize> {
    // A branch ends after its transaction began: older ids are all that need to be looked at.
    let first_kept = TransactionId::mint(0, before, 0, LogId::from_bits(0)).to_string();
    db.prepare_cached(
        // INVARIANT: a prepared branch is never purged.
        "DELETE FROM wholly_branch WHERE (transaction_id, branch) IN (
             SELECT transaction_id, branch FROM wholly_branch
             WHERE transaction_id < ?1 AND changed_at < ?2 AND state <> 'prepared' LIMIT ?3)",
    )?
    .execute((first_kept, millis(before), i64::try_from(limit).unwrap_or(i64::MAX)))
}

fn word(state: &State) -> &'static str {
    match state {
        State::Prepared => "prepared",
        State::Committed => "committed",
        State::CommittedOnePhase => "committed-one-phase",
        State::Aborted => "aborted",
        State::ReadOnly => "read-only",
        State::Refused { .. } => "refused",
        State::Done { .. } => "done",
        State::ActionRefused { .. } => "action-refused",
        State::Compensated => "compensated",
        State::CompensatedEmpty => "compensated-empty",
    }
}

fn state(word: &str, data: Option<&str>) -> Result<State, Failure> {
    let data = data.unwrap_or_default();
    Ok(match word {
        "prepared" => State::Prepared,
        "committed" => State::Committed,
        "committed-one-phase" => State::CommittedOnePhase,
        "aborted" => State::Aborted,
        "read-only" => State::ReadOnly,
        "refused" => State::Refused { reason: data.to_owned() },
        "done" => {
            let Done { action, output } = serde_json::from_str(data)?;
            State::Done { action, output }
        }
        "action-refused" => State::ActionRefused { reason: data.to_owned() },
        "compensated" => State::Compensated,
        "compensated-empty" => State::CompensatedEmpty,
        // A newer version wrote it. Unknown, not a guess.
        other => return Err(format!("the branch's row has an unknown state {other:?}").into()),
    })
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
