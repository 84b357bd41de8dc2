//! Backups and salvages that are killed: nothing that they leave opens as a log, and the next one
//! cleans up.

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::log::Position;
use crate::log::sqlite::probe;

/// The batches of the log that is copied.
const BATCHES: u64 = 12;

fn filled() -> Subject {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, BATCHES));
    subject
}

/// The names in a folder but those of the log itself.
fn copies(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("wholly.db")).collect();
    names.sort();
    names
}

/// The folder at each point of `work`, as a kill there leaves it.
fn killed_at_every_point(subject: &Subject, work: impl Fn()) -> Vec<(&'static str, TempDir)> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let folder = subject.directory.path().to_owned();
    let look = {
        let seen = Rc::clone(&seen);
        move |point| {
            let left = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
            // Another process copies, for this one may have locks on the files.
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(folder.join(".")).arg(left.path());
            assert!(copy.status().unwrap().success());
            seen.borrow_mut().push((point, left));
        }
    };
    probe::look(Some(Box::new(look)));
    work();
    probe::look(None);
    Rc::try_unwrap(seen).unwrap_or_else(|_| panic!("nobody looks any more")).into_inner()
}

/// Only a copy that has its name opens, as a copy and whole; true if there is one.
fn only_a_whole_copy_opens(folder: &Path, at: &str) -> bool {
    let mut is_there = false;
    for name in copies(folder) {
        let log = SqliteLog::at(folder.join(&name));
        let refusal = |log: SqliteLog| log.open().err().unwrap_or_else(|| panic!("{at}: {name}"));
        let refused = [refusal(log.clone()), refusal(log.clone().moved())];
        if name == "copy.db" {
            is_there = true;
            assert!(refused.iter().all(|error| matches!(error, OpenError::Copied { .. })), "{at}");
            let open = log.restored().open().unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(open.head, Position(BATCHES), "{at}");
        } else {
            for error in refused.into_iter().chain([refusal(log.restored())]) {
                let is_named = error.to_string().contains("a copy that was not finished");
                let is_empty = matches!(error, OpenError::Missing { .. });
                let is_of_sqlite = !name.ends_with(".unfinished-copy");
                assert!(is_named || is_empty || is_of_sqlite, "{at}: {name}: {error}");
            }
        }
    }
    is_there
}

/// The next copy to the same file works, and nothing is left beside it.
fn the_next_one_cleans_up(folder: &Path, at: &str) {
    let to = folder.join("copy.db");
    SqliteLog::at(folder.join("wholly.db"))
        .backup(&to)
        .unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(copies(folder), ["copy.db"], "{at}");
    assert!(only_a_whole_copy_opens(folder, at));
}

fn nothing_is_left_that_looks_like_a_copy(work: impl Fn(&SqliteLog, &Path), points: usize) {
    let subject = filled();
    let to = subject.directory.path().join("copy.db");
    let seen = killed_at_every_point(&subject, || work(&subject.log(), &to));
    assert!(seen.len() >= points, "every point is reached: {seen:?}");
    for (point, left) in &seen {
        let is_there = only_a_whole_copy_opens(left.path(), point);
        assert_eq!(is_there, *point == "the copy has its name", "{point}");
        if !is_there {
            the_next_one_cleans_up(left.path(), point);
        }
    }
}

#[test]
fn a_backup_that_is_killed_at_any_point_leaves_nothing_that_looks_like_one() {
    nothing_is_left_that_looks_like_a_copy(|log, to| log.backup(to).unwrap(), 5);
}

#[test]
fn a_salvage_that_is_killed_at_any_point_leaves_nothing_that_looks_like_a_log() {
    nothing_is_left_that_looks_like_a_copy(|log, to| _ = log.salvage(to).unwrap(), 3);
}

/// Each backup is named by its day here.
#[test]
fn a_backup_removes_what_those_to_other_files_of_the_folder_left() {
    let subject = filled();
    let to = subject.directory.path().join("copy.db");
    let seen = killed_at_every_point(&subject, || subject.log().backup(&to).unwrap());
    let (_, left) = seen.iter().find(|(point, _)| *point == "the copy holds all").unwrap();
    std::fs::write(left.path().join(".foreign.partial"), "x").unwrap();
    assert_eq!(copies(left.path()), [".copy.db.unfinished-copy", ".foreign.partial"]);
    SqliteLog::at(left.path().join("wholly.db")).backup(&left.path().join("next.db")).unwrap();
    assert_eq!(copies(left.path()), [".foreign.partial", "next.db"]);
}

#[test]
fn two_backups_at_once_do_not_disturb_each_other() {
    let subject = filled();
    let folder = subject.directory.path().to_owned();
    let log = subject.log();
    let others = Rc::new(RefCell::new(Vec::new()));
    let look = {
        let (log, folder, others) = (log.clone(), folder.clone(), Rc::clone(&others));
        move |point| {
            if ["the copy is begun", "the copy is durable"].contains(&point) {
                let same = log.backup(&folder.join("copy.db"));
                let other = log.backup(&folder.join(format!("{point}.db")));
                others.borrow_mut().push((same, other));
            }
        }
    };
    probe::look(Some(Box::new(look)));
    let done = log.backup(&folder.join("copy.db"));
    probe::look(None);
    done.unwrap();
    for (same, other) in others.take() {
        assert!(matches!(same, Err(CopyError::InProgress { .. })), "{same:?}");
        other.unwrap();
    }
    assert_eq!(copies(&folder), ["copy.db", "the copy is begun.db", "the copy is durable.db"]);
}

#[test]
fn no_copy_has_a_name_of_unfinished_ones() {
    let subject = filled();
    let to = subject.directory.path().join(".copy.db.unfinished-copy");
    let (backup, salvage) = (subject.log().backup(&to), subject.log().salvage(&to));
    assert!(matches!(backup, Err(CopyError::Name { .. })), "{backup:?}");
    assert!(matches!(salvage, Err(CopyError::Name { .. })), "{salvage:?}");
    assert_eq!(copies(subject.directory.path()), [""; 0]);
}

#[test]
#[ignore = "run by another test"]
fn back_up() {
    let path = PathBuf::from(std::env::var_os("WHOLLY_TEST_LOG").expect("run by another test"));
    SqliteLog::at(&path).backup(&path.with_file_name("copy.db")).expect("a backup");
}

/// Real processes, each killed a moment after its backup began.
#[test]
fn a_backup_whose_process_is_killed_leaves_nothing_that_looks_like_one() {
    let subject = filled();
    let folder = subject.directory.path();
    let (mut random, mut left) = (fastrand::Rng::with_seed(1), 0);
    for nth in 0..30 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "log::sqlite::attack::copies::back_up"])
            .env("WHOLLY_TEST_LOG", subject.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while copies(folder).is_empty() && began.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(random.u64(..3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let at = format!("kill {nth}");
        left += u64::from(copies(folder).iter().any(|name| name.ends_with(".unfinished-copy")));
        if !only_a_whole_copy_opens(folder, &at) {
            the_next_one_cleans_up(folder, &at);
        }
        for name in copies(folder) {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    }
    assert!(left > 0, "some are killed before their end");
}
