//! What the README says of the server is true: its configuration and its requests work as printed.
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

    let (two_phase, rest) = readme.split_once("A saga goes to the same address").unwrap();
    let id = ask(&server, two_phase, "committed").await;
    for service in [&orders, &payments] {
        assert_eq!(service.asked(&id), ["prepare", "commit"]);
    }
    let id = ask(&server, rest, "completed").await;
    assert_eq!(orders.asked(&id), ["create-order", "confirm-order"]);
    assert_eq!(payments.asked(&id), ["process-payment"]);
}

#[test]
fn the_definition_in_the_protocols_makes_sense() {
    let page = std::fs::read_to_string(Path::new(README).with_file_name("docs/protocols.md"));
    let definition = between(&page.unwrap(), "```json\n", "```").to_owned();
    wholly::Graph::new(serde_json::from_str(&definition).unwrap()).unwrap();
}

/// Sends the request that is printed first, and gives the transaction's id.
async fn ask(server: &Server, printed: &str, state: &str) -> String {
    let curl = between(printed, "curl ", "```");
    let body = between(curl, "-d '", "'");
    let path = &curl[curl.find("/v1").unwrap()..];
    let reply = server.post(path.split_whitespace().next().unwrap(), body).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.json()["state"], state);
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?}")).0
}
