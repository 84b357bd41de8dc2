//! The duties of the SQLite log alone: other people's files, ownership, a full disk, the account.

use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;
use tempfile::TempDir;
use wholly_core::{Key, LogId, Timestamp, TransactionId};

use super::*;
use crate::log::listing::{Labels, Pattern, Query, State};
use crate::log::{Entry, LogReader, Position, first_unsettled};

fn place_for() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wholly.db");
    (directory, path)
}

pub(super) fn labels() -> Labels {
    Labels {
        name: "place order".parse().unwrap(),
        pattern: Pattern::TwoPhase,
        participants: ["orders", "payments"].map(|name| name.parse().unwrap()).into(),
        state: State::Init,
        stuck: false,
    }
}

pub(super) fn created(path: &Path) -> OpenLog {
    SqliteLog::at(path).create_if_missing().open().unwrap()
}

fn listed(reader: &dyn LogReader) -> u64 {
    reader.list(&Query::newest(usize::MAX)).unwrap().rows.len() as u64
}

fn entry(n: u64, bytes: usize) -> Entry {
    Entry {
        transaction: TransactionId::mint(0, Timestamp::from_millis(n), n << 2, LogId::from_bits(7)),
        sequence: 0,
        text: "x".repeat(bytes),
        key: Some(Key::new(format!("key {n}")).unwrap()),
        labels: labels(),
        ended: None,
    }
}

/// Appends `batches` batches of one entry.
fn fill(open: &mut OpenLog, batches: u64, bytes: usize) {
    for _ in 0..batches {
        let n = open.head.0 + 1;
        open.head = open.writer.append(open.head, &[entry(n, bytes)]).unwrap();
    }
}

/// Moves the tail to the indexes, by a trim of a transaction that ended before all others. It
/// stays if a later end stands before it.
fn write_run(open: &mut OpenLog) {
    let transaction = TransactionId::mint(0, Timestamp::from_millis(0), 0, LogId::from_bits(7));
    let old = Entry { transaction, key: None, ended: Some(Timestamp::default()), ..entry(1, 1) };
    open.head = open.writer.append(open.head, &[old]).unwrap();
    assert!(open.writer.trim(Timestamp::from_millis(2), 1).unwrap() <= 1);
}

fn refused(path: &Path) -> OpenError {
    SqliteLog::at(path).open().err().expect("opening is refused")
}

#[test]
fn what_is_no_log_is_left_alone() {
    for content in ["hello", &"no database, but long enough to be one. ".repeat(100)] {
        let (_directory, path) = place_for();
        std::fs::write(&path, content).unwrap();
        assert!(matches!(refused(&path), OpenError::NotALog { .. }), "{}", refused(&path));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn another_applications_file_is_left_alone() {
    for sql in
        ["CREATE TABLE accounts (id)", "PRAGMA user_version = 2", "PRAGMA application_id = 5"]
    {
        let (_directory, path) = place_for();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(refused(&path), OpenError::NotALog { .. }), "{sql}: {}", refused(&path));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn another_format_is_refused_by_its_number() {
    for (format, says) in [(1, "never released"), (5, "never released"), (7, "a newer one")] {
        let (_directory, path) = place_for();
        drop(created(&path));
        let other = format!("PRAGMA user_version = {format}");
        Connection::open(&path).unwrap().execute_batch(&other).unwrap();
        let error = refused(&path);
        assert!(matches!(
            error,
            OpenError::Newer { found: 7, known: 6, .. } | OpenError::Older { known: 6, .. }
        ));
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// The indexes together say nothing that the entries do not.
#[test]
pub(super) fn the_indexes_are_made_anew_from_the_entries() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    fill(&mut open, 50, 10);
    write_run(&mut open);
    fill(&mut open, 3, 10);
    let read = |open: &OpenLog| {
        let list = open.reader.list(&Query::newest(100)).unwrap();
        (list, first_unsettled(&*open.reader, 100).unwrap())
    };
    let before = read(&open);
    assert_eq!(before.0.rows.len(), 53);
    drop(open);
    let none = "DELETE FROM transactions; DELETE FROM listed; DELETE FROM keys;";
    Connection::open(&path).unwrap().execute_batch(none).unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    let mut open = SqliteLog::at(&path).restored().open().unwrap();
    assert_eq!(read(&open), before);
    fill(&mut open, 3, 10);
    drop(open);
    assert_eq!(listed(&*SqliteLog::at(&path).open().unwrap().reader), 56);
}

/// An unused name takes no room, and its number may be another's.
#[test]
fn a_kind_goes_with_the_last_of_its_kind() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    let named = |n: u64, name: &str| {
        let labels = Labels { name: name.parse().unwrap(), ..labels() };
        Entry { labels, ended: Some(Timestamp::from_millis(n)), ..entry(n, 10) }
    };
    let kinds = || -> Vec<String> {
        let file = Connection::open(&path).unwrap();
        let mut names = file.prepare("SELECT name FROM kinds ORDER BY name").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    open.head =
        open.writer.append(open.head, &[named(1, "a"), named(2, "b"), named(3, "b")]).unwrap();
    assert_eq!(open.writer.trim(Timestamp::from_millis(3), 9).unwrap(), 2);
    assert_eq!(kinds(), ["b"]);
    open.head = open.writer.append(open.head, &[named(4, "a"), named(5, "c")]).unwrap();
    let page = open.reader.list(&Query::newest(9)).unwrap();
    let names: Vec<_> = page.rows.iter().map(|row| row.labels.name.as_str()).collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert_eq!(kinds(), ["a", "b", "c"]);
}

/// A transaction that is in no index yet has its kind all the same.
#[test]
fn a_kind_stays_while_one_in_the_tail_is_of_it() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    let named = |n: u64| {
        let labels = Labels { name: "a".parse().unwrap(), ..labels() };
        Entry { labels, ended: Some(Timestamp::from_millis(n)), ..entry(n, 10) }
    };
    open.head = open.writer.append(open.head, &[named(2)]).unwrap();
    write_run(&mut open);
    open.head = open.writer.append(open.head, &[named(5)]).unwrap();
    assert_eq!(open.writer.trim(Timestamp::from_millis(3), 9).unwrap(), 2);
    let page = open.reader.list(&Query::newest(9)).unwrap();
    let names: Vec<_> = page.rows.iter().map(|row| row.labels.name.as_str()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_corrupt_log_is_damaged() {
    let (_directory, path) = place_for();
    fill(&mut created(&path), 100, 500);
    let mut content = std::fs::read(&path).unwrap();
    content[1_024..].fill(0xAA);
    std::fs::write(&path, content).unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }), "{}", refused(&path));
}

#[test]
fn a_creation_that_was_killed_is_done_again() {
    let empty: fn(&Path) = |path| std::fs::write(path, "").unwrap();
    // The header that journal_mode leaves before the tables are made.
    let header: fn(&Path) = |path| {
        let file = Connection::open(path).unwrap();
        file.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    };
    for killed in [empty, header] {
        let (_directory, path) = place_for();
        killed(&path);
        assert!(matches!(refused(&path), OpenError::Missing { .. }));
        fill(&mut created(&path), 1, 10);
        assert_eq!(SqliteLog::at(&path).open().unwrap().head, Position(1));
    }
}

#[test]
fn identities_differ() {
    let (_one, one) = place_for();
    let (_two, two) = place_for();
    assert_ne!(created(&one).identity, created(&two).identity);
}

#[test]
fn an_open_log_is_in_use_and_others_may_read_it() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    fill(&mut open, 3, 10);
    assert!(matches!(refused(&path), OpenError::InUse { .. }));
    let other = Connection::open(&path).unwrap();
    let count = |sql: &str| other.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count("SELECT count(DISTINCT id) FROM history"), 3);
    // The reader does not own the log: it may outlive the writer that failed.
    drop(open.writer);
    assert!(SqliteLog::at(&path).open().is_ok());
    assert_eq!(listed(&*open.reader), 3);
}

#[test]
fn a_transaction_that_is_indexed_piece_by_piece_reads_whole() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    let id = TransactionId::mint(0, Timestamp::from_millis(1), 0, open.identity);
    for sequence in 0..4 {
        let text = format!("entry {sequence}");
        let (labels, ended) = (labels(), (sequence == 3).then(|| Timestamp::from_millis(5)));
        let entry = Entry { transaction: id, sequence, text, key: None, labels, ended };
        open.head = open.writer.append(open.head, &[entry]).unwrap();
        write_run(&mut open);
    }
    let texts = |open: &OpenLog| -> Vec<String> {
        let stored = open.reader.history(id).unwrap().unwrap();
        stored.entries.into_iter().map(|entry| entry.text).collect()
    };
    let whole = ["entry 0", "entry 1", "entry 2", "entry 3"];
    assert_eq!(texts(&open), whole);
    drop(open);
    let mut open = created(&path);
    assert_eq!(texts(&open), whole);
    assert_eq!(open.writer.trim(Timestamp::from_millis(9), 1).unwrap(), 1);
    assert_eq!(open.reader.history(id).unwrap(), None);
}

/// The rows of the view for people.
fn shown(path: &Path) -> Vec<(String, u32, String)> {
    let file = Connection::open(path).unwrap();
    let mut rows = file.prepare("SELECT id, sequence, text FROM history ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn history_reads_the_same_before_and_after_a_run() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    fill(&mut open, 5, 10);
    let ids: Vec<_> = (1..=5).map(|n| entry(n, 10).transaction.to_string()).collect();
    let before = shown(&path);
    assert_eq!(
        before.iter().map(|(id, ..)| id).collect::<Vec<_>>(),
        ids.iter().collect::<Vec<_>>()
    );
    write_run(&mut open);
    let file = Connection::open(&path).unwrap();
    let indexed: u32 =
        file.query_row("SELECT count(*) FROM transactions", [], |row| row.get(0)).unwrap();
    assert_eq!((indexed, shown(&path)), (5, before));
}

#[test]
fn the_view_shows_every_id_as_it_is() {
    let (_directory, path) = place_for();
    let mut open = created(&path);
    let ids = [(1, 0, 0, 0), (2, 9, u64::MAX, 1), (3 << 40, 4_094, 1 << 33, u64::MAX)];
    let ids = ids.map(|(millis, counter, random, log)| {
        let now = Timestamp::from_millis(millis);
        TransactionId::mint((millis << 12) + counter, now, random, LogId::from_bits(log))
    });
    let entry = |transaction| Entry { transaction, key: None, ..entry(1, 10) };
    open.head = open.writer.append(open.head, &ids.map(entry)).unwrap();
    let shown: Vec<_> = shown(&path).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(shown, ids.map(|id| id.to_string()));
}

#[test]
fn the_write_ahead_log_stays_bounded() {
    let (directory, path) = place_for();
    let mut open = created(&path);
    fill(&mut open, 1_500, 40_000); // 60 MB.
    let wal = std::fs::metadata(directory.path().join("wholly.db-wal")).unwrap().len();
    assert!(wal < 40_000_000, "{wal} bytes");
}

/// Runs `test` of this file in a process of its own, with `shell` before it.
#[cfg(unix)]
fn in_a_process(shell: &str, test: &str, path: &Path) {
    let status = Command::new("sh")
        .args(["-c", &format!("{shell}\nexec \"$0\" --exact --ignored \"$1\"")])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("log::sqlite::tests::{test}"))
        .env("WHOLLY_TEST_LOG", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && said.contains("1 passed"), "{said}");
}

fn given_path() -> PathBuf {
    std::env::var_os("WHOLLY_TEST_LOG").expect("run by another test").into()
}

/// The system refuses to let any file grow beyond a limit, as it does on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_harms_nothing() {
    let (_directory, path) = place_for();
    in_a_process("trap '' XFSZ; ulimit -f 1000", "fill_the_disk", &path);
    // There is space again.
    let mut open = created(&path);
    let held = listed(&*open.reader);
    assert!(held >= 10 && open.head == Position(held), "{held} of {:?}", open.head);
    fill(&mut open, 5, 1_000);
}

#[test]
#[ignore = "run by a_full_disk_harms_nothing"]
fn fill_the_disk() {
    let mut open = created(&given_path());
    fill(&mut open, 10, 1_000);
    let failed = loop {
        let n = open.head.0 + 1;
        match open.writer.append(open.head, &[entry(n, 20_000)]) {
            Ok(head) => open.head = head,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, AppendError::Storage { .. }), "{failed}");
    let behind = open.writer.append(open.head, &[]);
    assert!(matches!(behind, Err(AppendError::Rejected { .. })), "{behind:?}");
    assert_eq!(listed(&*open.reader), open.head.0);
    // While the disk is full, the log opens or says why not, and then reads still go on.
    let OpenLog { reader, writer, head, .. } = open;
    drop(writer);
    if let Err(error) = SqliteLog::at(given_path()).open() {
        assert!(matches!(error, OpenError::Storage { .. }), "{error}");
    }
    assert!(reader.by_key(&Key::new("key 1").unwrap()).unwrap().is_some());
    assert!(listed(&*reader) >= head.0);
}

/// Linux counts the bytes that a process wrote; the log's account must say the same.
#[cfg(target_os = "linux")]
#[test]
fn the_account_agrees_with_the_system() {
    let (_directory, path) = place_for();
    in_a_process("", "compare_the_account", &path);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by the_account_agrees_with_the_system"]
fn compare_the_account() {
    let system = || {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    let mut open = created(&given_path());
    let before = (open.writer.written(), system());
    fill(&mut open, 3_000, 3_000);
    let (account, system) = (open.writer.written().bytes - before.0.bytes, system() - before.1);
    // A checkpoint may be on its way, and SQLite's wal-index takes a few bytes.
    let off = account.abs_diff(system) * 100 / system;
    assert!(off < 15, "the account says {account} bytes, the system {system}");
}

/// Not even root can create a file there.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_read_only() {
    let log = SqliteLog::at("/sys/kernel/wholly.db").create_if_missing();
    let error = log.open().err().expect("opening is refused");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}
