//! Every workload of `wholly bench` runs to its end and reports figures that can be. How good they are
//! is no matter of a test: it runs on any machine, in a build without optimisation.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "common/bench.rs"]
mod runs;

use std::process::Command;

use runs::{OF_A_RUN, SHORT, positive};
use serde_json::Value;

const WHOLLY: &str = env!("CARGO_BIN_EXE_wholly");

fn bench(arguments: &[&str]) -> Value {
    runs::bench(WHOLLY, arguments)
}

#[test]
fn in_process_beside_the_log_alone() {
    let report = bench(&[&["two-phase", "--concurrency", "8", "--keys"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    for side in ["subject", "ceiling"] {
        let median = &report[side]["median"];
        positive(median, &["/syncs_per_transaction", "/log_bytes_per_transaction"]);
        // What is written is at least the payloads, once in the write-ahead log.
        assert!(median["log_bytes_per_transaction"].as_f64().unwrap() > 300.0);
        // The log syncs per batch, and no transaction is in more than four.
        assert!(median["syncs_per_transaction"].as_f64().unwrap() < 5.0);
        assert!(median["p50_micros"].as_f64() <= median["p99_micros"].as_f64());
    }
    assert_eq!(report["ratio"]["latency_by_parts"], Value::Null);
}

#[test]
fn one_at_a_time_beside_its_two_syncs() {
    let report = bench(&[&["two-phase", "--concurrency", "1"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    positive(&report, &["/ratio/latency_by_parts"]);
    // Started and decided, each forced: two syncs, and now and then one of a checkpoint.
    let syncs = report["subject"]["median"]["syncs_per_transaction"].as_f64().unwrap();
    assert!(syncs > 1.5, "{syncs}");
}

#[test]
fn over_http_beside_bare_calls() {
    let http = ["two-phase", "--transport", "http", "--participants", "2"];
    let report = bench(&[&http[..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    positive(&report, &["/ratio/p99"]);
    assert_eq!(report["ceiling"]["median"]["syncs_per_transaction"], Value::Null);
}

#[test]
fn sagas_beside_the_log_alone() {
    let report = bench(&[&["saga", "--concurrency", "8", "--keys"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    for side in ["subject", "ceiling"] {
        let median = &report[side]["median"];
        positive(median, &["/syncs_per_transaction"]);
        // What is written is at least the input and the definition, which names three steps.
        assert!(median["log_bytes_per_transaction"].as_f64().unwrap() > 400.0);
        // Started and the end: no saga is in more batches.
        assert!(median["syncs_per_transaction"].as_f64().unwrap() < 3.0);
    }
    assert_eq!(report["ratio"]["latency_by_parts"], Value::Null);
}

#[test]
fn sagas_in_code_some_refused() {
    let wide = ["saga", "--in-code", "--graph", "wide", "--failures", "10"];
    let report = bench(&[&wide[..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    positive(&report, &["/subject/median/processor_micros_per_transaction"]);
    let workload = report["workload"].as_str().unwrap();
    assert!(workload.contains("in code") && workload.contains("10% refused"), "{workload}");
}

#[test]
fn sagas_over_http_one_at_a_time_beside_their_parts() {
    let http = ["saga", "--transport", "http", "--concurrency", "1"];
    // Three steps in a list. Where nobody is given an output: two entries, each forced, and now and
    // then a checkpoint; else four.
    for (said, expected) in [(&[][..], 1.5..3.0), (&["--outputs-read"], 3.5..6.0)] {
        let report = bench(&[&http[..], said, &SHORT].concat());
        positive(&report, &OF_A_RUN);
        positive(&report, &["/ratio/p99", "/ratio/latency_by_parts"]);
        assert_eq!(report["ceiling"]["median"]["syncs_per_transaction"], Value::Null);
        let syncs = report["subject"]["median"]["syncs_per_transaction"].as_f64().unwrap();
        assert!(expected.contains(&syncs), "{said:?}: {syncs}");
    }
}

#[test]
fn refused_sagas_beside_those_that_are_not() {
    let diamond = ["saga", "--transport", "http", "--steps", "4", "--graph", "diamond"];
    let report = bench(&[&diamond[..], &["--failures", "50"], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    assert_eq!(report["ceiling"]["name"], "none refused");
    positive(&report, &["/ceiling/median/syncs_per_transaction"]);
    let workload = report["workload"].as_str().unwrap();
    assert!(workload.contains("4 steps in a diamond"), "{workload}");
}

#[test]
fn a_mistake_is_an_error() {
    let wrong = [
        ["two-phase", "--participants", "0"],
        ["saga", "--steps", "129"],
        ["saga", "--failures", "101"],
        ["saga", "--graph", "circle"],
    ];
    for wrong in wrong {
        let output = Command::new(WHOLLY).arg("bench").args(wrong).output().unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
