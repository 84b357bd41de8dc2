//! What the documents say is true: their command lines and their configuration work as printed.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;

use common::{Little, Said, Server, configure, eventually, unreadable};
use serde_json::Value;
use tempfile::tempdir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What the test says in the place of: how the binary is run, and where it listens.
const CARGO: &str = "cargo run --release -- ";
const LISTENS: &str = "localhost:7400";

/// README: every command line, in its order, on the configuration that is printed.
#[tokio::test]
async fn the_readme_does_what_it_says() {
    let readme = read("README.md");
    let (orders, payments) = (Little::start().await, Little::start().await);
    let configuration = between(&readme, "```toml\n", "```")
        .replace("http://127.0.0.1:7401", &orders.url())
        .replace("http://127.0.0.1:7402", &payments.url())
        .replace("127.0.0.1:7400", "127.0.0.1:0");
    let directory = tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("wholly.toml"), configuration).unwrap();
    let mut lines = lines(&readme).into_iter();

    // The demo and the tests have tests of their own.
    assert!(lines.next().unwrap().starts_with("cargo run --release -- demo "));
    assert!(lines.next().unwrap().starts_with("./test "));
    let serve = lines.next().unwrap();
    let serve = format!("wholly {}", serve.strip_prefix(CARGO).unwrap());
    let server = Server::start_as_printed(&serve, directory).await;

    let two_phase = lines.next().unwrap();
    std::fs::write(directory.join("order.json"), between(&two_phase, "-d '", "'")).unwrap();
    let id = &ask(&server, &two_phase, directory, "committed").await;
    for service in [&orders, &payments] {
        assert_eq!(service.asked(id), ["prepare", "commit"]);
    }
    let saga = &ask(&server, &lines.next().unwrap(), directory, "completed").await;
    assert_eq!(orders.asked(saga), ["create-order", "confirm-order"]);
    assert_eq!(payments.asked(saga), ["process-payment"]);

    let submit = server.as_printed(&lines.next().unwrap(), directory).await.exits(0);
    // The key that is printed is that of the first.
    assert_eq!(submit, format!("{id}  committed\n"));
    payments.says("commit", Said::Broken);
    let other = between(&two_phase, "-d '", "'").replace("ORD001", "ORD003");
    let accepted = server.submit(&[("prefer", "respond-async")], &other).await.json();
    let open = accepted["id"].as_str().unwrap();
    let list = server.as_printed(&lines.next().unwrap(), directory).await.exits(0);
    assert!(list.contains(open) && !list.contains(id.as_str()), "{list}");
    let watch = lines.next().unwrap().replace("ID", id);
    let watched = server.as_printed(&watch, directory).await.exits(0);
    assert!(watched.trim_end().ends_with("settled"), "{watched}");
    let resolve = lines.next().unwrap().replace("ID", open);
    server.as_printed(&resolve, directory).await.exits(0);
    server.settled(&format!("/v1/transactions/{open}")).await;
    assert_eq!(lines.next(), None, "a command line that no test runs");
}

/// ARCHITECTURE.md and CONTRIBUTING.md: every path is there, and so is every function behind a colon.
#[test]
fn the_paths_of_the_architecture_are_there() {
    let crates = std::fs::read_dir(Path::new(ROOT).join("crates")).unwrap();
    let crates = crates.map(|one| one.unwrap().path());
    let beside = ["", "crates"].map(|base| Path::new(ROOT).join(base));
    let bases: Vec<_> =
        beside.into_iter().chain(crates.flat_map(|one| [one.join("src"), one])).collect();
    let mut found = 0;
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for code in code_spans(&read(page)) {
            let (path, function) = match code.split_once(": ") {
                Some((path, function)) => (path, Some(function)),
                None => (&*code, None),
            };
            if !is_path(path) {
                continue;
            }
            let there = bases.iter().map(|base| base.join(path)).find(|path| path.exists());
            let there = there.unwrap_or_else(|| panic!("{page} names {path}, which is not there"));
            if let Some(function) = function {
                let text = std::fs::read_to_string(there).unwrap();
                let defines = [format!("fn {function}("), format!("fn {function}<")];
                let is_there = defines.iter().any(|definition| text.contains(definition));
                assert!(is_there, "{page}: there is no function {function} in {path}");
            }
            found += 1;
        }
    }
    assert!(found > 100, "{found} paths were found: are they still recognised?");
}

/// docs/operations.md: every command line, in its order, on a server that has something stuck.
#[tokio::test]
async fn operating_it_is_as_it_is_said() {
    let page = read("docs/operations.md");
    // Of choreographies, which tests/observer.rs and tests/events_tables.rs run.
    let (page, rest) = page.split_once("## Observe choreographies").unwrap();
    let page = format!("{page}{}", rest.split_once("## Watch").unwrap().1);
    let home = tempdir().unwrap();
    let place = |name: &str| {
        let path = home.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (original, copy, backups) = (place("original"), place("copy"), place("backups"));
    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    let stuck_soon = "stuck_after_tries = 1";
    configure(&copy, &participants, stuck_soon);
    let server = Server::start_with(&original, &participants, stuck_soon).await;
    payments.says("commit", Said::Broken);
    let order = r#"{"name": "x", "branches": [{"participant": "orders", "payload": 1},
        {"participant": "payments", "payload": 2}]}"#;
    let accepted = server.submit(&[("prefer", "respond-async")], order).await.json();
    let id = accepted["id"].as_str().unwrap();
    let stuck = async || {
        let transaction = server.get(&format!("/v1/transactions/{id}")).await.json();
        (transaction["stuck"] == true).then_some(())
    };
    eventually("it is stuck", stuck).await;
    let here = |line: String, directory: &Path| {
        let line = line.replace("/var/lib/wholly/", &format!("{}/", directory.display()));
        let line = line.replace("/etc/wholly/", &format!("{}/", directory.display()));
        line.replace("/backup/", &format!("{}/", backups.display())).replace("ID", id)
    };
    let mut lines = lines(&page).into_iter();

    let init = here(lines.next().unwrap(), &place("new"));
    let made = server.as_printed(&init, &original).await.exits(0);
    assert!(made.contains("is a new log with the identity"), "{made}");
    let backup = here(lines.next().unwrap(), &original);
    server.as_printed(&backup, &original).await.exits(0);
    std::fs::rename(backups.join("wholly.db"), copy.join("wholly.db")).unwrap();
    let restored = Server::start_as_printed(&here(lines.next().unwrap(), &copy), &copy).await;
    let verify = here(lines.next().unwrap(), &original);
    let verified = server.as_printed(&verify, &original).await.exits(0);
    assert!(verified.contains("in doubt   nothing"), "{verified}");
    // Of a log that no server has open.
    let salvage = here(lines.next().unwrap(), &home.path().join("new"));
    server.as_printed(&salvage, &original).await.exits(0);
    for server in [&server, &restored] {
        let mut lines = lines.clone();
        let list = server.as_printed(&lines.next().unwrap(), &original).await.exits(0);
        assert!(list.contains(id) && list.contains("committed, stuck"), "{list}");
        let get = here(lines.next().unwrap(), &original);
        let get = server.as_printed(&get, &original).await.exits(4);
        assert!(get.contains("payments  prepared") && get.contains("stuck"), "{get}");
        // What can be read is not ended so: what else is to be done is said.
        let end = here(lines.next().unwrap(), &original);
        server.as_printed(&end, &original).await.fails(2, "abort");
        assert_eq!(lines.next(), None, "a command line that no test runs");
    }
    let damaged = place("damaged");
    let id = unreadable(&damaged, "ORD001").to_string();
    let server = Server::start(&damaged, &participants).await;
    let end = lines.next_back().unwrap().replace("ID", &id);
    let ended = server.as_printed(&end, &damaged).await.exits(0);
    assert_eq!(ended, format!("{id}  ended by hand\n"));
}

#[test]
fn the_definition_in_the_protocols_makes_sense() {
    let definition = between(&read("docs/protocols.md"), "```json\n", "```").to_owned();
    wholly::Graph::new(serde_json::from_str(&definition).unwrap()).unwrap();
}

/// A folder, or a file with an ending; no route, no address and no command.
fn is_path(code: &str) -> bool {
    let is_plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let ends = [".rs", ".md", ".json", ".toml"].iter().any(|end| code.ends_with(end));
    is_plain && !code.starts_with(['/', '.']) && (ends || code.ends_with('/'))
}

/// The text between single backticks, outside of fenced blocks.
fn code_spans(page: &str) -> Vec<String> {
    let prose = page.split("```").step_by(2);
    let spans = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    spans.map(|code| code.replace('\n', " ")).collect()
}

/// The command lines of a document: what its blocks of `sh` hold. One goes on while a quote is open.
fn lines(document: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    // The last line of a block that is indented is blank.
    for line in blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()) {
        match lines.last_mut() {
            Some(open) if open.matches('\'').count() % 2 == 1 => {
                open.push('\n');
                open.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Sends the request that is printed, and gives the transaction's id.
async fn ask(server: &Server, printed: &str, directory: &Path, state: &str) -> String {
    let line = printed.replace(LISTENS, &server.address().to_string());
    let told = server.as_printed(&line, directory).await.exits(0);
    let answer: Value = serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}"));
    assert_eq!(answer["state"], state, "{told}");
    answer["id"].as_str().unwrap().to_owned()
}

fn read(document: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?}")).0
}
