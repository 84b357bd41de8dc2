//! The tables of a service, and every statement on them: one place for all drivers.
//!
//! A statement says `$1`, `$2` … in the order in which it first uses them, which SQLite and
//! PostgreSQL both understand. What they write alike is written once, here; what they do not is in
//! a file each. Another database is another file, and its name in [`Dialect`].
//!
//! | table | a row is |
//! |---|---|
//! | `wholly_outbox` | an event that this service published |
//! | `wholly_feed` | the one line about its feed: schema, name, head, what was trimmed |
//! | `wholly_inbox` | an event that a reaction has dealt with |
//! | `wholly_correlation` | the lock of a choreographed transaction in this service (PostgreSQL) |
//! | `wholly_effect` | a reaction that was done, or is suppressed, of one correlation |
//! | `wholly_parked` | an event that waits: it failed, or stands behind one that did |
//! | `wholly_timeout` | an event that is to be emitted unless another comes |
//! | `wholly_cursor` | how far a followed feed was read |
//! | `wholly_set_aside` | something in a feed that is no event |
//!
//! INVARIANT: keys are compared by their bytes: no two ids that differ are one to the database.

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
    /// The statements that make the tables where they are not yet there.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::SCHEMA,
            Self::Postgres => postgres::SCHEMA,
        }
    }

    /// Takes the lock of a correlation until the transaction ends. `$1` correlation, `$2` now. Only
    /// where a transaction does not hold the whole database.
    pub(crate) const fn lock_correlation(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::LOCK_CORRELATION),
        }
    }

    /// Deletes the locks of correlations that are over.
    pub(crate) const fn trim_correlations(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::TRIM_CORRELATIONS),
        }
    }

    /// Locks the feed's line, and gives head, its id, and what was trimmed, with its id.
    pub(crate) const fn feed_locked(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::FEED_LOCKED,
            Self::Postgres => postgres::FEED_LOCKED,
        }
    }

    /// The same without a lock.
    pub(crate) const fn feed(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::FEED_LOCKED,
            Self::Postgres => postgres::FEED,
        }
    }

    /// Gives a position to the next `$1` events that are committed and have none, behind the
    /// locked head. Only where inserting an event does not give it one.
    pub(crate) const fn sequence(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::SEQUENCE),
        }
    }
}

/// A committed event; `$1` id, type, correlation, causation, traceparent, time, data.
pub(crate) const PUBLISH: &str = "INSERT INTO wholly_outbox
    (id, type, correlation, causation, traceparent, time, data) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// `$1` reaction, source, id, outcome, now, reason.
pub(crate) const RECEIVE: &str =
    "INSERT INTO wholly_inbox (reaction, source, id, outcome, at, reason)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

/// The mark of one reaction. `$1` reaction, source, id.
pub(crate) const REACTION: &str =
    "SELECT outcome, at, reason FROM wholly_inbox WHERE reaction = $1 AND source = $2 AND id = $3";

/// All that decides what becomes of an event, in one look: whether the reaction has dealt with it,
/// whether it is parked, the first event that its correlation waits for, and whether the reaction
/// is suppressed. `$1` reaction, source, id, correlation.
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

/// The parked events that may be tried: the first of its correlation each, due at `$1`, at most
/// `$2`.
pub(crate) const PARKED_DUE: &str = parked_where!(
    "AS one WHERE next_try <= $1 AND NOT EXISTS (SELECT 1 FROM wholly_parked AS earlier
    WHERE earlier.correlation = one.correlation AND earlier.sequence < one.sequence)
    ORDER BY next_try LIMIT $2"
);

/// The time of the next try of all; `NULL` where none is parked.
pub(crate) const PARKED_NEXT: &str = "SELECT min(next_try) FROM wholly_parked";

/// All that is parked, for who looks: `$1` after this sequence, `$2` at most.
pub(crate) const PARKED_LIST: &str =
    parked_where!("WHERE sequence > $1 ORDER BY sequence LIMIT $2");

/// `$1` state, tries, next try, error, sequence.
pub(crate) const PARKED_UPDATE: &str = "UPDATE wholly_parked
    SET state = $1, tries = $2, next_try = $3, error = $4 WHERE sequence = $5";

/// `$1` sequence.
pub(crate) const UNPARK: &str = "DELETE FROM wholly_parked WHERE sequence = $1";

/// Events of a correlation that wait become due: `$1` now, correlation.
pub(crate) const PARKED_WAKE: &str = "UPDATE wholly_parked SET next_try = $1
    WHERE correlation = $2 AND state = 'waiting'";

/// Calls that were out become due: `$1` now.
pub(crate) const CALLS_AGAIN: &str =
    "UPDATE wholly_parked SET next_try = $1 WHERE state = 'calling'";

/// By hand: `$1` now, sequence.
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

/// The time of the next of all.
pub(crate) const TIMEOUT_NEXT: &str = "SELECT min(due) FROM wholly_timeout";

/// `$1` source.
pub(crate) const CURSOR: &str = "SELECT position, id FROM wholly_cursor WHERE source = $1";

/// `$1` source, position, id, now. A watermark never goes back.
pub(crate) const ADVANCE: &str = "INSERT INTO wholly_cursor (source, position, id, at)
    VALUES ($1, $2, $3, $4) ON CONFLICT (source) DO UPDATE
    SET position = excluded.position, id = excluded.id, at = excluded.at
    WHERE wholly_cursor.position < excluded.position";

/// By hand: `$1` source, position, id, now, reason.
pub(crate) const SET_CURSOR: &str = "INSERT INTO wholly_cursor (source, position, id, at, reason)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source) DO UPDATE
    SET position = excluded.position, id = excluded.id, at = excluded.at,
    reason = excluded.reason";

/// A page of the feed: `$1` after this position, `$2` at most.
pub(crate) const PAGE: &str =
    "SELECT position, id, type, correlation, causation, traceparent, time,
    data FROM wholly_outbox WHERE position > $1 ORDER BY position LIMIT $2";

/// `$1` position.
pub(crate) const AT: &str = "SELECT id FROM wholly_outbox WHERE position = $1";

/// `$1` schema, source.
pub(crate) const NAME_FEED: &str = "INSERT INTO wholly_feed (one, schema, source)
    VALUES (1, $1, $2) ON CONFLICT DO NOTHING";

pub(crate) const FEED_NAME: &str = "SELECT schema, source FROM wholly_feed";

/// The last event that may be trimmed: at most `$1` positions further than what was trimmed, and
/// it and all before it older than `$2`. Their times need not ascend: a transaction may be long,
/// and a clock may be wrong. One that is too young keeps those behind it.
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

/// The time of the newest event that was published, and of the newest that was dealt with; 0 without.
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
