//! The tables of a service, and every statement on them: one place for all drivers.
//!
//! Values are `$1`, `$2` … in the order of their first use, which SQLite and PostgreSQL both
//! understand. Statements for both are here, other statements in one file for each database. A new
//! database needs a new file and a variant of [`Dialect`].
//!
//! | table | row |
//! |---|---|
//! | `wholly_outbox` | an event that this service published |
//! | `wholly_feed` | the feed's only row: version of the tables, name, head, last trimmed event |
//! | `wholly_inbox` | an event that a reaction has handled |
//! | `wholly_correlation` | the lock of a choreographed transaction in this service (PostgreSQL) |
//! | `wholly_effect` | the effect of a reaction on a correlation: done or suppressed |
//! | `wholly_parked` | a parked event: it failed, is calling, or waits behind another one |
//! | `wholly_timeout` | an event to emit unless another one arrives |
//! | `wholly_cursor` | the stored cursor of a followed feed |
//! | `wholly_set_aside` | an invalid entry of a followed feed |
//!
//! INVARIANT: keys are compared by their bytes, so ids that differ in case only are different.

#[cfg(any(test, feature = "conformance"))]
mod all;
#[cfg(test)]
mod documented;
mod postgres;
mod sqlite;

#[cfg(all(feature = "tokio-postgres", feature = "choreography"))]
pub(crate) use postgres::LISTEN;

#[cfg(any(test, feature = "conformance"))]
pub(crate) use all::{all, values_of};

/// The version of the tables.
pub const SCHEMA_VERSION: i64 = 1;

/// The statements of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, 3.35 or later.
    Sqlite,
    /// PostgreSQL, 13 or later.
    Postgres,
}

impl Dialect {
    /// The statements that create missing tables.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::SCHEMA,
            Self::Postgres => postgres::SCHEMA,
        }
    }

    /// Locks a correlation until the transaction ends. `$1` correlation, `$2` now. Only for
    /// databases with concurrent writers.
    pub(crate) const fn lock_correlation(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::LOCK_CORRELATION),
        }
    }

    /// Deletes old locks of correlations.
    pub(crate) const fn trim_correlations(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::TRIM_CORRELATIONS),
        }
    }

    /// Locks the feed's row; returns the head and the last trimmed event, each with its id.
    pub(crate) const fn feed_locked(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::FEED_LOCKED,
            Self::Postgres => postgres::FEED_LOCKED,
        }
    }

    /// Returns the same without a lock.
    pub(crate) const fn feed(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::FEED_LOCKED,
            Self::Postgres => postgres::FEED,
        }
    }

    /// Assigns positions after the locked head to the next `$1` committed events without one. Only
    /// for databases where the insertion of an event does not assign its position.
    pub(crate) const fn sequence(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::SEQUENCE),
        }
    }
}

/// Inserts an event. `$1` id, type, correlation, causation, traceparent, time, data.
pub(crate) const PUBLISH: &str = "INSERT INTO wholly_outbox
    (id, type, correlation, causation, traceparent, time, data) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// `$1` reaction, source, id, outcome, now, reason.
pub(crate) const RECEIVE: &str =
    "INSERT INTO wholly_inbox (reaction, source, id, outcome, at, reason)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

/// The inbox row of a reaction. `$1` reaction, source, id.
pub(crate) const REACTION: &str =
    "SELECT outcome, at, reason FROM wholly_inbox WHERE reaction = $1 AND source = $2 AND id = $3";

/// The state that decides the disposition of an event: its outcome, its parked number, the first
/// parked event of its correlation, and the effect of the reaction. `$1` reaction, source, id,
/// correlation.
pub(crate) const LOOK: &str = "SELECT
    (SELECT outcome FROM wholly_inbox WHERE reaction = $1 AND source = $2 AND id = $3),
    (SELECT sequence FROM wholly_parked WHERE reaction = $1 AND source = $2 AND id = $3),
    (SELECT min(sequence) FROM wholly_parked WHERE correlation = $4),
    (SELECT state FROM wholly_effect WHERE correlation = $4 AND reaction = $1)";

/// `$1` correlation, reaction.
pub(crate) const EFFECT: &str =
    "SELECT state, output FROM wholly_effect WHERE correlation = $1 AND reaction = $2";

/// `$1` correlation, reaction, state, output, now.
pub(crate) const SET_EFFECT: &str =
    "INSERT INTO wholly_effect (correlation, reaction, state, output, at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (correlation, reaction)
    DO UPDATE SET state = excluded.state, output = excluded.output, at = excluded.at";

/// `$1` reaction, source, id, correlation, event, state, tries, next try, error, now.
pub(crate) const PARK: &str = "INSERT INTO wholly_parked
    (reaction, source, id, correlation, event, state, tries, next_try, error, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";

macro_rules! parked_where {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, reaction, source, id, correlation, event, state, tries, next_try,
            error, at FROM wholly_parked ",
            $rest
        )
    };
}

/// `$1` sequence.
pub(crate) const PARKED_ONE: &str = parked_where!("WHERE sequence = $1");

/// The parked events to retry: due at `$1`, each the first of its correlation, at most `$2`.
pub(crate) const PARKED_DUE: &str = parked_where!(
    "AS one WHERE next_try <= $1 AND NOT EXISTS (SELECT 1 FROM wholly_parked AS earlier
    WHERE earlier.correlation = one.correlation AND earlier.sequence < one.sequence)
    ORDER BY next_try LIMIT $2"
);

/// The time of the next attempt of any parked event; `NULL` if there is none.
pub(crate) const PARKED_NEXT: &str = "SELECT min(next_try) FROM wholly_parked";

/// Lists parked events: after sequence `$1`, at most `$2`.
pub(crate) const PARKED_LIST: &str =
    parked_where!("WHERE sequence > $1 ORDER BY sequence LIMIT $2");

/// `$1` state, tries, next try, error, sequence.
pub(crate) const PARKED_UPDATE: &str = "UPDATE wholly_parked
    SET state = $1, tries = $2, next_try = $3, error = $4 WHERE sequence = $5";

/// `$1` sequence.
pub(crate) const UNPARK: &str = "DELETE FROM wholly_parked WHERE sequence = $1";

/// Makes the waiting events of a correlation due. `$1` now, correlation.
pub(crate) const PARKED_WAKE: &str = "UPDATE wholly_parked SET next_try = $1
    WHERE correlation = $2 AND state = 'waiting'";

/// Makes calls that were out due. `$1` now.
pub(crate) const CALLS_AGAIN: &str =
    "UPDATE wholly_parked SET next_try = $1 WHERE state = 'calling'";

/// Makes a parked event due, for an operator. `$1` now, sequence.
pub(crate) const RETRY_NOW: &str = "UPDATE wholly_parked SET next_try = $1 WHERE sequence = $2";

/// `$1` correlation, emits, due, causation, traceparent, data.
pub(crate) const SET_TIMEOUT: &str = "INSERT INTO wholly_timeout
    (correlation, emits, due, causation, traceparent, data) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING";

/// `$1` correlation, emits.
pub(crate) const CANCEL_TIMEOUT: &str =
    "DELETE FROM wholly_timeout WHERE correlation = $1 AND emits = $2";

/// `$1` now, at most `$2`.
pub(crate) const TIMEOUTS_DUE: &str = "SELECT correlation, emits, due, causation, traceparent, data
    FROM wholly_timeout WHERE due <= $1 ORDER BY due LIMIT $2";

/// The due time of the next time-out.
pub(crate) const TIMEOUT_NEXT: &str = "SELECT min(due) FROM wholly_timeout";

/// `$1` source.
pub(crate) const CURSOR: &str = "SELECT position, id FROM wholly_cursor WHERE source = $1";

/// `$1` source, position, id, now. A watermark never goes back.
pub(crate) const ADVANCE: &str = "INSERT INTO wholly_cursor (source, position, id, at)
    VALUES ($1, $2, $3, $4) ON CONFLICT (source) DO UPDATE
    SET position = excluded.position, id = excluded.id, at = excluded.at
    WHERE wholly_cursor.position < excluded.position";

/// Sets a cursor, for an operator. `$1` source, position, id, now, reason.
pub(crate) const SET_CURSOR: &str = "INSERT INTO wholly_cursor (source, position, id, at, reason)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source) DO UPDATE
    SET position = excluded.position, id = excluded.id, at = excluded.at,
    reason = excluded.reason";

/// A page of the feed: after position `$1`, at most `$2`.
pub(crate) const PAGE: &str =
    "SELECT position, id, type, correlation, causation, traceparent, time,
    data FROM wholly_outbox WHERE position > $1 ORDER BY position LIMIT $2";

/// `$1` position.
pub(crate) const AT: &str = "SELECT id FROM wholly_outbox WHERE position = $1";

/// `$1` schema, source.
pub(crate) const NAME_FEED: &str = "INSERT INTO wholly_feed (one, schema, source)
    VALUES (1, $1, $2) ON CONFLICT DO NOTHING";

pub(crate) const FEED_NAME: &str = "SELECT schema, source FROM wholly_feed";

/// The last event to trim: among the first `$1` events, the last one before which all events are
/// older than `$2`. Times need not ascend, because a transaction may be long and a clock may be
/// wrong.
pub(crate) const TRIM_TO: &str = "SELECT position, id FROM (
        SELECT position, id, max(time) OVER (ORDER BY position) AS youngest FROM (
            SELECT position, id, time FROM wholly_outbox WHERE position IS NOT NULL
            ORDER BY position LIMIT $1
        ) AS first
    ) AS oldest WHERE youngest < $2 ORDER BY position DESC LIMIT 1";

/// `$1` position.
pub(crate) const TRIM: &str = "DELETE FROM wholly_outbox WHERE position <= $1";

/// `$1` position, id.
pub(crate) const TRIMMED: &str = "UPDATE wholly_feed SET trimmed = $1, trimmed_id = $2";

/// The times of the last published and of the last handled event; 0 if there is none.
pub(crate) const YOUNGEST: &str = "SELECT
    coalesce((SELECT time FROM wholly_outbox WHERE position IS NOT NULL
        ORDER BY position DESC LIMIT 1), 0),
    coalesce((SELECT max(at) FROM wholly_inbox), 0)";

/// `$1` older than, `$2` at most.
pub(crate) const TRIM_INBOX: &str = "DELETE FROM wholly_inbox WHERE (reaction, source, id) IN
    (SELECT reaction, source, id FROM wholly_inbox WHERE at < $1 ORDER BY at LIMIT $2)";

/// `$1` older than, `$2` at most.
pub(crate) const TRIM_EFFECTS: &str = "DELETE FROM wholly_effect WHERE (correlation, reaction) IN
    (SELECT correlation, reaction FROM wholly_effect WHERE at < $1 ORDER BY at LIMIT $2)";

/// `$1` source, position, body, error, now.
pub(crate) const SET_ASIDE: &str =
    "INSERT INTO wholly_set_aside (source, position, body, error, at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
