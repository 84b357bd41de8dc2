//! The services' last declarations and parked events.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use wholly_core::Timestamp;
use wholly_events::choreography::ParkedStatus;
use wholly_events::{Correlation, Declaration, EventId, EventType, ReactionName, ServiceName};

use super::events::{name, number};
use super::{Store, StoreError, rows};
use crate::observer::judge::Declarations;

/// An event that waits in a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub service: ServiceName,
    pub reaction: ReactionName,
    pub source: ServiceName,
    pub id: EventId,
    pub kind: EventType,
    /// `waiting`, `failing`, `calling` or `unreadable`.
    pub state: String,
    pub stuck: bool,
    pub tries: u64,
    pub error: Option<String>,
}

impl Store {
    /// Keeps only these feeds, and the knowledge of their services.
    pub async fn keep(&self, sources: Vec<ServiceName>, now: Timestamp) -> Result<(), StoreError> {
        self.run(move |db| {
            let known = "SELECT source FROM feed UNION SELECT service FROM parked";
            let mut known = db.prepare(known)?;
            let known = known.query_map([], |row| row.get(0))?;
            for gone in known.collect::<rusqlite::Result<Vec<String>>>()? {
                if !sources.iter().any(|source| source.as_str() == gone) {
                    db.execute("DELETE FROM feed WHERE source = ?1", [&gone])?;
                    replace_parked(db, &gone, &[], now)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Writes a service's declaration; returns true if it is new.
    pub async fn declare(
        &self,
        source: ServiceName,
        declaration: Declaration,
    ) -> Result<bool, StoreError> {
        self.run(move |db| {
            if declarations(db)?.get(&source) == Some(&declaration) {
                return Ok(false);
            }
            // A declaration always has a form in JSON.
            let text = serde_json::to_string(&declaration).unwrap_or_default();
            let sql = "INSERT INTO feed (source, declaration) VALUES (?1, ?2)
                ON CONFLICT (source) DO UPDATE SET declaration = excluded.declaration";
            db.execute(sql, params![source.as_str(), text])?;
            Ok(true)
        })
        .await
    }

    /// Writes the parked events of a service, in the place of the old ones.
    pub async fn park(
        &self,
        service: ServiceName,
        parked: Vec<ParkedStatus>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.run(move |db| replace_parked(db, service.as_str(), &parked, now)).await
    }
}

pub(super) fn declarations(db: &Connection) -> rusqlite::Result<Declarations> {
    let sql = "SELECT source, declaration FROM feed WHERE declaration IS NOT NULL";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((name(row, 0)?, row.get(1)?)))?;
    let mut declarations = Declarations::new();
    for row in rows {
        let (source, text): (_, String) = row?;
        // One that this version cannot read is asked for again.
        if let Ok(declaration) = serde_json::from_str(&text) {
            declarations.insert(source, declaration);
        }
    }
    Ok(declarations)
}

/// Replaces the parked events of a service; judges each choreography that this changes, and
/// returns true if it changes any.
fn replace_parked(
    db: &Connection,
    service: &str,
    parked: &[ParkedStatus],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let before = texts(db, service)?;
    let after: BTreeSet<(String, String)> = parked.iter().map(text).collect();
    let changed: BTreeSet<&str> =
        before.symmetric_difference(&after).map(|(correlation, _)| correlation.as_str()).collect();
    if changed.is_empty() {
        return Ok(false);
    }
    db.execute("DELETE FROM parked WHERE service = ?1", [service])?;
    let sql = "INSERT OR IGNORE INTO parked (service, number, reaction, source, id, type,
        correlation, state, stuck, tries, error)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let mut insert = db.prepare_cached(sql)?;
    for one in parked {
        insert.execute(params![
            service,
            i64::try_from(one.number).unwrap_or(i64::MAX),
            one.reaction.as_str(),
            one.source.as_str(),
            one.id.as_str(),
            one.kind.as_str(),
            one.correlation.as_str(),
            one.state.as_str(),
            one.stuck,
            i64::try_from(one.tries).unwrap_or(i64::MAX),
            one.error,
        ])?;
    }
    let declared = declarations(db)?;
    for correlation in changed.into_iter().filter_map(|text| text.parse().ok()) {
        rows::judge(db, &correlation, &declared, now)?;
    }
    Ok(true)
}

/// A correlation with all that is shown of a parked event.
fn text(one: &ParkedStatus) -> (String, String) {
    let ParkedStatus { number, reaction, source, id, state, stuck, tries, error, .. } = one;
    let text = format!("{number} {reaction} {source} {id} {state} {stuck} {tries} {error:?}");
    (one.correlation.as_str().to_owned(), text)
}

/// The same, as it is in the table.
fn texts(db: &Connection, service: &str) -> rusqlite::Result<BTreeSet<(String, String)>> {
    let sql = "SELECT correlation, number, reaction, source, id, state, stuck, tries, error
        FROM parked WHERE service = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([service], |row| {
        let (number, tries) = (number(row, 1)?, number(row, 7)?);
        let (reaction, source, id): (String, String, String) =
            (row.get(2)?, row.get(3)?, row.get(4)?);
        let (state, stuck, error): (String, bool, Option<String>) =
            (row.get(5)?, row.get(6)?, row.get(8)?);
        let text = format!("{number} {reaction} {source} {id} {state} {stuck} {tries} {error:?}");
        Ok((row.get(0)?, text))
    })?;
    rows.collect()
}

/// The parked events of a correlation.
pub(super) fn parked(db: &Connection, correlation: &Correlation) -> rusqlite::Result<Vec<Parked>> {
    let sql = "SELECT service, reaction, source, id, type, state, stuck, tries, error FROM parked
        WHERE correlation = ?1 ORDER BY service, number";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([correlation.as_str()], |row| {
        Ok(Parked {
            service: name(row, 0)?,
            reaction: name(row, 1)?,
            source: name(row, 2)?,
            id: name(row, 3)?,
            kind: name(row, 4)?,
            state: row.get(5)?,
            stuck: row.get(6)?,
            tries: number(row, 7)?,
            error: row.get(8)?,
        })
    })?;
    rows.collect()
}
