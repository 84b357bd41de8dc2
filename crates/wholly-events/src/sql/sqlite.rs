//! Statements of SQLite.
//!
//! SQLite has one writer, so the order of `AUTOINCREMENT` is the order of commits. It never assigns
//! a position twice, even after the last rows were trimmed. A writing transaction locks the whole
//! database, so correlations need no table of locks.

pub(super) const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS wholly_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    correlation TEXT NOT NULL,
    causation TEXT,
    traceparent TEXT,
    time INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS wholly_feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL,
    source TEXT NOT NULL,
    trimmed INTEGER NOT NULL DEFAULT 0,
    trimmed_id TEXT
);
CREATE TABLE IF NOT EXISTS wholly_inbox (
    reaction TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (reaction, source, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wholly_inbox_at ON wholly_inbox (at);
CREATE TABLE IF NOT EXISTS wholly_effect (
    correlation TEXT NOT NULL,
    reaction TEXT NOT NULL,
    state TEXT NOT NULL,
    output TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (correlation, reaction)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wholly_effect_at ON wholly_effect (at);
CREATE TABLE IF NOT EXISTS wholly_parked (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    reaction TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    correlation TEXT NOT NULL,
    event TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    next_try INTEGER,
    error TEXT,
    at INTEGER NOT NULL,
    UNIQUE (reaction, source, id)
);
CREATE INDEX IF NOT EXISTS wholly_parked_correlation ON wholly_parked (correlation, sequence);
CREATE INDEX IF NOT EXISTS wholly_parked_next_try ON wholly_parked (next_try);
CREATE TABLE IF NOT EXISTS wholly_timeout (
    correlation TEXT NOT NULL,
    emits TEXT NOT NULL,
    due INTEGER NOT NULL,
    causation TEXT NOT NULL,
    traceparent TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (correlation, emits)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wholly_timeout_due ON wholly_timeout (due);
CREATE TABLE IF NOT EXISTS wholly_cursor (
    source TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    id TEXT,
    at INTEGER NOT NULL,
    reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wholly_set_aside (
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (source, position)
) WITHOUT ROWID;
";

pub(super) const FEED_LOCKED: &str = "SELECT
    coalesce((SELECT max(position) FROM wholly_outbox), trimmed),
    coalesce((SELECT id FROM wholly_outbox ORDER BY position DESC LIMIT 1), trimmed_id),
    trimmed, trimmed_id FROM wholly_feed";
