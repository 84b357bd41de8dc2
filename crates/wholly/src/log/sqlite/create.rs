//! Creating a log: an act of its own, which leaves a whole log or nothing.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::meta::Meta;

/// "whly": the application's mark in SQLite's own header.
pub(super) const APPLICATION: i32 = 0x7768_6c79;
/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 6;
/// See the module's docs for why it is small.
pub(super) const PAGE_BYTES: u64 = 2_048;

const TABLES: &str = "
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        ordinal INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        id BLOB,
        key TEXT,
        label INTEGER NOT NULL,
        text TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        chain INTEGER
    );
    CREATE TABLE transactions (
        ordinal INTEGER PRIMARY KEY,
        places TEXT NOT NULL,
        label INTEGER NOT NULL,
        random INTEGER NOT NULL
    );
    CREATE TABLE listed (
        label INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        random INTEGER NOT NULL,
        PRIMARY KEY (label, ordinal)
    ) WITHOUT ROWID;
    CREATE TABLE unsettled (
        ordinal INTEGER PRIMARY KEY,
        entries INTEGER NOT NULL,
        total INTEGER NOT NULL
    );
    CREATE TABLE keys (key TEXT PRIMARY KEY, ordinal INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE kinds (
        kind INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        pattern TEXT NOT NULL,
        participants TEXT NOT NULL,
        log BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (name, pattern, participants, log)
    );
";

/// The id is an ordinal and a column of the first entry: see [`super::id`].
const HISTORY: &str = "
    CREATE VIEW history AS
        SELECT
            printf('%012x7%03x', ordinal >> 12, ordinal & 4095)
                || lower(hex(substr(id, 1, 8))) || '-' || lower(hex(substr(id, 9))) AS id,
            sequence, text
        FROM (
            SELECT coalesce(first.id, recent.id) AS id, entry.ordinal, entry.sequence, entry.text
            FROM entries AS entry
            LEFT JOIN transactions ON transactions.ordinal = entry.ordinal
            LEFT JOIN entries AS first ON first.place = json_extract(transactions.places, '$[0]')
            LEFT JOIN (
                SELECT ordinal, id FROM entries
                WHERE place >= (SELECT indexed FROM meta) AND sequence = 0
            ) AS recent ON recent.ordinal = entry.ordinal
        );
";

/// Makes the tables in an empty file, in one transaction: a whole log or nothing.
pub(super) fn create(file: &mut Connection, identity: u64, copy: bool) -> rusqlite::Result<()> {
    file.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
    file.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let creation = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for schema in [Meta::TABLE, TABLES, HISTORY] {
        creation.execute_batch(schema)?;
    }
    Meta { identity, copy, ..Meta::default() }.write(&creation)?;
    creation.pragma_update(None, "application_id", APPLICATION)?;
    creation.pragma_update(None, "user_version", FORMAT)?;
    creation.commit()
}

/// The part of the tables' definitions that [`create`] does not make, if any.
pub(super) fn wrong_definition(file: &Connection) -> rusqlite::Result<Option<String>> {
    let made = Connection::open_in_memory()?;
    for schema in [Meta::TABLE, TABLES, HISTORY] {
        made.execute_batch(schema)?;
    }
    let all = "SELECT type || ' ' || name, sql FROM sqlite_schema ORDER BY name, type";
    let read = |file: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        file.prepare(all)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let (expected, found) = (read(&made)?, read(file)?);
    let differs =
        |(expected, found): (&(String, _), _)| (expected != found).then(|| expected.0.clone());
    let missing = expected.len() != found.len();
    let wrong = expected.iter().zip(&found).find_map(differs);
    Ok(wrong.or_else(|| missing.then(|| "the list of tables".to_owned())))
}

/// The damage that SQLite itself finds in the file, if any.
pub(super) fn wrong_structure(file: &Connection) -> rusqlite::Result<Option<String>> {
    // Read to its end: a check that is left half-way keeps the file locked.
    let mut check = file.prepare("PRAGMA integrity_check(1)")?;
    let said: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(said.into_iter().find(|said| said != "ok"))
}

/// Bits that nobody else has.
pub(super) fn random(path: &Path) -> Result<u64, crate::log::OpenError> {
    getrandom::u64().map_err(|error| crate::log::OpenError::Storage {
        log: path.display().to_string(),
        why: error.to_string(),
    })
}
