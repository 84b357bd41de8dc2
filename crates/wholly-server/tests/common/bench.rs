//! Benchmarks that are run to their end, and the figures of their reports.

use std::process::Command;

use serde_json::Value;

/// Runs `bench` of a program and reads its report; nothing may be left in the directory of its logs.
pub fn bench(program: &str, arguments: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .arg("bench")
        .args(arguments)
        .args(["--json", "--log"])
        .arg(directory.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed: {complaint}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "logs were left");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn positive(report: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        assert!(figure.is_some_and(|f| f.is_finite() && f > 0.0), "{pointer} in {report:#}");
    }
}

/// The options of a run that is short.
pub const SHORT: [&str; 6] = ["--seconds", "1", "--warm-up-seconds", "1", "--rounds", "1"];

/// The figures of every run.
pub const OF_A_RUN: [&str; 6] = [
    "/subject/median/transactions_per_second",
    "/subject/median/p50_micros",
    "/ceiling/median/transactions_per_second",
    "/ceiling/median/p50_micros",
    "/ratio/throughput",
    "/subject/runs/0/p999_micros",
];
