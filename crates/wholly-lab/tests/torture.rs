//! A short torture: every point of some scenarios, and a few rounds. `wholly-lab torture` does it all.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::process::Output;

use common::lab;
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn nothing_is_violated_and_much_is_killed() {
    let scenarios = "--scenarios=success,one-phase,saga-declined";
    let (output, report) = torture(&[scenarios, "--rounds=5"]);
    let said = report.to_string();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{said}");
    assert_eq!(number("/rounds"), 5, "{said}");
    // Three sides of: two appends at the least, six calls, and two calls that each service answers.
    assert!(number("/points/success") >= 3 * (2 + 6 + 3 * 2), "{said}");
    assert!(number("/points/one-phase") >= 3 * (2 + 1 + 1), "{said}");
    // A decision to turn back, at least, beside the start; five calls; two, two and one answers.
    assert!(number("/points/saga-declined") >= 3 * (2 + 5 + 5), "{said}");
    for process in ["coordinator", "order", "payment", "inventory"] {
        assert!(number(&format!("/kills/{process}")) > 0, "{process}: {said}");
    }
    // At exact points processes of the laboratory die, and at random moments those that are shipped.
    let at_points: u64 = ["success", "one-phase", "saga-declined"]
        .map(|scenario| number(&format!("/points/{scenario}")))
        .iter()
        .sum();
    assert_eq!(number("/kills_by_program/wholly-lab"), at_points, "{said}");
    assert!(number("/kills_by_program/wholly") > 0, "{said}");
    assert!(number("/committed") > 0, "{said}");
    assert!(number("/completed") > 0, "{said}");
    assert!(number("/compensated/refused") > 0, "{said}");
}

/// Runs a torture that leaves nothing behind; its outcome and its report.
fn torture(arguments: &[&str]) -> (Output, Value) {
    let temporary = tempdir().unwrap();
    let output = lab()
        .arg("torture")
        .args(arguments)
        .arg("--json")
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|why| panic!("{why}: {output:?}"));
    (output, report)
}

/// Runs a torture with a planted fault, which must be reported in one of these ways.
fn finds(arguments: &[&str], said: &[&str]) {
    let (output, report) = torture(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {report}");
    let violations = report["violations"].as_array().unwrap();
    let is_said = |found: &str| said.iter().any(|said| found.contains(said));
    let found = |found: &Value| found.as_str().is_some_and(is_said);
    assert!(violations.iter().any(found), "{arguments:?}: {report}");
}

#[test]
fn nothing_that_a_client_was_told_is_taken_back() {
    let (output, report) = torture(&["--api", "--rounds=20"]);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["rounds"], 20, "{report}");
    for number in ["told", "events", "committed", "completed", "restarts"] {
        assert!(report[number].as_u64() > Some(0), "{number}: {report}");
    }
    assert!(report["faults"].as_object().is_some_and(|faults| faults.len() > 3), "{report}");
    // All that is killed is the binary that is shipped.
    let programs = report["kills_by_program"].as_object().unwrap();
    assert!(programs.keys().eq(["wholly"]), "{report}");
}

fn finds_through_the_api(plant: &str, rounds: &str, said: &str) {
    finds(&["--api", "--rounds", rounds, "--plant", plant], &[said]);
}

#[test]
fn a_lie_is_found() {
    finds_through_the_api("lie", "10", "what was told of");
}

#[test]
fn a_lie_about_an_event_is_found() {
    // Found in what was told, or among the events, whichever comes first.
    finds_through_the_api("event-lie", "10", "what was told of");
}

#[test]
fn an_event_that_is_left_out_is_found() {
    finds_through_the_api("event-lost", "4", "was left out in");
}

#[test]
fn a_lost_log_is_found() {
    finds_through_the_api("lost-log", "10", "it was known, and is not any more");
}

#[test]
fn a_service_that_only_says_so_is_found() {
    finds_through_the_api("only-says-so", "10", "order");
}

#[test]
fn a_service_that_does_it_twice_is_found() {
    finds_through_the_api("does-it-twice", "6", "the books have for stock");
}

#[test]
fn a_service_that_forgets_an_abort_is_found() {
    finds_through_the_api("forgets-aborts", "6", "the books have for branches in doubt inventory");
}

#[test]
fn a_choreography_loses_nothing_and_does_nothing_twice() {
    let (output, report) = torture(&["choreography", "--rounds=5", "--seed=1"]);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["rounds"], 10, "{report}");
    for number in ["confirmed", "cancelled", "retries", "lost", "refused"] {
        assert!(report[number].as_u64() > Some(0), "{number}: {report}");
    }
    for counts in ["kills", "faults", "put_back"] {
        assert!(report[counts].as_object().is_some_and(|counts| !counts.is_empty()), "{report}");
    }
}

#[test]
fn a_choreography_over_postgres_neither_when_the_server_is_killed() {
    let arguments = ["choreography", "--postgres", "--rounds=3", "--seed=0", "--flow=parallel"];
    let (output, report) = torture(&arguments);
    assert!(output.status.success(), "{report}");
    assert!(report["kills"]["postgres"].as_u64() > Some(0), "{report}");
}

/// The seed is one whose first round kills the service that does it wrong.
fn of_choreography_finds(plant: &str, seed: &str, said: &[&str]) {
    let arguments = ["choreography", "--rounds=10", "--flow=sequential"];
    finds(&[&arguments[..], &["--seed", seed, "--plant", plant]].concat(), said);
}

#[test]
fn an_event_that_is_published_in_a_second_transaction_is_found() {
    of_choreography_finds("publishes-apart", "1", &["and its service said []"]);
}

#[test]
fn an_inbox_that_is_forgotten_is_found() {
    let twice = "emitted [\"InventoryReserved\", \"InventoryReserved\"]";
    // On a busy machine it may be killed before it has done anything. It forgets its place, too.
    let forgotten_place = "the inventory refuses the feed of the order";
    of_choreography_finds("forgets-inbox", "5", &[twice, forgotten_place]);
}
