//! The claims that `wholly compare` measures, on a short comparison with a fixed seed; and what it
//! leaves when it is interrupted. Each figure is printed: `cargo test --test compare -- --nocapture`.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/browser.rs"]
mod browser;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::tempdir;

fn compare(temporary: &Path, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command
        .args(["compare", "--quick", "--seed=17", "--json", "--report"])
        .arg(state.join("report.html"))
        .env("TMPDIR", temporary)
        .env("XDG_STATE_HOME", state);
    command
}

fn kept(state: &Path) -> Value {
    let text = std::fs::read_to_string(state.join("wholly/compare.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Opens the report in a browser, which must find nothing wrong; returns the page as it stands then.
fn opened(state: &Path) -> String {
    let (page, said) = browser::open(&state.join("report.html"));
    assert!(said.is_empty(), "the browser says: {said:?}");
    page
}

/// The figures of a regime in bad weather.
struct Bad<'a> {
    regime: &'a str,
    figures: &'a Value,
}

impl<'a> Bad<'a> {
    fn of(document: &'a Value, regime: &'a str) -> Self {
        let regimes = document["regimes"].as_array().unwrap();
        let found = regimes.iter().find(|one| one["regime"] == regime);
        Self { regime, figures: &found.unwrap()["bad"] }
    }

    /// A figure, which is printed.
    fn get(&self, pointer: &str) -> u64 {
        let figure = self.figures.pointer(pointer).and_then(Value::as_u64);
        let figure = figure.unwrap_or_else(|| panic!("{pointer} in {:#}", self.figures));
        println!("{:16} {figure:5} {pointer}", self.regime);
        figure
    }
}

const DISAGREEING: &str = "/consistency/orders_with_disagreeing_books";
const WRONG_STOCK: &str = "/consistency/items_with_wrong_stock";
const PLAIN: &str = "/consistency/reader_plain/intermediate";
const BY_RULE: &str = "/consistency/reader_by_rule/intermediate";

#[test]
fn what_the_comparison_claims_is_so() {
    let (temporary, state) = (tempdir().unwrap(), tempdir().unwrap());
    let output = compare(temporary.path(), state.path()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "files were left");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document, kept(state.path()));
    assert_eq!((&document["version"], &document["complete"]), (&1.into(), &true.into()));

    let page = opened(state.path());
    let charts = page.matches("<svg ").count();
    assert_eq!((charts, page.contains("Interrupted:")), (8, false), "{page}");

    let alone = Bad::of(&document, "no-coordination");
    assert!(alone.get(DISAGREEING) > 0, "its books agree");
    let coordinated = ["two-phase", "saga", "choreography"];
    for bad in coordinated.map(|regime| Bad::of(&document, regime)) {
        assert_eq!(bad.get(DISAGREEING), 0, "{}: books disagree", bad.regime);
        assert_eq!(bad.get(WRONG_STOCK), 0, "{}: stock is wrong", bad.regime);
        assert_eq!(bad.get("/availability/never_finished"), 0, "{}: not finished", bad.regime);
        assert!(bad.get("/orders/confirmed") > 0 && bad.get("/orders/cancelled") > 0);
    }

    let two_phase = Bad::of(&document, "two-phase");
    assert!(two_phase.get("/consistency/reader_by_rule/reads") > 0, "nothing was read");
    assert_eq!(two_phase.get(BY_RULE), 0, "two-phase was seen halfway by rule");
    two_phase.get("/availability/outage_long/submitted");
    let finished = two_phase.get("/availability/outage_long/finished_during");
    assert_eq!(finished, 0, "a two-phase order did not wait");
    for bad in ["saga", "choreography"].map(|regime| Bad::of(&document, regime)) {
        assert!(bad.get(PLAIN) > 0 && bad.get(BY_RULE) > 0, "{} was never halfway", bad.regime);
        let submitted = bad.get("/availability/outage_long/submitted");
        let accepted = bad.get("/availability/outage_long/accepted");
        assert!(2 * accepted > submitted, "{}: orders are not accepted", bad.regime);
    }
}

#[test]
fn an_interruption_leaves_a_partial_document_and_nothing_else() {
    let (temporary, state) = (tempdir().unwrap(), tempdir().unwrap());
    let mut child = compare(temporary.path(), state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("two-phase in fair weather")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<_> = said.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "files were left");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document, kept(state.path()));
    assert_eq!(document["complete"], false);
    let regimes = document["regimes"].as_array().unwrap();
    assert_eq!(regimes.iter().map(|one| &one["regime"]).collect::<Vec<_>>(), ["no-coordination"]);
    let page = opened(state.path());
    assert!(page.contains("Interrupted: 1 of 4 regimes were measured."), "{page}");
}

#[test]
fn the_browser_tells_of_what_is_wrong_with_a_page() {
    let directory = tempdir().unwrap();
    let page = directory.path().join("wrong.html");
    std::fs::write(&page, "<!DOCTYPE html><title>x</title><script>nothing()</script>").unwrap();
    let (_, said) = browser::open(&page);
    assert!(said.iter().any(|line| line.contains("nothing is not defined")), "{said:?}");
}

#[test]
fn a_report_that_cannot_be_written_is_said_before_anything_is_measured() {
    let directory = tempdir().unwrap();
    let output = compare(directory.path(), &directory.path().join("nowhere")).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("the report cannot be written to"), "{complaint}");
}
