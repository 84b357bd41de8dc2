//! Other files: links, moves, removals and replacements, before an opening and while it is open.

use std::fs;

use super::*;
use crate::log::{KnownLog as Known, Position};

fn refusal(log: &SqliteLog) -> OpenError {
    log.open().err().expect("opening is refused")
}

#[test]
fn nothing_is_created_that_was_not_to_be() {
    let subject = Subject::new();
    assert!(matches!(refusal(&subject.log()), OpenError::Missing { .. }));
    assert!(fs::read_dir(subject.directory.path()).unwrap().next().is_none());
    let identity = subject.log().create().unwrap();
    assert!(matches!(subject.log().create(), Err(OpenError::Exists { .. })));
    assert_eq!(subject.log().open().unwrap().identity, identity);
}

#[test]
pub(super) fn a_log_that_is_gone_is_never_made_anew() {
    for empty in [false, true] {
        let subject = Subject::new();
        append(&mut subject.log().create_if_missing().open().unwrap(), batches(1, 3));
        let image = subject.image();
        match empty {
            true => fs::write(subject.path(), "").unwrap(),
            false => fs::remove_file(subject.path()).unwrap(),
        }
        for log in [subject.log(), subject.log().create_if_missing(), subject.log().restored()] {
            let error = refusal(&log);
            assert!(matches!(error, OpenError::Lost { .. }), "{error}");
        }
        assert!(matches!(subject.log().create(), Err(OpenError::Lost { .. })));
        subject.put(&image);
        let put_back = subject.log().moved().open().unwrap();
        assert_eq!(put_back.head, Position(3));
    }
}

#[cfg(unix)]
#[test]
pub(super) fn nobody_else_reads_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 3));
    let mut names = 0;
    for file in fs::read_dir(subject.directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
        names += 1;
    }
    assert_eq!(names, 4, "the database, its two files, and the side file");
}

#[cfg(unix)]
#[test]
pub(super) fn a_log_is_one_log_by_whatever_path() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 3));
    let elsewhere = tempfile::tempdir_in(subject.directory.path()).unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(subject.path(), &link).unwrap();
    let folder = elsewhere.path().join("folder");
    std::os::unix::fs::symlink(subject.directory.path(), &folder).unwrap();
    for path in [&link, &folder.join("wholly.db")] {
        assert!(matches!(refusal(&SqliteLog::at(path)), OpenError::InUse { .. }));
    }
    drop(open);
    for path in [&link, &folder.join("wholly.db")] {
        assert_eq!(SqliteLog::at(path).open().unwrap().head, Position(3));
    }
    let second = elsewhere.path().join("second.db");
    fs::hard_link(subject.path(), &second).unwrap();
    for path in [&second, &subject.path()] {
        let error = refusal(&SqliteLog::at(path));
        assert!(matches!(error, OpenError::SeveralNames { links: 2, .. }), "{error}");
    }
    fs::remove_file(second).unwrap();
    assert_eq!(subject.log().open().unwrap().head, Position(3));
}

/// Changes the files of a log that is open.
type Change = fn(&Subject);

#[test]
pub(super) fn what_vanishes_or_is_replaced_while_it_is_open_is_a_failed_append() {
    let changes: [(&str, Change); 4] = [
        ("moved", |s| fs::rename(s.path(), s.file(0).with_extension("away")).unwrap()),
        ("removed", |s| fs::remove_file(s.path()).unwrap()),
        ("replaced", |s| {
            let other = s.file(0).with_extension("other");
            fs::write(&other, fs::read(s.path()).unwrap()).unwrap();
            fs::rename(other, s.path()).unwrap();
        }),
        ("its write-ahead log removed", |s| fs::remove_file(s.file(1)).unwrap()),
    ];
    for (what, change) in changes {
        let subject = Subject::new();
        let log = subject.log().create_if_missing();
        let mut open = log.open().unwrap();
        append(&mut open, batches(1, 3));
        change(&subject);
        let batch = batches(4, 1).next().unwrap();
        let failed = open.writer.append(open.head, &batch);
        assert!(matches!(failed, Err(AppendError::Storage { .. })), "{what}: {failed:?}");
        let known = Known { identity: open.identity, head: open.head };
        drop(open);
        if what != "its write-ahead log removed" {
            let error = log.reopen(known).err();
            assert!(error.is_some(), "{what}: it is not made anew");
        }
    }
}

/// To look is not to touch: a refusal and a verification leave the files as they were.
#[test]
fn looking_changes_nothing() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 3));
    let killed = subject.image();
    drop(open);
    let stopped = subject.image();
    for image in [killed, stopped] {
        subject.put(&image);
        assert!(subject.log().verify().unwrap().damage.is_empty());
        assert_eq!(subject.image().0, image.0, "verified");
        let mut lost = image.clone();
        lost.0[2] = None;
        subject.put(&lost);
        assert!(matches!(refusal(&subject.log()), OpenError::Copied { .. }));
        assert_eq!(subject.image().0, lost.0, "refused");
    }
}

/// What a reader opens anew is the file that it knows, also when another took its name.
#[test]
fn a_reader_reads_no_other_file() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 3));
    fs::rename(subject.path(), subject.file(0).with_extension("away")).unwrap();
    fs::write(subject.path(), "no log").unwrap();
    let read = |_| open.reader.history(id(1));
    let reads: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || read(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for read in reads {
        match read {
            Ok(read) => assert!(read.is_some_and(|stored| stored.damage.is_none())),
            Err(error) => assert!(error.to_string().contains("was replaced"), "{error}"),
        }
    }
}

/// A file that is moved away and back while a coordinator runs goes on with all that it had.
#[test]
fn a_log_that_is_put_back_goes_on() {
    let subject = Subject::new();
    let log = subject.log().create_if_missing();
    let mut open = log.open().unwrap();
    append(&mut open, batches(1, 3));
    let away = subject.directory.path().join("away");
    fs::create_dir(&away).unwrap();
    let names = [0, 1, 2].map(|nth| subject.file(nth));
    let to = |from: &PathBuf| away.join(from.file_name().unwrap());
    names.iter().for_each(|from| fs::rename(from, to(from)).unwrap());
    let batch = batches(4, 1).next().unwrap();
    assert!(open.writer.append(open.head, &batch).is_err());
    let known = Known { identity: open.identity, head: open.head };
    drop(open.writer);
    assert!(log.reopen(known).is_err());
    drop(open.reader);
    names.iter().for_each(|from| fs::rename(to(from), from).unwrap());
    let again = log.reopen(known).unwrap();
    assert!(again.head >= Position(3));
}

#[test]
fn a_reopened_log_is_the_same_or_refused() {
    let subject = Subject::new();
    let log = subject.log().create_if_missing();
    let mut open = log.open().unwrap();
    append(&mut open, batches(1, 3));
    let image = subject.image();
    append(&mut open, batches(4, 2));
    let known = Known { identity: open.identity, head: open.head };
    drop(open);
    // All files as they were two batches before: by themselves they are right.
    subject.put(&image);
    let error = log.reopen(known).err().expect("it is refused");
    assert!(matches!(error, OpenError::Changed { .. } | OpenError::Copied { .. }), "{error}");
}
