//! What the README says of the server is true: its configuration and its request work as printed.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;

use common::{Little, Server};
use hyper::StatusCode;
use tempfile::tempdir;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

#[tokio::test]
async fn the_configuration_and_the_request_work_as_printed() {
    let readme = std::fs::read_to_string(Path::new(README)).unwrap();
    let (orders, payments) = (Little::start().await, Little::start().await);
    let configuration = between(&readme, "```toml\n", "```")
        .replace("http://127.0.0.1:7401", &orders.url())
        .replace("http://127.0.0.1:7402", &payments.url())
        .replace("127.0.0.1:7400", "127.0.0.1:0");
    let directory = tempdir().unwrap();
    let server = Server::start_configured(directory.path(), &configuration).await;

    let curl = between(&readme, "curl ", "```");
    let body = between(curl, "-d '", "'");
    let path = &curl[curl.find("/v1").unwrap()..];
    let reply = server.post(path.split_whitespace().next().unwrap(), body).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.json()["state"], "committed");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    for service in [&orders, &payments] {
        assert_eq!(service.asked(&id), ["prepare", "commit"]);
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?}")).0
}
