//! Real processes: killed at random, and by other paths to the same file.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::log::Position;

/// Runs `test` of this file in a process of its own, on the log at `path`.
fn spawn(through: &[&str], test: &str, path: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    let name = format!("log::sqlite::attack::processes::{test}");
    let words = [through, &[own, "--exact", "--ignored", "--nocapture", &name]].concat();
    Command::new(words[0])
        .args(&words[1..])
        .env("WHOLLY_TEST_LOG", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn given() -> SqliteLog {
    SqliteLog::at(std::env::var_os("WHOLLY_TEST_LOG").expect("run by another test"))
}

/// Opens the log, which it may make, and appends for as long as it lives; says each batch that is
/// durable.
#[test]
#[ignore = "run by another test"]
fn append_until_killed() {
    let mut open = given().create_if_missing().open().expect("the log opens");
    println!("told {}", open.head.0);
    for _ in 0..2_000 {
        let batch = batches(open.head.0 + 1, 1).next().unwrap();
        open.head = open.writer.append(open.head, &batch).expect("an append");
        println!("told {}", open.head.0);
        if open.head.0.is_multiple_of(64) {
            open.writer.trim(Timestamp::from_millis(open.head.0 - 32), 64).expect("a trim");
        }
    }
}

/// Kills a process so many times, each at another moment: at creation, opening, appends,
/// checkpoints and removals. Each time the log opens, and holds what was told.
fn kill(times: u64) {
    let mut subject = Subject::new();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut told, mut told_in_all) = (0, 0);
    for nth in 0..times {
        // A new log now and then, so that its creation is killed, too, and its first opening.
        if nth.is_multiple_of(20) {
            (subject, told) = (Subject::new(), 0);
        }
        let mut child = spawn(&[], "append_until_killed", &subject.path());
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut heads = output.lines().map_while(Result::ok).filter_map(|line| {
            let (_, head) = line.split_once("told ")?;
            head.parse::<u64>().ok()
        });
        // Half of them at any moment since they began, half once they append.
        let first = if random.bool() { None } else { heads.next() };
        std::thread::sleep(Duration::from_micros(random.u64(..15_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = heads.last().or(first);
        told_in_all += u64::from(last.is_some());
        told = told.max(last.unwrap_or(0));
        // Every other time the next process finds the files that this one left.
        if nth.is_multiple_of(2) || nth + 1 == times {
            continue;
        }
        let open = match subject.log().create_if_missing().open() {
            Ok(open) => open,
            Err(error) => panic!("kill {nth}: {error}"),
        };
        assert!(open.head.0 >= told, "kill {nth}: batch {told} was told, {} left", open.head.0);
        assert_eq!(open.damage.damage().count, 0, "kill {nth}: {:?}", open.damage.damage());
        if told > 3 {
            let id = id(told - 1);
            let stored = open.reader.history(id).unwrap();
            assert!(stored.is_some_and(|stored| stored.damage.is_none()), "kill {nth}: {id}");
        }
    }
    println!("{times} kills, {told_in_all} of them after something was told");
    assert!(told_in_all > times / 4, "some are killed while they append");
}

#[test]
fn a_killed_process_leaves_a_log_that_opens() {
    kill(150);
}

#[test]
#[ignore = "minutes: 10,000 kills"]
fn ten_thousand_kills_raise_no_false_alarm() {
    kill(10_000);
}

/// The same file by another name, which SQLite would give a write-ahead log of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_bind_mount_is_the_same_log() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 3));
    let elsewhere = tempfile::tempdir_in(subject.directory.path()).unwrap();
    let other = elsewhere.path().join("other.db");
    std::fs::write(&other, "").unwrap();
    let mount =
        format!("mount --bind '{}' '{}' && exec \"$@\"", subject.path().display(), other.display());
    // A mount of its own namespace goes with its process. All users but root need a user namespace.
    let through = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"];
    let run = |test: &str| {
        let mut child = spawn(&through, test, &other);
        let output = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        assert!(child.wait().unwrap().success(), "it needs namespaces: {output}");
    };
    run("is_in_use");
    drop(open);
    run("is_no_log_of_its_own");
    assert_eq!(subject.log().open().unwrap().head, Position(3));
}

#[test]
#[ignore = "run by another test"]
fn is_in_use() {
    let error = given().open().err().expect("opening is refused");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}

#[test]
#[ignore = "run by another test"]
fn is_no_log_of_its_own() {
    let error = given().open().err().expect("opening is refused");
    assert!(matches!(error, OpenError::Copied { .. }), "{error}");
}
