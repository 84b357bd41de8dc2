//! Opening: whose file is it, what does it hold, and is that durable?

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::super::{OpenError, OpenLog};
use super::checkpoint::Checkpoints;
use super::connect;
use super::copy::{self, Claim};
use super::labels::Kinds;
use super::list::Bounds;
use super::reader::SqliteReader;
use super::tail::Shared;
use super::writer::{SqliteWriter, head, read_tail};

/// "whly": what SQLite's own header says of whose file it is.
const APPLICATION: i32 = 0x7768_6c79;
/// The format that this version writes, and the newest that it knows. Format 4 has the tables of
/// format 3, but not every output is forced any more: who takes it for format 3 would not take back
/// what may have been done.
const FORMAT: u32 = 4;
/// See the module's docs for why it is small.
pub(super) const PAGE_BYTES: u64 = 2_048;
/// The most that the write-ahead log keeps of its file when it starts over.
const WRITE_AHEAD_KEEPS_BYTES: u64 = 16 << 20;

const TABLES: &str = "
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        identity BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        head INTEGER NOT NULL,
        indexed INTEGER NOT NULL,
        file INTEGER NOT NULL DEFAULT 0,
        trimmed INTEGER NOT NULL DEFAULT 0,
        payloads_to INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        ordinal INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        id BLOB,
        key TEXT,
        label INTEGER NOT NULL,
        text TEXT NOT NULL
    );
    CREATE TABLE transactions (
        ordinal INTEGER PRIMARY KEY,
        places TEXT NOT NULL,
        label INTEGER NOT NULL,
        random INTEGER
    );
    CREATE TABLE listed (
        label INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        random INTEGER,
        PRIMARY KEY (label, ordinal)
    ) WITHOUT ROWID;
    CREATE TABLE unsettled (ordinal INTEGER PRIMARY KEY);
    CREATE TABLE keys (key TEXT PRIMARY KEY, ordinal INTEGER NOT NULL) WITHOUT ROWID;
";

/// Where an entry has no whole id, its ordinal and what the entry has are it: see [`super::id`].
const HISTORY: &str = "
    CREATE VIEW history AS
        SELECT
            CASE typeof(id)
                WHEN 'blob' THEN
                    printf('%012x7%03x', ordinal >> 12, ordinal & 4095)
                    || lower(hex(substr(id, 1, 8))) || '-' || lower(hex(substr(id, 9)))
                ELSE id
            END AS id,
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

/// Apart from the others, because a log of format 1 gets it anew.
const KINDS: &str = "
    CREATE TABLE kinds (
        kind INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        pattern TEXT NOT NULL,
        participants TEXT NOT NULL,
        log BLOB,
        UNIQUE (name, pattern, participants, log)
    );
";

pub(super) fn open(path: &Path, claim: Claim, bounds: Bounds) -> Result<OpenLog, OpenError> {
    let at = At(path);
    let lock = at.own()?;
    let mut file = connect(path, 16_000).map_err(|error| at.sqlite(&error))?;
    if !at.recognise(&file)? {
        at.create(&mut file)?;
    }
    at.make_durable(&file)?;
    bring_up_to_date(&file).map_err(|error| at.sqlite(&error))?;
    let identity = at.identity_for(&file, claim)?;

    let checkpoints = Checkpoints::start(&file, path).map_err(|why| at.storage(why))?;
    let open = |error| at.sqlite(&error);
    let (identity, epoch) = copy::take_over(&file, path, identity).map_err(open)?;
    let tail = Arc::new(Shared::default());
    *tail.lock() = read_tail(&file).map_err(open)?;
    let head = head(&file).map_err(open)?;
    let last_ordinal = last_ordinal(&file).map_err(open)?;
    let reader = SqliteReader::open(path, tail.clone(), bounds).map_err(open)?;
    let kinds = Kinds::default();
    let mut writer = SqliteWriter {
        file,
        epoch,
        tail,
        checkpoints,
        kinds,
        run: bounds.tail,
        failed: false,
        trimmed_to: 0,
        removed: false,
        _lock: lock,
    };
    writer.checkpoints.committed(&writer.file);
    Ok(OpenLog {
        identity,
        epoch,
        head,
        last_ordinal,
        writer: Box::new(writer),
        reader: Arc::new(reader),
        damage: Default::default(),
    })
}

/// Makes sure that what was opened is a log that this version knows.
pub(super) fn recognise(file: &Connection, path: &Path) -> Result<(), OpenError> {
    match At(path).check_format(file)? {
        true => Ok(()),
        false => {
            let why = "there is nothing in it".to_owned();
            Err(OpenError::NotALog { log: At(path).name(), why })
        }
    }
}

/// Adds what files of earlier versions do not have, in one transaction. In one of format 1 each
/// payload is looked for once more, and the id of what is listed already is read from its first
/// entry.
fn bring_up_to_date(file: &Connection) -> rusqlite::Result<()> {
    let format: u32 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format == FORMAT {
        return Ok(());
    }
    let update = file.unchecked_transaction()?;
    if format == 1 {
        bring_to_format_2(&update)?;
    }
    if format < 3 {
        update.execute_batch("DROP VIEW history")?;
        update.execute_batch(HISTORY)?;
    }
    update.pragma_update(None, "user_version", FORMAT)?;
    update.commit()
}

fn bring_to_format_2(file: &Connection) -> rusqlite::Result<()> {
    let column = "SELECT 1 FROM pragma_table_info('meta') WHERE name = 'payloads_to'";
    if !file.prepare(column)?.exists([])? {
        file.execute_batch("ALTER TABLE meta ADD COLUMN payloads_to INTEGER NOT NULL DEFAULT 0")?;
    }
    file.execute_batch(
        "ALTER TABLE transactions ADD COLUMN random INTEGER;
         ALTER TABLE listed ADD COLUMN random INTEGER;
         ALTER TABLE kinds RENAME TO kinds_before",
    )?;
    file.execute_batch(KINDS)?;
    file.execute_batch(
        "INSERT INTO kinds SELECT kind, name, pattern, participants, NULL FROM kinds_before;
         DROP TABLE kinds_before",
    )
}

fn last_ordinal(file: &Connection) -> rusqlite::Result<u64> {
    file.query_row(
        "SELECT max(coalesce((SELECT max(ordinal) FROM transactions), 0), coalesce((SELECT max(ordinal)
         FROM entries WHERE place >= (SELECT indexed FROM meta)), 0), (SELECT trimmed FROM meta))",
        [],
        |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()),
    )
}

/// A file's name is durable when its directory is.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match cfg!(unix) {
        true => File::open(parent.unwrap_or(Path::new("."))).and_then(|d| d.sync_all()),
        false => Ok(()),
    }
}

/// The path, for the errors to name.
struct At<'a>(&'a Path);

impl At<'_> {
    /// Takes the ownership: a lock on a side file, because the lock of SQLite's own file would
    /// keep other programs from reading.
    fn own(&self) -> Result<File, OpenError> {
        let mut path = self.0.as_os_str().to_owned();
        path.push(".lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = opened.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                OpenError::ReadOnly { log: self.name(), why: error.to_string() }
            }
            _ => self.storage(error.to_string()),
        })?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { log: self.name() }),
            Err(TryLockError::Error(error)) => Err(self.storage(error.to_string())),
        }
    }

    /// Makes sure that the file is a log that this version can write. `false` where there is nothing
    /// yet: no file, an empty one, or what a killed creation left.
    fn recognise(&self, file: &Connection) -> Result<bool, OpenError> {
        if file.is_readonly("main").map_err(|error| self.sqlite(&error))? {
            let why = "the file is read-only".to_owned();
            return Err(OpenError::ReadOnly { log: self.name(), why });
        }
        self.check_format(file)
    }

    /// Whether the file is a log of a format that this version knows; `false` where it is nothing.
    fn check_format(&self, file: &Connection) -> Result<bool, OpenError> {
        let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
        let open = |error| self.sqlite(&error);
        let application = number("PRAGMA application_id").map_err(open)?;
        let format = number("PRAGMA user_version").map_err(open)?;
        let tables = number("SELECT count(*) FROM sqlite_schema").map_err(open)?;
        if (application, format, tables) == (0, 0, 0) {
            return Ok(false);
        }
        if application != i64::from(APPLICATION) {
            let why = "it is a SQLite file of another application".to_owned();
            return Err(OpenError::NotALog { log: self.name(), why });
        }
        let listed = number("SELECT count(*) FROM sqlite_schema WHERE name = 'listed'");
        match u32::try_from(format) {
            Ok(1) if listed.map_err(open)? == 0 => Err(self.storage(
                "it was written before the first release of Wholly; begin with a new file"
                    .to_owned(),
            )),
            Ok(1..=FORMAT) => Ok(true),
            Ok(found) if found > FORMAT => {
                Err(OpenError::Newer { log: self.name(), found, known: FORMAT })
            }
            _ => Err(self.storage(format!("its format is {format}, which never was one"))),
        }
    }

    fn create(&self, file: &mut Connection) -> Result<(), OpenError> {
        let identity = self.new_identity()?;
        let created = (|| {
            file.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
            file.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            // One transaction, so that a file is either a whole log or still nothing.
            let creation = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for schema in [TABLES, KINDS, HISTORY] {
                creation.execute_batch(schema)?;
            }
            creation.execute(
                "INSERT INTO meta (one, identity, epoch, head, indexed) VALUES (1, ?1, 0, 0, 0)",
                [identity],
            )?;
            creation.pragma_update(None, "application_id", APPLICATION)?;
            creation.pragma_update(None, "user_version", FORMAT)?;
            creation.commit()
        })();
        created.map_err(|error| self.sqlite(&error))
    }

    fn new_identity(&self) -> Result<[u8; 8], OpenError> {
        let mut identity = [0; 8];
        getrandom::fill(&mut identity).map_err(|error| self.storage(error.to_string()))?;
        Ok(identity)
    }

    /// A new identity for a restored copy; a copy that was not said to be one is refused.
    fn identity_for(&self, file: &Connection, claim: Claim) -> Result<Option<[u8; 8]>, OpenError> {
        let at_home = copy::is_where_it_was(file, self.0).map_err(|error| self.sqlite(&error))?;
        match claim {
            Claim::Restored => self.new_identity().map(Some),
            Claim::Original if !at_home => {
                Err(OpenError::Moved { log: self.name(), why: "another inode".to_owned() })
            }
            Claim::Original | Claim::Moved => Ok(None),
        }
    }

    /// Makes durable whatever will be read back: a killed process may have written it without
    /// having synced it, and a failed sync may have left it in the system's cache only, which is
    /// why it is copied into the database and synced there, all of it.
    fn make_durable(&self, file: &Connection) -> Result<(), OpenError> {
        let open = |error| self.sqlite(&error);
        let mode: String =
            file.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(open)?;
        if mode != "wal" {
            return Err(self.storage(format!("SQLite offers the journal mode {mode}, not WAL")));
        }
        let limit = format!("PRAGMA journal_size_limit = {WRITE_AHEAD_KEEPS_BYTES}");
        file.query_row(&limit, [], |_| Ok(())).map_err(open)?;
        let busy: bool = file
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(open)?;
        if busy {
            let why = "another program reads it and does not end its read; stop that program";
            return Err(self.storage(why.to_owned()));
        }
        sync_directory(self.0).map_err(|error| self.storage(error.to_string()))
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn storage(&self, why: String) -> OpenError {
        OpenError::Storage { log: self.name(), why }
    }

    fn sqlite(&self, error: &rusqlite::Error) -> OpenError {
        let (log, why) = (self.name(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenError::NotALog { log, why },
            Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { log, why },
            _ => OpenError::Storage { log, why },
        }
    }
}
