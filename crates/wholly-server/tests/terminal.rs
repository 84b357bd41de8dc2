//! What comes from elsewhere reaches no terminal raw: every command of the binary, over a server whose
//! transactions carry control characters of all kinds, and the bytes that it writes.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::PathBuf;

use common::{Little, Publisher, Said, Server, Told, eventually, run, wholly};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Characters of a name.
const NAME: &str = "evil\u{202e}\u{2066}\u{200e}\u{61c}\u{2028}\u{feff}\u{e0041}!";

/// Characters of a reason, a payload and a file's name.
const TEXT: &str = "evil\x1b]0;owned\x07\x1b[2J\x1b[8m\rA\u{7f}\u{85}\u{9b}31m\t\u{202e}\u{2066}\
    \u{200f}\u{61c}\u{2028}\u{2029}\u{feff}!";

/// The same, and a line that looks like one of the command's own.
const LINES: &str = "evil\x1b[2J\u{202e}\nFORGED";

/// Asserts that these bytes may go to a terminal.
#[track_caller]
fn is_harmless(told: &Told, has_colour: bool, at: &[&str]) {
    for text in [&told.stdout, &told.stderr] {
        let text = if has_colour { without_colours(text) } else { text.clone() };
        let found = text.chars().find(|&c| {
            let changes_others = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
            (c.is_control() && c != '\n') || changes_others
        });
        assert_eq!(found, None, "{at:?}: {text:?}");
        let forged = text.lines().find(|line| line.starts_with("FORGED"));
        assert_eq!(forged, None, "{at:?}: {text:?}");
    }
}

/// Without the sequences that the command itself writes.
fn without_colours(text: &str) -> String {
    let own = ["0", "1", "2", "32", "33", "36", "1;31"].map(|code| format!("\x1b[{code}m"));
    own.iter().fold(text.to_owned(), |text, code| text.replace(code, ""))
}

/// The subcommands that a command's help lists.
fn subcommands(path: &[&str]) -> Vec<String> {
    let (_, help, _) = run(&[path, &["--help"]].concat());
    let Some((_, commands)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command that does something, as it is typed.
fn commands() -> Vec<String> {
    let mut all = Vec::new();
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let below = subcommands(&words);
        // One does something without a subcommand, too.
        if below.is_empty() || words == ["conformance"] {
            all.push(words.join(" "));
        }
        paths.extend(below.into_iter().map(|name| [path.clone(), vec![name]].concat()));
    }
    all.sort();
    all
}

/// A server with such transactions, and files of such names.
struct World {
    _directory: TempDir,
    folder: PathBuf,
    server: Server,
    payments: Little,
    refused: String,
    stuck: String,
    _publisher: Publisher,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join(TEXT);
        std::fs::create_dir_all(folder.join("sagas")).unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let publisher = Publisher::start("order").await;
        publisher.says(&event("1").to_string());
        let settings = format!(
            "stuck_after_tries = 1\n[logs]\nlevel = 'debug'\n{}",
            publisher.section("order")
        );
        let server = Server::start_after(
            &folder,
            &[("orders", &orders), ("payments", &payments)],
            &settings,
            "unset WHOLLY_LOG",
            &folder.join("messages"),
        )
        .await;
        orders.says("prepare", Said::RefusedFor(LINES));
        let refused = submit(&server, "orders").await;
        payments.says("commit", Said::Broken);
        let stuck = submit(&server, "payments").await;
        eventually("it is stuck", async || {
            let shown = server.get(&format!("/v1/transactions/{stuck}")).await.json();
            (shown["stuck"] == true).then_some(())
        })
        .await;
        eventually("the feed is read", async || {
            (server.get("/v1/choreographies").await.text.contains("evil")).then_some(())
        })
        .await;
        let world = Self {
            _directory: directory,
            folder,
            server,
            payments,
            refused,
            stuck,
            _publisher: publisher,
        };
        world.write_files();
        world
    }

    fn write_files(&self) {
        let saga = json!({"name": NAME, "version": 1, "steps": [{"name": "pay",
            "participant": "payments", "action": "pay", "compensation": "none"}]});
        let two_phase = json!({"name": NAME,
            "branches": [{"participant": "orders", "payload": {"note": TEXT}}]});
        let mut wrong = saga.clone();
        wrong[LINES] = json!(1);
        wrong["steps"][0]["action"] = json!(LINES);
        for (name, document) in
            [("saga.json", saga), ("2pc.json", two_phase), ("wrong.json", wrong)]
        {
            std::fs::write(self.folder.join(name), document.to_string()).unwrap();
        }
        let config = format!("[participants.{}]\nurl = 'http://a'\n", toml::Value::from(TEXT));
        std::fs::write(self.folder.join("wrong.toml"), config).unwrap();
        let file = self.folder.join("events.db");
        let (code, ..) = run(&["events", "init", file.to_str().unwrap()]);
        assert_eq!(code, Some(0));
        let insert = "INSERT INTO wholly_parked (reaction, source, id, correlation, event, state, \
                      tries, error, at) VALUES ('react', 'order', ?1, ?2, ?3, 'failing', 3, ?4, 1)";
        let parked = ("7", NAME, event("7").to_string(), LINES);
        Connection::open(&file).unwrap().execute(insert, parked).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// The ways in which a command is called. What is marked shows what comes from elsewhere.
    fn calls(&self, command: &str) -> Vec<(bool, Vec<String>)> {
        let (refused, stuck) = (self.refused.as_str(), self.stuck.as_str());
        let file = |name: &str| self.file(name);
        let [log, copy, saved] = ["wholly.db", "copy.db", "saved.db"].map(file);
        let [saga, two_phase, wrong, events] =
            ["saga.json", "2pc.json", "wrong.json", "events.db"].map(file);
        let [toml, missing] = ["wrong.toml", "missing"].map(file);
        let (shows, hides) = (true, false);
        let calls: Vec<(bool, Vec<&str>)> = match command {
            "serve" => vec![(shows, vec!["--config", &toml]), (shows, vec!["--config", &missing])],
            "submit" => vec![
                (shows, vec![&two_phase]),
                (shows, vec![&two_phase, "--json"]),
                (shows, vec![&saga]),
                (shows, vec![&wrong]),
                (shows, vec![&missing]),
            ],
            "get" => vec![
                (shows, vec![refused]),
                (shows, vec![refused, "--json"]),
                (shows, vec![refused, "--color", "always"]),
                (shows, vec![stuck]),
                (shows, vec![NAME, "--pattern", "choreography"]),
                (shows, vec![NAME, "--pattern", "choreography", "--json"]),
                (shows, vec![NAME, "--pattern", "choreography", "--color", "always"]),
                (shows, vec![TEXT]),
            ],
            "list" => vec![
                (shows, vec![]),
                (shows, vec!["--json"]),
                (shows, vec!["--color", "always"]),
                (shows, vec!["--pattern", "choreography"]),
                (shows, vec!["--pattern", "choreography", "--json"]),
                (shows, vec!["--state", TEXT]),
            ],
            "watch" => vec![
                (shows, vec![refused]),
                (shows, vec![refused, "--json"]),
                (shows, vec![refused, "--color", "always"]),
                (hides, vec!["no-such", "--pattern", "choreography"]),
            ],
            "abort" => vec![(hides, vec![refused, "--reason", LINES])],
            "retry" => vec![(hides, vec![stuck, "--reason", LINES])],
            "end" => vec![(hides, vec![stuck, "--reason", LINES])],
            "resolve" => vec![
                (hides, vec![stuck, "payments", "rolled-back", "--reason", LINES]),
                (hides, vec![stuck, TEXT, "committed", "--reason", LINES]),
            ],
            "participants" => vec![(hides, vec![]), (hides, vec!["--json"])],
            "define" => {
                vec![(shows, vec![&saga]), (shows, vec![&saga, "--json"]), (shows, vec![&wrong])]
            }
            "sagas" => vec![
                (shows, vec![]),
                (shows, vec!["--json"]),
                (shows, vec![NAME]),
                (shows, vec![NAME, "--json"]),
                (shows, vec!["no\u{202e}evil"]),
            ],
            "completions" => vec![
                (hides, vec!["bash"]),
                (hides, vec!["zsh"]),
                (hides, vec!["fish"]),
                (shows, vec![TEXT]),
            ],
            "backup" => vec![
                (hides, vec!["--log", &log, "--to", &copy]),
                (shows, vec!["--log", &log, "--to", &log]),
                (shows, vec!["--log", &missing, "--to", &saved]),
            ],
            "log init" => vec![(shows, vec![&log])],
            "log verify" => vec![(shows, vec![&log]), (shows, vec![&two_phase])],
            "log salvage" => vec![(shows, vec![&copy, &saved]), (shows, vec![&log, &copy])],
            "events schema" => vec![(hides, vec!["sqlite"]), (hides, vec!["postgres"])],
            "events init" => vec![(shows, vec![LINES_IN_A_FOLDER])],
            "events cursor" => vec![(shows, vec![&events, "--feed", TEXT])],
            "events parked" => vec![
                (shows, vec![&events]),
                (shows, vec![&events, "--json"]),
                (shows, vec![&two_phase]),
            ],
            "events retry" => vec![(shows, vec![&missing, "1"])],
            "events drop" => vec![(
                shows,
                vec![&events, "1", "--reason", TEXT, "--refusal", "1", "--declaration", &saga],
            )],
            "config check" => vec![(shows, vec![&toml]), (shows, vec![&missing])],
            "token" => vec![(shows, vec!["--name", NAME]), (shows, vec!["--role", TEXT])],
            "check" | "diagram" => vec![
                (shows, vec![&saga]),
                (shows, vec![&two_phase]),
                (shows, vec![&wrong]),
                (shows, vec![&missing]),
            ],
            "choose" => vec![(shows, vec!["--file", &toml]), (shows, vec!["--file", &missing])],
            "conformance" => vec![(shows, vec![TEXT, "--accepted", "1", "--refused", "2"])],
            "conformance events" => vec![(shows, vec!["--feed", TEXT, "--listen", "0"])],
            "compare" => vec![(shows, vec!["--report", LINES_IN_A_FOLDER])],
            "demo" => vec![(hides, vec!["problem"]), (shows, vec![TEXT])],
            bench if bench.starts_with("bench ") => Vec::new(),
            new => panic!("what does the command {new:?} show of what comes from elsewhere?"),
        };
        let words = |words: Vec<&str>| command.split(' ').chain(words).map(str::to_owned).collect();
        let mut calls: Vec<_> =
            calls.into_iter().map(|(shows, call)| (shows, words(call))).collect();
        calls.push((shows, words(vec![TEXT, LINES, "--no-such"])));
        calls
    }
}

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "order", "type": "Ordered", "position": "1",
        "correlationid": NAME, "time": "2026-11-23T08:30:00Z", "data": {"note": TEXT}})
}

const LINES_IN_A_FOLDER: &str = "/nowhere/evil\x1b[2J\u{202e}/file";

async fn submit(server: &Server, participant: &str) -> String {
    let body = json!({"name": NAME,
        "branches": [{"participant": participant, "payload": {"note": TEXT}}]});
    let body = body.to_string();
    let headers = [("idempotency-key", participant), ("prefer", "respond-async")];
    let submitted = server.submit(&headers, &body).await.json();
    submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_writes_what_comes_from_elsewhere_raw() {
    let world = World::new().await;
    let commands = commands();
    assert!(commands.len() > 30, "{commands:?}");
    for command in &commands {
        for (shows, words) in world.calls(command) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let told = world.server.wholly(&words).await;
            is_harmless(&told, words.contains(&"always"), &words);
            let is_shown = told.stdout.contains("evil") || told.stderr.contains("evil");
            let says_usage = told.stderr.contains("Usage:");
            assert!(is_shown || says_usage || !shows, "{words:?}: {told:?}");
        }
    }
    // The server's own messages, of all that was asked for.
    world.payments.says("commit", Said::Done);
    let messages = std::fs::read_to_string(world.folder.join("messages")).unwrap();
    assert!(messages.contains("evil"), "{messages}");
    let told = Told { code: None, stdout: messages, stderr: String::new() };
    is_harmless(&told, false, &["the server's messages"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_for_programs_keeps_its_value() {
    let world = World::new().await;
    let document = |told: Told| -> Value {
        serde_json::from_str(&told.stdout).unwrap_or_else(|why| panic!("{why}: {told:?}"))
    };
    let shown = document(world.server.wholly(&["get", &world.refused, "--json"]).await);
    assert_eq!(shown["name"], NAME);
    assert_eq!(shown["branches"][0]["payload"]["note"], TEXT);
    assert!(shown["reason"].as_str().unwrap().contains(LINES), "{shown}");
    let parked = world.file("events.db");
    let parked = document(world.server.wholly(&["events", "parked", &parked, "--json"]).await);
    assert_eq!([&parked["error"], &parked["correlation"]], [LINES, NAME]);
}

/// Log messages for programs, too, and the error that ends a server.
#[tokio::test(flavor = "multi_thread")]
async fn log_messages_are_harmless_in_each_form() {
    for form in ["text", "json"] {
        let directory = tempfile::tempdir().unwrap();
        let messages = directory.path().join("messages");
        let orders = Little::start().await;
        orders.says("prepare", Said::Broken);
        let settings = format!("[logs]\nformat = '{form}'\nlevel = 'debug'");
        let participants = [("orders", &orders)];
        let server = Server::start_after(
            directory.path(),
            &participants,
            &settings,
            "unset WHOLLY_LOG",
            &messages,
        )
        .await;
        let id = submit(&server, "orders").await;
        let abort = server.wholly(&["abort", &id, "--reason", LINES]).await;
        assert_eq!(abort.code, Some(0), "{abort:?}");
        let text = eventually("it is logged", async || {
            let text = std::fs::read_to_string(&messages).unwrap();
            text.contains("an operator aborts a transaction").then_some(text)
        })
        .await;
        let told = Told { code: None, stdout: text.clone(), stderr: String::new() };
        is_harmless(&told, false, &[form]);
        if form == "json" {
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let reasons: Vec<_> = lines.filter_map(|line| line.get("reason").cloned()).collect();
            assert_eq!(reasons, [LINES]);
        }
    }
}

/// A server that says something else than a server of Wholly would.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_something_else_is_harmless() {
    let page = axum::Router::new().fallback(async || {
        let problem = json!({"type": "/problems/conflict", "title": LINES, "status": 409,
            "detail": LINES, "problems": [{"at": LINES, "what": LINES}, {"at": "b", "what": LINES}]});
        let head = [("content-type", "application/problem+json")];
        (axum::http::StatusCode::CONFLICT, head, problem.to_string())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, page).await });
    for words in [&["list"][..], &["participants"], &["sagas"], &["sagas", "x"]] {
        let told = wholly(&url, words, "").await;
        is_harmless(&told, false, words);
        assert!(told.stderr.contains("evil"), "{told:?}");
    }
    let declared = format!("{url}/choreography");
    for words in [["check", &declared], ["diagram", &declared]] {
        is_harmless(&wholly(&url, &words, "").await, false, &words);
    }
}
