//! A secret that is wrong is not repeated: every setting and every argument that is one or holds one, in
//! every wrong form, and all that the binary writes.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Little, Server, configure};
use tempfile::tempdir;

/// The secret that must not be written, as a text and as a number.
const SECRET: &str = "hunter2x9";
const NUMBER: &str = "7345678";

/// The kind of value in a secret's place, as TOML has it.
fn wrong_values() -> Vec<String> {
    let pem = format!("-----BEGIN PRIVATE KEY-----\\n{SECRET}\\n-----END PRIVATE KEY-----\\n");
    vec![
        format!("'{SECRET}'"),
        SECRET.to_owned(),
        NUMBER.to_owned(),
        format!("{NUMBER}.5"),
        format!("-{NUMBER}"),
        format!("['{SECRET}']"),
        format!("[{NUMBER}]"),
        format!("[['{SECRET}', {NUMBER}]]"),
        format!("{{ {SECRET} = 'x' }}"),
        format!("{{ secret = '{SECRET}' }}"),
        format!("{{ bearer = {NUMBER} }}"),
        format!("{{ basic = '{SECRET}' }}"),
        format!("{{ basic = {{ user = 'a', password = {NUMBER} }} }}"),
        format!("{{ key_id = 'a', secret = {NUMBER} }}"),
        format!("{{ key_id = 'a', secret = '{SECRET}', {SECRET} = 1 }}"),
        format!("[{{ name = 'a', sha256 = '{SECRET}', roles = ['read'] }}]"),
        format!("[{{ name = 'a', sha256 = {NUMBER}, roles = ['read'] }}]"),
        format!("[{{ name = 'a', sha256 = '{SECRET}', roles = ['{SECRET}'] }}]"),
        format!("{{ 'Authorization: {SECRET}' = 'env:PATH' }}"),
        format!("{{ authorization = {NUMBER} }}"),
        format!("\"{SECRET}\\n\\u0007\\u202e\""),
        format!("'{SECRET}, expected a table'"),
        format!("\"\"\"\n{SECRET}\n{SECRET}\"\"\""),
        format!("\"{pem}\""),
        format!("'bearer:{SECRET}'"),
        format!("'http://a:{SECRET}@host/'"),
        format!("'http://a:{SECRET}@host:port/?{SECRET}#{SECRET}'"),
        format!("'a:{SECRET}@host'"),
        // Where there is a secret, and it is too short, or has what it may not have.
        "'env:SHORT'".to_owned(),
        "'env:LINES'".to_owned(),
        "{ bearer = 'env:LINES' }".to_owned(),
        "{ key_id = 'a', secret = 'env:SHORT' }".to_owned(),
    ]
}

/// A setting: its key, its variable, and what else the file has.
struct Setting {
    key: &'static str,
    variable: &'static str,
    section: &'static str,
}

const SETTINGS: [Setting; 15] = [
    setting("tokens", "TOKENS", ""),
    setting("secret", "ALERTS_SECRET", "[alerts]\nurl = 'https://a.test/'\n"),
    setting("url", "ALERTS_URL", "[alerts]\nsecret = 'env:WEBHOOK'\n"),
    setting("key", "TLS_KEY", "[tls]\ncertificate = 'a.pem'\n"),
    setting("headers", "TRACES_HEADERS", "[traces]\n"),
    setting("endpoint", "TRACES_ENDPOINT", "[traces]\n"),
    setting("token", "FEEDS_ORDER_TOKEN", "[feeds.order]\nurl = 'http://a/feed'\n"),
    setting("signing", "FEEDS_ORDER_SIGNING", "[feeds.order]\nurl = 'http://a/feed'\n"),
    setting("url", "FEEDS_ORDER_URL", "[feeds.order]\n"),
    setting("url", "PARTICIPANTS_ORDERS_URL", "[participants.orders]\n"),
    setting("auth", "PARTICIPANTS_ORDERS_AUTH", ORDERS),
    setting("tls", "PARTICIPANTS_ORDERS_TLS", ORDERS),
    setting("tls.key", "", ORDERS),
    setting("signing", "PARTICIPANTS_ORDERS_SIGNING", ORDERS),
    // In the place of a section.
    setting("alerts", "", ""),
];

const ORDERS: &str = "[participants.orders]\nurl = 'https://a'\n";

const fn setting(key: &'static str, variable: &'static str, section: &'static str) -> Setting {
    Setting { key, variable, section }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    all: String,
}

fn said(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.args(arguments).env("WHOLLY_LOG", "trace").env_remove("WHOLLY_TOKEN");
    command.env("SHORT", SECRET).env("LINES", format!("{SECRET}\n\u{7}{SECRET}"));
    command.env("WEBHOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), all: text(output.stdout) + &text(output.stderr) }
}

#[track_caller]
fn is_not_repeated(said: &Said, at: &str) {
    let is_repeated = [SECRET, NUMBER].iter().any(|secret| said.all.contains(secret));
    assert!(!is_repeated, "{at}: {said:?}");
    assert!(!said.all.is_empty(), "{at}: nothing is said");
}

/// Both commands that read a configuration, where it is wrong.
fn is_refused_in_silence(file: &Path, variables: &[(&str, &str)], at: &str) -> bool {
    let file = file.to_str().unwrap();
    let checked = said(&["config", "check", file], variables);
    is_not_repeated(&checked, at);
    if checked.code == Some(0) {
        return false;
    }
    assert_eq!(checked.code, Some(2), "{at}: {checked:?}");
    let served = said(&["serve", "--config", file], variables);
    is_not_repeated(&served, at);
    assert_eq!(served.code, Some(2), "{at}: {served:?}");
    true
}

#[test]
fn a_setting_that_is_wrong_is_not_repeated() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("wholly.toml");
    let (mut refused, mut all) = (0, 0);
    for Setting { key, variable, section } in SETTINGS {
        // An address and a file's name are shown, but for what may be secret in the place of one.
        let is_shown = ["url", "endpoint", "key", "tls.key"].contains(&key);
        let is_secret = |value: &String| {
            let is_text = value.starts_with(['\'', '"', 'h']);
            !is_shown
                || !is_text
                || value.contains(if key.ends_with("key") { "BEGIN" } else { "@" })
        };
        for value in wrong_values().into_iter().filter(is_secret) {
            std::fs::write(&file, format!("{section}{key} = {value}\n")).unwrap();
            refused += usize::from(is_refused_in_silence(&file, &[], &format!("{key} = {value}")));
            all += 1;
            if variable.is_empty() {
                continue;
            }
            std::fs::write(&file, section).unwrap();
            let variable = format!("WHOLLY_{variable}");
            // As people write it, and as the file has it.
            for value in [value.as_str(), value.trim_matches(['\'', '"'])] {
                let at = format!("{variable}={value}");
                refused += usize::from(is_refused_in_silence(&file, &[(&variable, value)], &at));
                all += 1;
            }
        }
    }
    assert!(refused * 10 > all * 9, "{refused} of {all} are refused");
}

#[test]
fn an_argument_that_is_wrong_is_not_repeated() {
    let directory = tempdir().unwrap();
    let database = directory.path().join("events.db").display().to_string();
    assert_eq!(said(&["events", "init", &database], &[]).code, Some(0));
    let conformance = ["conformance", "http://127.0.0.1:1", "--accepted", "1", "--refused", "2"];
    let events = ["conformance", "events", "--listen", "0", "--feed"];
    let cursor = ["events", "cursor", &database, "--feed", "order", "--to", "now", "--reason", "r"];
    let feed = "http://127.0.0.1:1/feed";
    let with = |secret: &str| {
        let bearer = ["--bearer", secret];
        [
            [&conformance[..], &bearer].concat().join("\n"),
            [&conformance[..], &[&format!("--bearer={secret}")]].concat().join("\n"),
            [&conformance[..], &["--signing", secret]].concat().join("\n"),
            [&conformance[..], &["--signing", &format!("a={secret}")]].concat().join("\n"),
            [&events[..], &[feed], &bearer].concat().join("\n"),
            [&cursor[..], &["--url", feed], &bearer].concat().join("\n"),
        ]
    };
    for secret in [SECRET, &format!("bearer:{SECRET}"), "env:SHORT", "env:LINES"] {
        for words in with(secret) {
            let words: Vec<&str> = words.split('\n').collect();
            is_not_repeated(&said(&words, &[]), &words.join(" "));
        }
    }
    let addresses = [
        format!("http://a:{SECRET}@127.0.0.1:1/feed"),
        format!("https://{SECRET}@127.0.0.1:1/choreography"),
        format!("http://a:{SECRET}/{SECRET}@127.0.0.1:port/"),
        format!("postgres://a:{SECRET}@127.0.0.1:1/orders"),
        format!("postgres://a:{SECRET}@127.0.0.1:port/orders"),
        format!("postgres://a@127.0.0.1:1/orders?{SECRET}=1"),
        format!("postgresq://a:{SECRET}@127.0.0.1:1/orders"),
        format!("host=127.0.0.1 user=a password={SECRET}"),
        format!("a:{SECRET}@127.0.0.1:1"),
    ];
    for address in &addresses {
        let address = address.as_str();
        let is_http = address.starts_with("http");
        let is_database = address.starts_with("post") || address.starts_with("host");
        let mut calls = vec![vec!["list", "--retry-for", "0s", "--server", address]];
        if !address.starts_with("host") {
            calls.extend([
                [&["conformance", address][..], &conformance[2..]].concat(),
                [&events[..], &[address]].concat(),
                [&cursor[..], &["--url", address]].concat(),
            ]);
        }
        if is_http {
            calls.extend([vec!["check", address], vec!["diagram", address]]);
        }
        if is_http || is_database {
            calls.extend([
                vec!["events", "parked", address],
                vec!["events", "init", address],
                vec!["events", "retry", address, "1"],
            ]);
        }
        for words in calls {
            is_not_repeated(&said(&words, &[]), &words.join(" "));
        }
        let list = ["list", "--retry-for", "0s"];
        is_not_repeated(&said(&list, &[("WHOLLY_SERVER", address)]), address);
    }
    let token = format!("{SECRET}\n{SECRET}");
    is_not_repeated(&said(&["list"], &[("WHOLLY_TOKEN", &token)]), "WHOLLY_TOKEN");
}

/// A configuration that becomes wrong while the server runs.
#[tokio::test]
async fn a_reload_repeats_no_secret() {
    let directory = tempdir().unwrap();
    let orders = Little::start().await;
    let messages = directory.path().join("messages");
    let participants = [("orders", &orders)];
    let server =
        Server::start_logging(directory.path(), &participants, "", Some("trace"), &messages).await;
    for value in wrong_values() {
        let settings = format!("[alerts]\nurl = 'https://a.test/'\nsecret = {value}\n");
        configure(directory.path(), &participants, &settings);
        let reply = server.post("/v1/reload", "{}").await;
        assert_eq!(reply.status.as_u16(), 422, "{value}: {reply:?}");
        is_not_repeated(&Said { code: None, all: reply.text }, &value);
    }
    let all = std::fs::read_to_string(messages).unwrap();
    is_not_repeated(&Said { code: None, all }, "the server's messages");
}
