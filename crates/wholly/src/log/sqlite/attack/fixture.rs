//! A log as an earlier build wrote it: `fixture/` beside this file, of the format in its name. Its
//! content is the content that this build writes. A change of the layout without a new format fails
//! here. A new format makes the files anew, and the old ones go:
//!
//! ```text
//! cargo test -p wholly --lib -- --ignored --exact log::sqlite::attack::fixture::make
//! ```

use super::create::FORMAT;
use super::*;
use crate::log::Position;

/// The number of batches.
const BATCHES: u64 = 15;

/// The database or its side file; the write-ahead log is empty once a log was closed.
fn fixture(suffix: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/sqlite/attack/fixture");
    folder.join(format!("format-{FORMAT}.db{suffix}"))
}

/// Some entries stand in the indexes, some in the tail alone, and one transaction was deleted.
fn write(subject: &Subject) -> OpenLog {
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 12));
    assert_eq!(open.writer.trim(Timestamp::from_millis(2), 1).unwrap(), 1);
    append(&mut open, batches(13, 3));
    open
}

#[test]
fn a_log_of_an_earlier_build_is_read_and_goes_on() {
    let subject = Subject::new();
    for suffix in ["", "-side"] {
        std::fs::copy(fixture(suffix), file::beside(&subject.path(), suffix)).unwrap();
    }
    let mut open = subject.log().moved().open().unwrap();
    assert_eq!(open.head, Position(BATCHES));
    let mut noticed = false;
    let here = Subject::new();
    let written = write(&here);
    assert_eq!(
        told(&*open.reader, BATCHES, &mut noticed),
        told(&*written.reader, BATCHES, &mut noticed)
    );
    assert!(!noticed);
    append(&mut open, batches(BATCHES + 1, 3));
    drop(open);
    assert_eq!(subject.log().open().unwrap().head, Position(BATCHES + 3));
}

#[test]
#[ignore = "makes the fixture anew, for a new format"]
fn make() {
    let subject = Subject::new();
    drop(write(&subject));
    for suffix in ["", "-side"] {
        std::fs::copy(file::beside(&subject.path(), suffix), fixture(suffix)).unwrap();
    }
}
