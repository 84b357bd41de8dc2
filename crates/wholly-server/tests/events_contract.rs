//! What `docs/events-contract.md` says is done as it is printed, the follower in Python keeps it, and
//! `wholly conformance events` sees it where one does not.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::{TempDir, tempdir};
use tokio::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const BINARY: &str = env!("CARGO_BIN_EXE_wholly");

/// Longer than the suite takes at most: it ends by itself, and with it the service that it started.
const LONGEST: Duration = Duration::from_secs(200);

/// Runs a line of the shell there.
async fn run(line: &str, directory: &Path) -> Output {
    let bin = Path::new(BINARY).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap();
    let ran = Command::new("sh")
        .args(["-c", line])
        .current_dir(directory)
        .env("PATH", format!("{bin}:{path}"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(LONGEST, ran).await.expect("the line ends").unwrap()
}

/// The follower in a place of its own, without its tables.
fn follower() -> TempDir {
    let directory = tempdir().unwrap();
    std::fs::write(directory.path().join("follower.py"), example("follower.py")).unwrap();
    directory
}

fn example(file: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("examples/python").join(file)).unwrap()
}

/// The command lines of the document, with ports that are free.
fn lines() -> Vec<String> {
    let document =
        std::fs::read_to_string(Path::new(ROOT).join("docs/events-contract.md")).unwrap();
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let (listen, own) = (free_port(), free_port());
    let line = |block: &str| {
        // First both are taken out: a new port may look like the other one.
        let line = block.replace("\\\n", " ").replace("8081", "LISTEN").replace("8082", "OWN");
        line.replace("LISTEN", &listen).replace("OWN", &own)
    };
    blocks.map(line).collect()
}

/// A port that no test of this process has, below those that the system gives away by itself.
fn free_port() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port.to_string();
        }
    }
}

#[tokio::test]
async fn the_contract_does_what_it_says_and_the_follower_in_python_keeps_it() {
    let directory = follower();
    let lines = lines();
    let [schema, conformance] = &*lines else { panic!("lines that no test runs: {lines:?}") };

    assert!(run(schema, directory.path()).await.status.success());
    let printed = std::fs::read_to_string(directory.path().join("schema.sql")).unwrap();
    assert_eq!(printed, example("schema.sql"), "`{schema}` in examples/python makes it anew");

    let output = run(conformance, directory.path()).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let passed = said.lines().filter(|line| line.starts_with("passed       events     "));
    // Every rule: the service is killed, too, and nothing is left out.
    assert_eq!(passed.count(), said.lines().count(), "{said}");
    assert!(said.lines().count() >= 19, "{said}");
}

#[test]
fn the_follower_in_python_fits_on_two_screens() {
    let text = example("follower.py");
    assert!(text.lines().count() < 120, "{} lines", text.lines().count());
    assert!(text.lines().all(|line| line.len() <= 100));
}

#[tokio::test]
async fn a_follower_that_does_not_keep_the_contract_is_seen() {
    let directory = follower();
    let mut text = example("follower.py");
    for (right, wrong) in [
        (r#"for table in ("inbox", "parked")"#, "for table in ()"),
        (r#"traceparent=event.get("traceparent")"#, "traceparent=None"),
        ("if position > last()[0]", "if False"),
    ] {
        assert!(text.contains(right), "the follower has no {right:?}");
        text = text.replace(right, wrong);
    }
    std::fs::write(directory.path().join("follower.py"), text).unwrap();
    let [schema, conformance] = &*lines() else { panic!("other lines") };
    assert!(run(schema, directory.path()).await.status.success());
    let output = run(conformance, directory.path()).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for rule in [
        "an event is answered, with its cause, its correlation and its trace",
        "what a page repeats has effect once",
        "its feed refuses a cursor that it did not give",
        "every event had effect once",
    ] {
        assert!(said.contains(&format!("FAILED       events     {rule}: ")), "{rule}:\n{said}");
    }
    assert!(said.contains("passed       events     a refusal is an event, too\n"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_from_what_does_not_conform() {
    let directory = tempdir().unwrap();
    let port = free_port();
    for (line, why) in [
        (
            format!("wholly conformance events --feed ftp://host/feed --listen {port}"),
            "is not a feed's address",
        ),
        (
            format!(
                "wholly conformance events --feed http://127.0.0.1:1/feed --listen {port} \
                 -- ./there-is-none"
            ),
            "the service does not start",
        ),
        ("wholly conformance events --listen 1".to_owned(), "--feed"),
    ] {
        let output = run(&line, directory.path()).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
    }
}

#[tokio::test]
async fn the_schema_is_printed_for_each_database() {
    let directory = tempdir().unwrap();
    for (database, says) in [("sqlite", "AUTOINCREMENT"), ("postgres", "GENERATED BY DEFAULT")] {
        let output = run(&format!("wholly events schema {database}"), directory.path()).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(says), "{said}");
    }
}
