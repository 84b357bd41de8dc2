//! Copies, made by a backup or by other means, and opened as copies.

use std::path::PathBuf;

use tempfile::TempDir;
use wholly_core::{Key, LogId, Timestamp, TransactionId};

use super::tests::labels;
use super::*;
use crate::log::listing::Query;
use crate::log::{Entry, LogReader, StoredTransaction, first_unsettled};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let names = std::fs::read_dir(self.0.path()).unwrap().map(name);
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn id(n: u64) -> TransactionId {
    TransactionId::mint(0, Timestamp::from_millis(n), n << 2, LogId::from_bits(7))
}

fn entry(n: u64, sequence: u32, text: &str) -> Entry {
    let key = (sequence == 0).then(|| Key::new(format!("key {n}")).unwrap());
    let ended = (sequence > 0).then(|| Timestamp::from_millis(n));
    let (text, labels) = (text.to_owned(), labels());
    Entry { transaction: id(n), sequence, text, key, labels, ended }
}

fn listed(reader: &dyn LogReader) -> Vec<TransactionId> {
    let page = reader.list(&Query::newest(9)).unwrap();
    page.rows.iter().map(|row| row.id).collect()
}

fn append(open: &mut OpenLog, batch: &[Entry]) {
    open.head = open.writer.append(open.head, batch).unwrap();
}

fn opened(path: PathBuf) -> OpenLog {
    SqliteLog::at(path).create_if_missing().open().unwrap()
}

fn refusal(log: &SqliteLog) -> OpenError {
    log.open().err().expect("opening is refused")
}

/// True if it is refused as a copy, under either flag that claims the original.
fn is_refused_as_a_copy(path: &Path) -> bool {
    let refused = |log: SqliteLog| {
        let error = refusal(&log);
        let said = error.to_string();
        assert!(said.contains("`restored`") && !said.contains("`moved`"), "{said}");
        matches!(error, OpenError::Copied { .. })
    };
    refused(SqliteLog::at(path)) && refused(SqliteLog::at(path).moved())
}

#[test]
fn a_backup_is_what_was_there_when_it_was_made() {
    let place = Place::new();
    let (from, to) = (place.at("wholly.db"), place.at("backup.db"));
    let mut open = opened(from.clone());
    append(&mut open, &[entry(1, 0, "one"), entry(2, 0, "two")]);
    append(&mut open, &[entry(1, 1, "end of one")]);
    SqliteLog::at(&from).backup(&to).unwrap();
    append(&mut open, &[entry(3, 0, "three"), entry(2, 1, "end of two")]);

    let copy = SqliteLog::at(&to).restored().open().unwrap();
    assert_eq!(listed(&*copy.reader), [id(2), id(1)]);
    let unsettled: Vec<_> =
        first_unsettled(&*copy.reader, 9).unwrap().into_iter().map(|stored| stored.id).collect();
    assert_eq!(unsettled, [id(2)]);
    assert_eq!(copy.reader.by_key(&Key::new("key 1").unwrap()).unwrap(), Some(id(1)));
    assert_eq!(copy.reader.history(id(1)).unwrap().unwrap().entries[1].text, "end of one");
    assert_eq!((copy.head, copy.last_ordinal), (crate::log::Position(2), id(2).ordinal()));
    assert_ne!(copy.identity, open.identity);
    // The original knows nothing of it.
    append(&mut open, &[entry(4, 0, "four")]);
    let original = open.identity;
    drop(open);
    assert_eq!(opened(from).identity, original);
}

/// As by `cat backup.db > wholly.db`: by the file alone it would be the original.
#[test]
pub(super) fn a_backup_in_the_file_of_the_original_is_known_by_its_mark() {
    let place = Place::new();
    let (from, to) = (place.at("wholly.db"), place.at("backup.db"));
    drop(opened(from.clone()));
    SqliteLog::at(&from).backup(&to).unwrap();
    std::fs::write(&from, std::fs::read(&to).unwrap()).unwrap();
    assert!(is_refused_as_a_copy(&from));
}

#[test]
fn a_backup_replaces_nothing_and_leaves_nothing_behind() {
    let place = Place::new();
    let (from, to) = (place.at("wholly.db"), place.at("backup.db"));
    let backup = |from: &Path, to: &Path| SqliteLog::at(from).backup(to);
    assert!(matches!(backup(&from, &to), Err(CopyError::Log(OpenError::Missing { .. }))));
    assert_eq!(place.names(), [""; 0]);
    drop(opened(from.clone()));
    std::fs::write(&to, "precious").unwrap();
    let before = place.names();
    assert!(matches!(backup(&from, &to), Err(CopyError::Exists { .. })));
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "precious");
    let missing = place.at("missing/backup.db");
    assert!(matches!(backup(&from, &missing), Err(CopyError::Storage { .. })));
    let letter = place.at("backup.db");
    let other = place.at("other.db");
    assert!(matches!(backup(&letter, &other), Err(CopyError::Log(_) | CopyError::Storage { .. })));
    assert_eq!(place.names(), before);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_a_backup() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    drop(opened(place.at("wholly.db")));
    SqliteLog::at(place.at("wholly.db")).backup(&place.at("backup.db")).unwrap();
    let mode = std::fs::metadata(place.at("backup.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_backup_is_opened_only_as_one() {
    let place = Place::new();
    let (from, to, again) = (place.at("wholly.db"), place.at("b.db"), place.at("b2.db"));
    drop(opened(from.clone()));
    SqliteLog::at(&from).backup(&to).unwrap();
    assert!(is_refused_as_a_copy(&to));
    // A backup of a backup is one, too.
    SqliteLog::at(&to).backup(&again).unwrap();
    assert!(is_refused_as_a_copy(&again));
    let restored = SqliteLog::at(&to).restored();
    let first = restored.open().unwrap().identity;
    // The same program opens it again after a failure of the log: it is the same log.
    assert_eq!(restored.open().unwrap().identity, first);
    assert_eq!(opened(to.clone()).identity, first, "restored once, it is a log like any other");
    assert_ne!(SqliteLog::at(&to).restored().open().unwrap().identity, first);
}

#[cfg(unix)]
#[test]
fn a_copied_file_is_opened_only_as_what_an_operator_says() {
    let place = Place::new();
    let (from, to) = (place.at("wholly.db"), place.at("copy.db"));
    let identity = opened(from.clone()).identity;
    std::fs::copy(&from, &to).unwrap();
    assert!(is_refused_as_a_copy(&to), "without its side file");
    std::fs::copy(side::path(&from), side::path(&to)).unwrap();
    for _ in 0..2 {
        let error = refusal(&SqliteLog::at(&to));
        let said = error.to_string();
        assert!(matches!(error, OpenError::Moved { .. }), "{said}");
        assert!(said.contains("`restored`") && said.contains("`moved`"), "{said}");
    }
    // A new name is no copy.
    for suffix in ["", "-side"] {
        let renamed = file::beside(&place.at("renamed.db"), suffix);
        std::fs::rename(file::beside(&from, suffix), renamed).unwrap();
    }
    assert_eq!(SqliteLog::at(place.at("renamed.db")).open().unwrap().identity, identity);
    assert_eq!(SqliteLog::at(&to).moved().open().unwrap().identity, identity);
    assert_eq!(SqliteLog::at(to).open().unwrap().identity, identity, "moved once, it is there");
}

/// True if any file of the log holds these bytes.
fn is_on_disk(place: &Place, secret: &str) -> bool {
    let holds = |name: &String| {
        let bytes = std::fs::read(place.at(name)).unwrap();
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    place.names().iter().any(holds)
}

/// Appends a secret that fills pages of its own, and one that shares them.
fn append_secrets(open: &mut OpenLog) {
    append(open, &[entry(1, 0, &"SECRET".repeat(5_000)), entry(2, 0, "SECRET and little more")]);
    append(open, &[entry(1, 1, "SECRET"), entry(2, 1, "end"), entry(3, 0, "stays")]);
}

#[test]
fn a_removed_payload_is_on_no_page_any_more() {
    let place = Place::new();
    let mut open = opened(place.at("wholly.db"));
    append_secrets(&mut open);
    assert!(is_on_disk(&place, "SECRET"));
    let without = |stored: &StoredTransaction| {
        Some(stored.entries.iter().map(|entry| format!("entry {}", entry.sequence)).collect())
    };
    while open.writer.remove_payloads(Timestamp::from_millis(9), 1, &without).unwrap() > 0 {}
    assert!(!is_on_disk(&place, "SECRET"));
    assert!(is_on_disk(&place, "stays"));
    assert_eq!(open.reader.history(id(1)).unwrap().unwrap().entries[1].text, "entry 1");
    append(&mut open, &[entry(3, 1, "end")]);
    drop(open);
    assert_eq!(opened(place.at("wholly.db")).head, crate::log::Position(3));
}

#[test]
fn a_trimmed_transaction_is_on_no_page_any_more() {
    let place = Place::new();
    let mut open = opened(place.at("wholly.db"));
    append_secrets(&mut open);
    while open.writer.trim(Timestamp::from_millis(9), 1).unwrap() > 0 {}
    assert!(!is_on_disk(&place, "SECRET") && is_on_disk(&place, "stays"));
    assert_eq!(listed(&*open.reader), [id(3)]);
}

#[test]
fn a_piece_is_bounded_by_its_bytes() {
    let place = Place::new();
    let mut open = opened(place.at("wholly.db"));
    let large = "x".repeat(900_000);
    for n in 1..=3 {
        append(
            &mut open,
            &[Entry { ended: Some(Timestamp::from_millis(n)), ..entry(n, 0, &large) }],
        );
    }
    let far = Timestamp::from_millis(9);
    let examined: Vec<_> =
        (0..3).map(|_| open.writer.remove_payloads(far, 9, &|_| None).unwrap()).collect();
    assert_eq!(examined, [2, 1, 0]);
    let trimmed: Vec<_> = (0..3).map(|_| open.writer.trim(far, 9).unwrap()).collect();
    assert_eq!(trimmed, [2, 1, 0]);
}
