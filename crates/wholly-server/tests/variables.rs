//! The configuration by variables of the real process.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Little, Server, configure};
use serde_json::json;
use tempfile::tempdir;

const ORDER: &str =
    r#"{"name": "place order", "branches": [{"participant": "orders", "payload": 1}]}"#;

/// What `wholly config check` says with these variables: its exit code, its output and its errors.
fn check(directory: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.args(["config", "check"]).arg(directory.join("wholly.toml"));
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_variable_counts_before_the_file_and_is_named_where_it_is_wrong() {
    let directory = tempdir().unwrap();
    let text = "listen = '127.0.0.1:1'\n[participants.orders]\nurl = 'http://a'\n";
    std::fs::write(directory.path().join("wholly.toml"), text).unwrap();
    let variables = [
        ("WHOLLY_LISTEN", "127.0.0.1:2"),
        ("WHOLLY_LOG_FILE", "other.db"),
        ("WHOLLY_PARTICIPANTS_ORDERS_URL", "http://b"),
        ("WHOLLY_LIMITS_REQUESTS_PER_SECOND", "77"),
        // Something else than a key.
        ("WHOLLY_TOKEN", "wholly_secret"),
        ("WHOLLY_SERVER", "http://127.0.0.1:1"),
    ];
    let (code, said, wrong) = check(directory.path(), &variables);
    assert_eq!((code, wrong.as_str()), (Some(0), ""));
    let log = format!("log {}, sqlite;", directory.path().join("other.db").display());
    for part in ["listens on http://127.0.0.1:2\n", &log, "orders: http://b, http,", "77 requests"]
    {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    for (name, value, says) in [
        ("WHOLLY_SETTINGS_DEADLINE", "soon", "WHOLLY_SETTINGS_DEADLINE: \"soon\" is no duration"),
        ("WHOLLY_SETTING_DEADLINE", "1s", "did you mean WHOLLY_SETTINGS_DEADLINE?"),
    ] {
        let (code, said, wrong) = check(directory.path(), &[(name, value)]);
        assert_eq!((code, said.as_str(), wrong.lines().count()), (Some(2), "", 1), "{wrong}");
        assert!(wrong.contains(says), "{wrong}");
    }
}

#[tokio::test]
async fn a_flag_counts_before_a_variable() {
    let directory = tempdir().unwrap();
    let orders = Little::start().await;
    configure(directory.path(), &[("orders", &orders)], "[metrics]\nenabled = true");
    let variables = [("WHOLLY_LISTEN", "127.0.0.2:0"), ("WHOLLY_METRICS_ENABLED", "false")];
    let at = |server: &Server| server.address().ip().to_string();
    let server = Server::start_where(&variables, directory.path(), &[]).await;
    assert_eq!(at(&server), "127.0.0.2");
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], json!("committed"));
    server.get("/metrics").await.problem(404, "no-such-route");
    server.terminate().await;
    let flag = ["--listen", "127.0.0.3:0"];
    let server = Server::start_where(&variables, directory.path(), &flag).await;
    assert_eq!(at(&server), "127.0.0.3");
}
