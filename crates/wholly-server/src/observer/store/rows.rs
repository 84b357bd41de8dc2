//! A row for each choreography: its standing, for lists and counts.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, ToSql, params};
use wholly_core::Timestamp;
use wholly_events::Correlation;

use super::events::{millis, name, number, of, time};
use super::services::{declarations, parked};
use super::{Observed, Parked, Store, StoreError};
use crate::observer::judge::{self, ChoreographyState, Declarations};

/// The most rows that are looked at in one transaction, so that others need not wait long.
const AT_ONCE: u32 = 500;
/// The most stuck choreographies that are told of at once.
const STUCK_LIMIT: u32 = 10_000;

/// A choreography as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoreographyRow {
    /// Its place among all that were observed.
    pub number: u64,
    pub correlation: Correlation,
    /// The time of its first event.
    pub started: Timestamp,
    pub state: ChoreographyState,
    pub settled: bool,
    /// The reasons why an operator is needed; empty if none is.
    pub reasons: Vec<String>,
    /// The time by which it should end, if that is declared.
    pub deadline: Option<Timestamp>,
    /// The number of events beyond the limit, which are not kept.
    pub left_out: u64,
    /// A number that is another one after every change.
    pub revision: u64,
}

/// A choreography with its events, parked events and declarations.
pub struct StoredChoreography {
    pub row: ChoreographyRow,
    pub events: Vec<Observed>,
    pub parked: Vec<Parked>,
    pub declared: Declarations,
}

/// A filter of choreographies: those that match every member that is set.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<ChoreographyState>,
    pub settled: Option<bool>,
    pub stuck: Option<bool>,
    pub correlation: Option<Correlation>,
    /// Begun then or later.
    pub since: Option<Timestamp>,
    /// Begun before then.
    pub until: Option<Timestamp>,
    /// Before this place in the list.
    pub before: Option<u64>,
}

impl Store {
    /// The rows that pass, newest first, and true if there are more.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<(Vec<ChoreographyRow>, bool), StoreError> {
        self.run(move |db| {
            let (condition, values) = filter.sql();
            let sql = format!("{ROW} WHERE {condition} ORDER BY number DESC LIMIT ?");
            let limit_and_one = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
            let mut statement = db.prepare_cached(&sql)?;
            let values = values.iter().map(|value| &**value).chain([&limit_and_one as &dyn ToSql]);
            let rows = statement.query_map(rusqlite::params_from_iter(values), read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            Ok((rows, more))
        })
        .await
    }

    /// The row of a correlation.
    pub async fn row(
        &self,
        correlation: Correlation,
    ) -> Result<Option<ChoreographyRow>, StoreError> {
        self.run(move |db| row(db, &correlation)).await
    }

    /// Everything that is stored of a correlation, at one moment.
    pub async fn all_of(
        &self,
        correlation: Correlation,
    ) -> Result<Option<StoredChoreography>, StoreError> {
        self.run(move |db| {
            let Some(row) = row(db, &correlation)? else { return Ok(None) };
            Ok(Some(StoredChoreography {
                row,
                events: of(db, &correlation, true)?,
                parked: parked(db, &correlation)?,
                declared: declarations(db)?,
            }))
        })
        .await
    }

    /// Judges due choreographies; returns true if there were any.
    pub async fn judge_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.run(move |db| {
            let sql = "SELECT correlation FROM choreography WHERE due <= ?1 LIMIT ?2";
            let due = correlations(db, sql, &[&millis(now), &AT_ONCE])?;
            let declared = declarations(db)?;
            for correlation in &due {
                judge(db, correlation, &declared, now)?;
            }
            Ok(!due.is_empty())
        })
        .await
    }

    /// Judges all anew, because a declaration has changed.
    pub async fn judge_all(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let last = self.run(move |db| judge_after(db, after, now)).await?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// The time of the last event of all; `None` if there is none.
    pub async fn youngest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.run(|db| {
            let latest: Option<i64> =
                db.query_row("SELECT max(latest) FROM choreography", [], |row| row.get(0))?;
            Ok(latest.map(time))
        })
        .await
    }

    /// Deletes those whose last event is from before then; returns true if there may be more.
    pub async fn trim(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.run(move |db| {
            let sql = "SELECT correlation FROM choreography WHERE latest < ?1 LIMIT ?2";
            let old = correlations(db, sql, &[&millis(before), &AT_ONCE])?;
            for correlation in &old {
                let own = [correlation.as_str()];
                db.execute("DELETE FROM event WHERE correlation = ?1", own)?;
                db.execute("DELETE FROM choreography WHERE correlation = ?1", own)?;
            }
            Ok(old.len() >= AT_ONCE as usize)
        })
        .await
    }

    /// The oldest stuck choreographies, each with the time since which it is stuck.
    pub async fn stuck(&self) -> Result<BTreeMap<Correlation, Timestamp>, StoreError> {
        self.run(|db| {
            let sql = "SELECT correlation, stuck_since FROM choreography
                WHERE reasons IS NOT NULL ORDER BY number LIMIT ?1";
            let mut statement = db.prepare_cached(sql)?;
            let rows =
                statement.query_map([STUCK_LIMIT], |row| Ok((name(row, 0)?, time(row.get(1)?))))?;
            rows.collect()
        })
        .await
    }

    /// The number of choreographies in each state, and of stuck ones.
    pub async fn counts(&self) -> Result<(BTreeMap<ChoreographyState, u64>, u64), StoreError> {
        self.run(|db| {
            let sql = "SELECT state, count(*) FROM choreography GROUP BY state";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((state(row, 0)?, number(row, 1)?)))?;
            let by_state = rows.collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT count(*) FROM choreography WHERE reasons IS NOT NULL";
            Ok((by_state, db.query_row(sql, [], |row| number(row, 0))?))
        })
        .await
    }
}

fn row(db: &Connection, correlation: &Correlation) -> rusqlite::Result<Option<ChoreographyRow>> {
    let sql = format!("{ROW} WHERE correlation = ?1");
    db.prepare_cached(&sql)?.query_row([correlation.as_str()], read).optional()
}

/// Makes the row of a correlation, and counts an event's time in.
pub(super) fn begin(
    db: &Connection,
    correlation: &Correlation,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO choreography (correlation, started, latest, state, settled)
        VALUES (?1, ?2, ?2, 'running', 0) ON CONFLICT (correlation) DO UPDATE
        SET started = min(started, ?2), latest = max(latest, ?2)";
    db.prepare_cached(sql)?.execute(params![correlation.as_str(), millis(at)]).map(drop)
}

/// Counts an event that is not kept.
pub(super) fn leave_out(db: &Connection, correlation: &Correlation) -> rusqlite::Result<()> {
    let sql = "UPDATE choreography SET left_out = left_out + 1 WHERE correlation = ?1
        RETURNING left_out";
    let count = db
        .prepare_cached(sql)?
        .query_row([correlation.as_str()], |row| number(row, 0))
        .optional()?;
    if count == Some(1) {
        tracing::warn!(%correlation, "a choreography has more events than the limit; the others are not kept");
    }
    Ok(())
}

/// Writes the standing of a choreography.
pub(super) fn judge(
    db: &Connection,
    correlation: &Correlation,
    declared: &Declarations,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (events, parked) = (of(db, correlation, false)?, parked(db, correlation)?);
    let judged = judge::judge(&events, &parked, declared, now);
    let reasons = match judged.reasons.is_empty() {
        true => None,
        false => serde_json::to_string(&judged.reasons).ok(),
    };
    let sql = "UPDATE choreography SET state = ?2, settled = ?3, due = ?4, deadline = ?5,
        reasons = ?6, stuck_since = CASE WHEN ?6 IS NULL THEN NULL ELSE coalesce(stuck_since, ?7) END,
        revision = revision + 1 WHERE correlation = ?1";
    db.prepare_cached(sql)?
        .execute(params![
            correlation.as_str(),
            judged.state.as_str(),
            judged.is_settled(),
            judged.due.map(millis),
            judged.deadline.map(millis),
            reasons,
            millis(now),
        ])
        .map(drop)
}

fn judge_after(db: &Connection, after: i64, now: Timestamp) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT number, correlation FROM choreography WHERE number > ?1
        ORDER BY number LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![after, AT_ONCE], |row| Ok((row.get(0)?, name(row, 1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, Correlation)>>>()?;
    let declared = declarations(db)?;
    for (_, correlation) in &rows {
        judge(db, correlation, &declared, now)?;
    }
    Ok(rows.last().map(|(number, _)| *number))
}

fn correlations(
    db: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> rusqlite::Result<Vec<Correlation>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| name(row, 0))?;
    rows.collect()
}

const ROW: &str = "SELECT number, correlation, started, state, settled, reasons, deadline,
    left_out, revision FROM choreography";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChoreographyRow> {
    let reasons: Option<String> = row.get(5)?;
    let reasons = reasons.map(|text| serde_json::from_str(&text)).transpose();
    let deadline: Option<i64> = row.get(6)?;
    Ok(ChoreographyRow {
        number: number(row, 0)?,
        correlation: name(row, 1)?,
        started: time(row.get(2)?),
        state: state(row, 3)?,
        settled: row.get(4)?,
        reasons: reasons.unwrap_or_default().unwrap_or_default(),
        deadline: deadline.map(time),
        left_out: number(row, 7)?,
        revision: number(row, 8)?,
    })
}

fn state(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<ChoreographyState> {
    let text: String = row.get(column)?;
    ChoreographyState::of(&text).ok_or(rusqlite::Error::InvalidQuery)
}

impl Filter {
    /// The condition, and its values in their order.
    fn sql(self) -> (String, Vec<Box<dyn ToSql>>) {
        let Self { state, settled, stuck, correlation, since, until, before } = self;
        let mut conditions = vec!["1"];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut add = |condition, value: Option<Box<dyn ToSql>>| {
            if let Some(value) = value {
                conditions.push(condition);
                values.push(value);
            }
        };
        add("state = ?", state.map(|state| Box::new(state.as_str()) as _));
        add("settled = ?", settled.map(|settled| Box::new(settled) as _));
        let text = correlation.map(|correlation| correlation.as_str().to_owned());
        add("correlation = ?", text.map(|text| Box::new(text) as _));
        add("started >= ?", since.map(|at| Box::new(millis(at)) as _));
        add("started < ?", until.map(|at| Box::new(millis(at)) as _));
        let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
        add("number < ?", before.map(|before| Box::new(before) as _));
        match stuck {
            Some(true) => conditions.push("reasons IS NOT NULL"),
            Some(false) => conditions.push("reasons IS NULL"),
            None => {}
        }
        (conditions.join(" AND "), values)
    }
}
