//! Every workload of `wholly-lab bench` runs to its end and reports figures that can be. How good they
//! are is no matter of a test: it runs on any machine, in a build without optimisation.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;
#[path = "../../wholly-server/tests/common/bench.rs"]
mod runs;

use common::{LAB, lab};
use runs::{OF_A_RUN, SHORT, positive};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    common::build_wholly();
    runs::bench(LAB, arguments)
}

#[test]
fn the_servers_whole_way_beside_a_bare_server() {
    let report = bench(&[&["server", "--concurrency", "4"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    positive(&report, &["/ratio/p50", "/ratio/p99"]);
    assert_eq!(report["ceiling"]["name"], "bare server");
}

#[test]
fn who_listens_beside_nobody() {
    let listeners: &[&str] = &["listeners", "--count", "200", "--concurrency", "4"];
    let report = bench(&[listeners, &SHORT].concat());
    positive(&report, &["/without_bytes", "/with_bytes"]);
    positive(&report, &["/without/transactions_per_second", "/with/transactions_per_second"]);
    assert_eq!(report["count"], 200);
}

/// Few in flight, so that few clients are ten times too many.
const CROWD: [&str; 11] = [
    "overload",
    "--seconds",
    "2",
    "--rounds",
    "1",
    "--in-flight",
    "8",
    "--slots",
    "4",
    "--concurrency",
    "4",
];

#[test]
fn a_server_with_ten_times_more_clients_than_it_can_serve() {
    // It fails if a promise is not kept. A deadline that a machine under other load keeps, too.
    let report = bench(&[&CROWD[..], &["--deadline-millis", "20000"]].concat());
    let overload = &report["overload"];
    assert_eq!((&overload["clients"], &overload["in_flight_limit"]), (&80.into(), &8.into()));
    positive(overload, &["/accepted", "/committed", "/p99_micros", "/refused_429", "/refused_503"]);
    for none in ["refused_without_retry_after", "unanswered", "unsettled"] {
        assert_eq!(overload[none], 0, "{none} in {overload:#}");
    }
    #[cfg(target_os = "linux")]
    positive(overload, &["/idle_bytes", "/most_bytes", "/most_bytes_allowed"]);
    // The others went on while the one that hangs was asked, and held what it was asked.
    let hanging = &report["hanging"];
    positive(hanging, &["/touched", "/calls_held", "/to_answers/p99", "/to_unused/p99"]);
}

#[test]
fn a_promise_of_an_overloaded_server_can_be_broken() {
    // Shorter than one call takes: nothing that is accepted can commit.
    let hopeless = ["--deadline-millis", "20", "--pause-millis", "50", "--json", "--log"];
    let directory = tempfile::tempdir().unwrap();
    let output = lab()
        .arg("bench")
        .args([&CROWD[..], &hopeless].concat())
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("a promise is not kept"), "{complaint}");
    assert!(complaint.contains("accepted did not commit by the deadline"), "{complaint}");
    // What was measured is shown all the same, and what was accepted has settled: aborted.
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    positive(&report, &["/overload/accepted"]);
    assert_eq!(
        (&report["overload"]["committed"], &report["overload"]["unsettled"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn orders_by_events_beside_services_that_call_each_other() {
    // It fails if an order was lost, or happened twice.
    let report = bench(&[&["choreography", "--concurrency", "8"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    positive(&report, &["/ratio/p50", "/ratio/p99"]);
    assert_eq!(report["ceiling"]["name"], "plain calls");
    #[cfg(target_os = "linux")]
    for side in ["subject", "ceiling"] {
        let median = &report[side]["median"];
        positive(median, &["/resident_bytes", "/processor_micros_per_transaction"]);
    }
}

#[test]
fn orders_by_events_over_postgres_beside_plain_calls() {
    let report =
        bench(&[&["choreography", "--concurrency", "1", "--postgres"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
    assert!(
        report["workload"].as_str().is_some_and(|what| what.contains("PostgreSQL")),
        "{report}"
    );
}

#[test]
fn a_grown_log_beside_an_empty_one() {
    let report = bench(&[&["growth", "--transactions", "5000"][..], &SHORT].concat());
    positive(&report, &OF_A_RUN);
}

#[test]
fn lists_of_a_large_log_beside_a_small_one() {
    let report = bench(&["list", "--stored", "6000", "--beside", "500", "--times", "5"]);
    let lists = report["lists"].as_array().unwrap();
    assert!(lists.len() >= 8, "{report:#}");
    for list in lists {
        for log in ["large", "small"] {
            let figures = &list[log];
            positive(figures, &["/p50_micros", "/p99_micros"]);
            assert!(figures["p50_micros"].as_f64() <= figures["p99_micros"].as_f64());
        }
    }
    // What is listed is there: the newest are a full page, and some are stuck.
    assert_eq!(report["lists"][0]["large"]["rows"], 100);
    let stuck = lists.iter().find(|list| list["filter"] == "stuck=true").unwrap();
    assert_eq!(stuck["large"]["rows"], 6);
}

#[test]
fn recovery_of_what_is_in_doubt() {
    let report = bench(&["recovery", "--transactions", "500"]);
    assert_eq!(report["transactions"], 500);
    let seconds = ["read_seconds", "on_their_way_seconds", "settled_seconds"];
    let seconds = seconds.map(|name| report[name].as_f64().unwrap());
    assert!(seconds[0] > 0.0 && seconds.is_sorted(), "{seconds:?}");
}

#[test]
fn memory_with_many_in_flight() {
    let report = bench(&["memory", "--transactions", "200"]);
    assert_eq!(report["transactions"], 200);
    #[cfg(target_os = "linux")]
    positive(&report, &["/resident_bytes", "/idle_bytes"]);
}

#[test]
fn a_mistake_is_an_error() {
    let wrong = [["recovery", "--transactions", "0"], ["overload", "--slots", "1"]];
    for wrong in wrong {
        let output = lab().arg("bench").args(wrong).output().unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
