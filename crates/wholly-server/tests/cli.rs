//! The command line against the real server: what it does, and its exit codes one by one.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Little, Said, Server, eventually, unreadable, wholly, within};
use serde_json::{Value, json};
use tempfile::TempDir;

const ORDER: &str = "name = 'place order'\n[[branches]]\nparticipant = 'orders'\n\
    payload = { order_id = 'ORD001' }\n[[branches]]\nparticipant = 'payments'\n\
    payload = { amount = 1_000 }\n";

const SAGA: &str = r#"{"pattern": "saga", "input": {"item": "item1"}, "saga": {
    "name": "create order", "version": 1, "steps": [
        {"name": "reserve", "participant": "orders", "compensation": "release"},
        {"name": "charge", "participant": "payments", "compensation": "refund"}]}}"#;

const DEFINITION: &str = "name = 'create order'\nversion = 1\n\
    [[steps]]\nname = 'reserve'\nparticipant = 'orders'\ncompensation = 'release'\n\
    [[steps]]\nname = 'charge'\nparticipant = 'payments'\ncompensation = 'refund'\n";

struct Shop {
    server: Server,
    orders: Little,
    payments: Little,
    directory: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sagas")).unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let participants = [("orders", &orders), ("payments", &payments)];
        let settings = "stuck_after_tries = 2";
        let server = Server::start_with(directory.path(), &participants, settings).await;
        Self { server, orders, payments, directory }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Submits without waiting; the id.
    async fn accepted(&self, text: &str) -> String {
        let arguments = ["submit", "-", "--no-wait", "--json"];
        let told = self.server.wholly_reads(&arguments, text).await.exits(0);
        document(&told)["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, id: &str) -> Value {
        let told = self.server.wholly(&["get", id, "--json"]).await;
        document(&told.stdout)
    }

    async fn becomes(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) {
        eventually(what, async || Some(self.get(id).await).filter(&is)).await;
    }
}

#[track_caller]
fn document(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn what_committed_or_completed_exits_with_0() {
    let shop = Shop::open().await;
    let file = shop.file("order.toml", ORDER);
    let told = shop.server.wholly(&["submit", &file]).await.exits(0);
    let (id, state) = told.trim_end().split_once("  ").unwrap();
    assert_eq!(state, "committed");
    let committed = shop.server.wholly(&["get", id]).await.exits(0);
    assert!(committed.contains("place order") && committed.contains("committed"), "{committed}");
    let payloads = shop.payments.asked_to("commit");
    assert_eq!(payloads, [(id.to_owned(), r#"{"amount":1000}"#.to_owned())]);

    shop.orders.says("reserve", Said::Output(r#"{"at": "shelf 3"}"#));
    let told = shop.server.wholly_reads(&["submit", "-"], SAGA).await.exits(0);
    assert!(told.contains("completed\n  reserve  {\"at\": \"shelf 3\"}\n"), "{told}");
    let told = shop.server.wholly_reads(&["submit", "-", "--json"], SAGA).await.exits(0);
    let done = document(&told);
    assert_eq!(done["state"], "completed");
    assert_eq!(done["outputs"]["reserve"], json!({"at": "shelf 3"}));
    assert_eq!(done["key"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn what_aborted_or_compensated_exits_with_1() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Refused);
    let told = shop.server.wholly_reads(&["submit", "-"], ORDER).await.exits(1);
    assert!(told.contains("aborted\n  payments refused: no stock\n"), "{told}");
    let id = told.split_once("  ").unwrap().0;
    shop.server.wholly(&["get", id]).await.exits(1);

    shop.payments.says("charge", Said::Refused);
    let told = shop.server.wholly_reads(&["submit", "-", "--json"], SAGA).await.exits(1);
    assert_eq!(document(&told)["state"], "compensated");
    assert_eq!(document(&told)["reason"], "charge was refused: no stock");
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_said_with_its_file_and_place() {
    let shop = Shop::open().await;
    let server = &shop.server;
    server.wholly(&["submit", "/nowhere.json"]).await.fails(2, ": /nowhere.json: cannot be read: ");
    let empty = shop.file("empty.json", "");
    server.wholly(&["submit", &empty]).await.fails(2, "empty.json:1:1: EOF while parsing a value");
    let unknown = "{\"name\": \"x\",\n  \"colour\": 1, \"branches\": []}";
    let (indented, twice) = (format!("\n\n  {unknown}"), "name = 'x'\nbranches = 1\nname = 2");
    for (name, text, says) in [
        ("bad.json", "{\"name\":\n \"é\" }}", ":2:7: trailing characters"),
        ("bad.toml", "name = 'x'\nwhen = 2026-01-01\n", ":2:8: JSON has no dates"),
        ("worse.toml", "name = \n", ":1:"),
        ("twice.toml", twice, ":3:1: "),
        // What only the server knows.
        ("colour.json", unknown, ":2:10: unknown field `colour`"),
        ("indented.json", &indented, ":4:10: unknown field `colour`"),
        ("colour.toml", &format!("\ncolour = 'red'\n{ORDER}"), ":2:1: unknown field `colour`"),
        (
            "nobody.toml",
            &ORDER.replace("'payments'", "'nobody'"),
            ": no participant is registered as nobody",
        ),
        ("key.json", "{\"key\": \"\\u00e9\"}", ": a transaction's key"),
    ] {
        let file = shop.file(name, text);
        server.wholly(&["submit", &file]).await.fails(2, &format!(": {file}{says}"));
        let told = server.wholly_reads(&["submit", "-"], text).await;
        told.fails(2, &format!(": the standard input{says}"));
    }
}

#[tokio::test]
async fn what_is_asked_wrong_exits_with_2_and_says_what_to_do() {
    let shop = Shop::open().await;
    let server = &shop.server;
    let nobody = format!("{}-{}", "0".repeat(32), "0".repeat(16));
    server.wholly_reads(&["submit", "-", "--key", "é"], ORDER).await.fails(2, "printable ASCII");
    server.wholly(&["get", &nobody]).await.fails(2, "there is no transaction");
    server.wholly(&["abort", &nobody, "--reason", "x"]).await.fails(2, "no transaction");
    let here = ["participants", "--server", "localhost:7400"];
    server.wholly(&here).await.fails(2, "http://");
    let no_token = ["participants", "--token-file", "/nowhere"];
    server.wholly(&no_token).await.fails(2, "the token in /nowhere cannot be read");
    let no_ca = ["participants", "--ca", &shop.file("ca.pem", "")];
    server.wholly(&no_ca).await.fails(2, "there is no certificate in it");
    let no_pem = ["list", "--cert", &shop.file("shop.pem", ""), "--cert-key", "/nowhere"];
    server.wholly(&no_pem).await.fails(2, "shop.pem cannot be used: there is no certificate");
    for (arguments, says) in [
        (vec!["get", "nonsense"], "32 hex digits"),
        (vec!["abort", &nobody], "--reason"),
        (vec!["submit"], "<FILE>"),
        (vec!["submit", "-", "--wait", "soon"], "like \"250ms\""),
        (vec!["submit", "-", "--wait", "1s", "--no-wait"], "cannot be used with"),
        (vec!["list", "--since", "tomorrow"], "write how long ago"),
        (vec!["list", "--limit", "0"], "0 is not in"),
        (vec!["list", "--cert", "shop.pem"], "--cert-key"),
        (vec!["watch"], "<ID|--all>"),
        (vec!["watch", &nobody, "--all"], "cannot be used with"),
        (vec!["sagas", "create order", "one"], "[VERSION]"),
        (vec!["define"], "<FILE>"),
        (vec!["list", "--all", "--limit", "1"], "cannot be used with"),
        (vec!["resolve", &nobody, "orders", "--as", "done", "--reason", "x"], "compensated"),
        (vec!["completions", "tcsh"], "bash, zsh, fish"),
    ] {
        let told = server.wholly(&arguments).await;
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{arguments:?}: {told:?}");
        assert!(told.stderr.contains(says), "{arguments:?}: {told:?}");
    }
    assert_eq!(shop.orders.asked_to("prepare"), []);
}

#[tokio::test]
async fn what_has_not_settled_exits_with_3() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Broken);
    let told = shop.server.wholly_reads(&["submit", "-", "--wait", "1ms"], ORDER).await.exits(3);
    let (id, state) = told.trim_end().split_once("  ").unwrap();
    assert_eq!(state, "init");
    shop.server.wholly(&["get", id]).await.exits(3);
    let arguments = ["submit", "-", "--wait", "1ms", "--json"];
    let told = shop.server.wholly_reads(&arguments, ORDER).await.exits(3);
    assert_eq!(document(&told)["state"], "init");
}

#[tokio::test]
async fn what_is_stuck_exits_with_4_until_an_operator_resolves_it() {
    let shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let id = &shop.accepted(ORDER).await;
    shop.becomes(id, "it is stuck", |transaction| transaction["stuck"] == true).await;
    let told = shop.server.wholly(&["get", id]).await.exits(4);
    assert!(told.contains("committed, stuck") && told.contains("stuck: "), "{told}");
    let late = ["abort", id, "--reason", "late"];
    shop.server.wholly(&late).await.fails(2, "a decision never changes");

    let retry = ["retry", id, "--reason", "payments is back"];
    assert_eq!(shop.server.wholly(&retry).await.exits(0), format!("{id}  asked again\n"));
    let resolve = ["resolve", id, "payments", "--as", "committed", "--reason", "seen in the books"];
    let wrong = [&resolve[..], &["--output", "1"]].concat();
    shop.server.wholly(&wrong).await.fails(2, "--output is the output of a completed step");
    let nobody = ["resolve", id, "nobody", "--as", "committed", "--reason", "x"];
    shop.server.wholly(&nobody).await.fails(2, "has no such branch or step");
    let told = shop.server.wholly(&resolve).await.exits(0);
    assert_eq!(told, format!("{id}  payments resolved as committed\n"));
    shop.becomes(id, "it settles", |transaction| transaction["settled"] == true).await;
    let told = shop.server.wholly(&["get", id]).await.exits(0);
    assert!(told.contains("resolved payments: committed, seen in the books"), "{told}");
    shop.server.wholly(&resolve).await.fails(2, "");
}

#[tokio::test]
async fn what_cannot_be_read_is_ended_and_how_stays_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let orders = Little::start().await;
    let id = &unreadable(directory.path(), "ORD001").to_string();
    let participants = [("orders", &orders), ("payments", &orders)];
    let server = Server::start(directory.path(), &participants).await;
    let told = server.wholly(&["get", id]).await.exits(4);
    assert!(told.contains("unknown, stuck") && told.contains("place order"), "{told}");
    server.wholly(&["end", id, "--reason", ""]).await.fails(2, "reason must not be empty");
    let end = ["end", id, "--reason", "refunded by hand"];
    assert_eq!(server.wholly(&end).await.exits(0), format!("{id}  ended by hand\n"));
    server.wholly(&end).await.fails(2, "is not in flight");
    // A program must not take it for committed.
    let told = server.wholly(&["get", id]).await.exits(4);
    assert!(told.contains("an operator ended it") && !told.contains("stuck"), "{told}");
    let again = ["submit", "-", "--key", "ORD001"];
    server.wholly_reads(&again, ORDER).await.fails(2, "it is not run again");
}

#[tokio::test]
async fn a_submission_that_gets_stuck_exits_with_4() {
    let shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let keyed = ["submit", "-", "--key", "ORD001", "--no-wait", "--json"];
    let first = document(&shop.server.wholly_reads(&keyed, ORDER).await.exits(0));
    let id = first["id"].as_str().unwrap();
    shop.becomes(id, "it is stuck", |transaction| transaction["stuck"] == true).await;
    // The key joins the first.
    let again = ["submit", "-", "--key", "ORD001", "--wait", "1ms"];
    let told = shop.server.wholly_reads(&again, ORDER).await.exits(4);
    assert_eq!(told, format!("{id}  committed, stuck\n"));
    assert_eq!(shop.orders.asked_to("prepare").len(), 1);
}

#[tokio::test]
async fn a_transaction_is_watched_until_it_has_settled() {
    let shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let id = &shop.accepted(ORDER).await;
    shop.becomes(id, "it is stuck", |transaction| transaction["stuck"] == true).await;
    let listened = "wholly_http_request_seconds_count{method=\"GET\",\
        route=\"/v1/transactions/{id}/events\",status=\"200\"} 1\n";
    let mended = async {
        let metrics = async || Some(shop.server.get("/metrics").await.text);
        let watched = async || metrics().await.filter(|text| text.contains(listened));
        eventually("it is watched", watched).await;
        shop.payments.says("commit", Said::Done);
    };
    let watch = ["watch", id];
    let (told, ()) = tokio::join!(shop.server.wholly(&watch), mended);
    let told = told.exits(0);
    for line in ["init          started", "vote orders: yes", "stuck payments: "] {
        assert!(told.contains(line), "{line} in\n{told}");
    }
    assert!(told.trim_end().ends_with("committed     settled"), "{told}");

    // One that has settled is told whole.
    let lines = shop.server.wholly(&["watch", id, "--json"]).await.exits(0);
    let seen: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen.len(), told.lines().count());
    assert_eq!(seen[0]["transaction"], **id);
    assert!(seen.iter().any(|seen| seen["event"] == "stuck" && seen["stuck"] == true), "{lines}");
    assert_eq!(seen.last().unwrap()["settled"], true);

    shop.payments.says("charge", Said::Refused);
    let id = &shop.accepted(SAGA).await;
    let told = shop.server.wholly(&["watch", id]).await.exits(1);
    assert!(told.contains("turned back because charge was refused: no stock"), "{told}");
    let nobody = format!("{}-{}", "0".repeat(32), "0".repeat(16));
    shop.server.wholly(&["watch", &nobody]).await.fails(2, "no transaction");
}

#[tokio::test]
async fn a_step_is_resolved_with_its_output() {
    let shop = Shop::open().await;
    shop.orders.says("reserve", Said::Broken);
    let id = &shop.accepted(SAGA).await;
    let begun = async || shop.orders.asked(id).first().cloned();
    assert_eq!(eventually("the step begins", begun).await, "reserve");
    let resolve = ["resolve", id, "reserve", "--as", "completed", "--reason", "seen"];
    let resolve = [&resolve[..], &["--output", r#"{"at": 1.50}"#, "--json"]].concat();
    let told = document(&shop.server.wholly(&resolve).await.exits(0));
    assert_eq!(told["id"], **id);
    shop.becomes(id, "it settles", |transaction| transaction["settled"] == true).await;
    let whole = shop.server.wholly(&["get", id, "--json"]).await.exits(0);
    assert!(whole.contains(r#""output":{"at": 1.50}"#), "{whole}");
}

#[tokio::test]
async fn an_undecided_transaction_is_aborted() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Broken);
    let id = &shop.accepted(ORDER).await;
    let abort = ["abort", id, "--reason", "the customer left"];
    for _ in 0..2 {
        assert_eq!(shop.server.wholly(&abort).await.exits(0), format!("{id}  aborted by hand\n"));
    }
    shop.becomes(id, "it settles", |transaction| transaction["settled"] == true).await;
    let told = shop.server.wholly(&["get", id]).await.exits(1);
    assert!(told.contains("cancelled: the customer left"), "{told}");
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_exits_with_5() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let id = format!("{}-{}", "0".repeat(32), "0".repeat(16));
    for arguments in [
        vec!["submit", "-"],
        vec!["get", &id],
        vec!["list"],
        vec!["watch", &id],
        vec!["watch", "--all"],
        vec!["abort", &id, "--reason", "x"],
        vec!["retry", &id, "--reason", "x"],
        vec!["end", &id, "--reason", "x"],
        vec!["resolve", &id, "orders", "--as", "aborted", "--reason", "x"],
        vec!["participants"],
        vec!["sagas"],
        vec!["sagas", "create order"],
        vec!["define", "-"],
    ] {
        let stdin = if arguments[0] == "define" { DEFINITION } else { ORDER };
        let arguments = [&arguments[..], &["--retry-for", "1ms"]].concat();
        let told = wholly(&url, &arguments, stdin).await;
        told.fails(5, "Connection refused (os error 111); check that the server runs there");
    }
}

#[tokio::test]
async fn transactions_are_listed_as_they_are() {
    let shop = Shop::open().await;
    for key in ["a", "b", "c"] {
        shop.server.wholly_reads(&["submit", "-", "--key", key], ORDER).await.exits(0);
    }
    shop.payments.says("prepare", Said::Refused);
    shop.server.wholly_reads(&["submit", "-"], ORDER).await.exits(1);
    shop.payments.says("commit", Said::Broken);
    shop.payments.says("prepare", Said::Done);
    let stuck = shop.accepted(ORDER).await;
    shop.becomes(&stuck, "it is stuck", |transaction| transaction["stuck"] == true).await;
    let listed = async |arguments: &[&str]| -> Vec<Value> {
        let told = shop.server.wholly(&[&["list", "--json"], arguments].concat()).await.exits(0);
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = listed(&["--all"]).await;
    assert_eq!(all.len(), 5);
    assert_eq!((&all[0]["id"], &all[0]["stuck"]), (&json!(stuck), &json!(true)));
    assert_eq!(listed(&["--limit", "2"]).await, all[..2]);
    assert_eq!(listed(&["--stuck"]).await, all[..1]);
    assert_eq!(listed(&["--state", "aborted", "--since", "1h"]).await, all[1..2]);
    let settled = ["--settled", "--participant", "payments", "--name", "place order"];
    assert_eq!(listed(&settled).await, all[1..]);
    assert_eq!(listed(&["--pattern", "saga"]).await, [Value::Null; 0]);
    assert_eq!(listed(&["--until", "2026-01-01"]).await, [Value::Null; 0]);
    shop.server.wholly(&["list", "--state", "done"]).await.fails(2, "done");
}

#[tokio::test]
async fn the_participants_are_shown_as_they_are() {
    let shop = Shop::open().await;
    shop.server.wholly_reads(&["submit", "-"], ORDER).await.exits(0);
    let shown = document(&shop.server.wholly(&["participants", "--json"]).await.exits(0));
    let names: Vec<_> =
        shown["participants"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["orders", "payments"]);
    assert_eq!(shown["participants"][0]["calls"], 2);
    let told = shop.server.wholly(&["participants"]).await.exits(0);
    assert!(told.contains("orders    up"), "{told}");
}

#[tokio::test]
async fn a_saga_is_defined_listed_shown_and_submitted_by_its_name() {
    let shop = Shop::open().await;
    let server = &shop.server;
    let none = document(&server.wholly(&["sagas", "--json"]).await.exits(0));
    assert_eq!(none, json!({"sagas": []}));
    let file = shop.file("create-order.toml", DEFINITION);
    for _ in 0..2 {
        let told = server.wholly(&["define", &file]).await.exits(0);
        assert_eq!(told, "create order, version 1\n");
    }
    let newer = DEFINITION.replace("version = 1", "version = 10");
    let told = server.wholly_reads(&["define", "-", "--json"], &newer).await.exits(0);
    assert_eq!(document(&told), json!({"name": "create order", "version": 10}));
    let told = server.wholly(&["sagas"]).await.exits(0);
    assert_eq!(told, "NAME          VERSION\ncreate order        1\ncreate order       10\n");

    let newest = server.wholly(&["sagas", "create order"]).await.exits(0);
    let step = "\n  1. reserve: orders/reserve, taken back by release\n";
    assert!(newest.starts_with("create order, version 10") && newest.contains(step), "{newest}");
    let first = server.wholly(&["sagas", "create order", "1", "--json"]).await.exits(0);
    assert_eq!(document(&first)["steps"][1]["compensation"], "refund");
    server.wholly_reads(&["define", "-"], &first).await.exits(0);
    let saga = r#"{"pattern": "saga", "saga": {"name": "create order", "version": 1}}"#;
    server.wholly_reads(&["submit", "-"], saga).await.exits(0);

    let other = DEFINITION.replace("'refund'", "'give-back'");
    server.wholly_reads(&["define", "-"], &other).await.fails(2, "another");
    let wrong = shop.file("wrong.toml", &DEFINITION.replace("compensation", "compensatoin"));
    server.wholly(&["define", &wrong]).await.fails(2, "wrong.toml:6:");
    server.wholly(&["define", "/nowhere.toml"]).await.fails(2, "cannot be read");
    server.wholly(&["sagas", "nobody"]).await.fails(2, "there is no saga");
    server.wholly(&["sagas", "create order", "2"]).await.fails(2, "no");
    assert_eq!(std::fs::read_dir(shop.directory.path().join("sagas")).unwrap().count(), 2);
}

/// Reads what two transactions did from one stream; then the one who looks goes.
#[tokio::test]
async fn all_transactions_are_watched_at_once() {
    let shop = Shop::open().await;
    let mut watching = shop.server.wholly_lives(&["watch", "--all", "--json"]);
    let listened = "wholly_http_request_seconds_count{method=\"GET\",route=\"/v1/events\",\
        status=\"200\"} 1\n";
    let metrics = async || Some(shop.server.get("/metrics").await.text);
    let listens = async || metrics().await.filter(|text| text.contains(listened));
    eventually("it is watched", listens).await;
    for text in [ORDER, SAGA] {
        let id = shop.accepted(text).await;
        let settled = async {
            while let Some(line) = watching.line().await {
                let seen: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(seen["transaction"], *id, "{line}");
                if seen["settled"] == true {
                    return;
                }
            }
            panic!("the events ended");
        };
        within("it settles", settled).await;
    }
}
