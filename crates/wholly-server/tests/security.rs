//! Who and what the server keeps out: each protection, by somebody who tries.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

#[path = "security/audit.rs"]
mod audit;
#[path = "security/credentials.rs"]
mod credentials;
#[path = "security/framing.rs"]
mod framing;
#[path = "security/key_scope.rs"]
mod key_scope;
#[path = "security/limits.rs"]
mod limits;
#[path = "security/pages.rs"]
mod pages;
#[path = "security/reload.rs"]
mod reload;
#[path = "security/tls.rs"]
mod tls;

use common::{Little, Reply, Server, run};
use hyper::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use tempfile::{TempDir, tempdir};

const ORDER: &str =
    r#"{"name": "place order", "branches": [{"participant": "orders", "payload": 1}]}"#;
const NOBODY: &str = "/v1/transactions/00000000000000000000000000000000-0000000000000000";
const WHY: &str = r#"{"reason": "seen"}"#;

/// The section that lets in whoever has `token`, which is also their name.
fn token(token: &str, roles: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = '{token}'\nsha256 = '{hash}'\nroles = [{roles}]\n")
}

fn three_tokens() -> String {
    ["submit", "read", "operate"].map(|role| token(role, &format!("'{role}'"))).concat()
}

/// A server with a participant.
struct Guarded {
    directory: TempDir,
    orders: Little,
    server: Server,
}

impl Guarded {
    async fn start(settings: &str) -> Self {
        let (directory, orders) = (tempdir().unwrap(), Little::start().await);
        let server = Server::start_with(directory.path(), &[("orders", &orders)], settings).await;
        Self { directory, orders, server }
    }

    async fn send(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let headers = if token.is_empty() { &headers[1..] } else { &headers[..] };
        self.server.send(method.parse().unwrap(), path, headers, body).await
    }
}

#[tokio::test]
async fn every_route_needs_its_role() {
    let guarded = Guarded::start(&three_tokens()).await;
    let routes = [
        ("POST", "/v1/transactions".to_owned(), ORDER, "submit"),
        ("GET", "/v1/transactions".to_owned(), "", "read"),
        ("HEAD", "/v1/transactions".to_owned(), "", "read"),
        ("GET", NOBODY.to_owned(), "", "read"),
        ("POST", format!("{NOBODY}/abort"), WHY, "operate"),
        ("POST", format!("{NOBODY}/retry"), WHY, "operate"),
        ("POST", format!("{NOBODY}/end"), WHY, "operate"),
        ("POST", format!("{NOBODY}/branches/orders/resolve"), WHY, "operate"),
        ("GET", "/v1/sagas".to_owned(), "", "read"),
        ("GET", "/v1/sagas/x/1".to_owned(), "", "read"),
        ("PUT", "/v1/sagas/x/1".to_owned(), "{}", "operate"),
        ("GET", "/v1/audit".to_owned(), "", "operate"),
        ("POST", "/v1/reload".to_owned(), "", "operate"),
    ];
    for (method, path, body, role) in &routes {
        let told = format!("{method} {path}");
        for wrong in ["", "guessed", "submit read", "Submit"] {
            let reply = guarded.send(wrong, method, path, body).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{told} by {wrong:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer", "{told}");
        }
        for caller in ["submit", "read", "operate"] {
            let status = guarded.send(caller, method, path, body).await.status;
            let turned_away = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            assert_eq!(turned_away, caller != *role, "{told} by {caller}: {status}");
        }
    }
    let reply = guarded.send("read", "POST", "/v1/transactions", ORDER).await;
    let detail = reply.problem(403, "forbidden");
    assert!(detail.contains("read lacks the role submit"), "{detail}");
    // One got through, and it alone.
    assert_eq!(
        guarded.orders.asked_to("prepare").len() + guarded.orders.asked_to("commit").len(),
        2
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_only_to_who_may_call() {
    let guarded = Guarded::start(&three_tokens()).await;
    for path in ["/", "/v1/secrets", "/v1/transactions/x/y"] {
        guarded.send("", "GET", path, "").await.problem(401, "unauthenticated");
        guarded.send("read", "GET", path, "").await.problem(404, "no-such-route");
    }
    guarded.send("", "DELETE", "/v1/transactions", "").await.problem(401, "unauthenticated");
    let reply = guarded.send("read", "DELETE", "/v1/transactions", "").await;
    reply.problem(405, "no-such-method");
    assert_eq!(reply.header("allow"), "POST, GET");
    // Probes have no token.
    assert_eq!(guarded.send("", "GET", "/healthz", "").await.status, StatusCode::OK);
    let basic = [("authorization", "Basic cmVhZDo=")];
    let reply = guarded.server.send(Method::GET, "/v1/transactions", &basic, "").await;
    reply.problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_open_server_takes_no_name_that_may_point_to_it() {
    let guarded = Guarded::start("").await;
    for (host, status) in [
        ("wholly.example", 403),
        ("127.0.0.1.example:7400", 403),
        ("localhost.example", 403),
        ("localhost:7400", 200),
        ("127.0.0.1", 200),
        ("[::1]:7400", 200),
    ] {
        let headers = [("host", host)];
        let reply = guarded.server.send(Method::GET, "/v1/transactions", &headers, "").await;
        assert_eq!(reply.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn a_token_that_was_made_is_let_in_and_the_configuration_holds_only_its_hash() {
    let (code, printed, _) =
        run(&["token", "--name", "o'ada", "--role", "read", "--role", "operate"]);
    assert_eq!(code, Some(0));
    let (token, section) = printed.split_once("\n\n").unwrap();
    assert!(token.starts_with("wholly_") && token.len() == 7 + 43, "{token}");
    assert!(!section.contains(token));
    let (_, another, _) = run(&["token"]);
    assert!(!another.contains(token), "tokens repeat");
    // On all addresses, which only tokens allow.
    let directory = tempdir().unwrap();
    let text = format!("listen = '0.0.0.0:0'\n{section}");
    let server = Server::start_configured(directory.path(), &text).await;
    let bearer = format!("bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let reply = server.send(Method::GET, "/v1/audit", &headers, "").await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let reply = server.send(Method::POST, "/v1/transactions", &headers, ORDER).await;
    assert!(reply.problem(403, "forbidden").contains("o'ada"));
}

#[test]
fn a_configuration_is_checked() {
    let directory = tempdir().unwrap();
    let config = directory.path().join("wholly.toml");
    let name = config.to_str().unwrap();
    std::fs::write(&config, format!("{}[participants.orders]\nurl = 'http://a'\n", three_tokens()))
        .unwrap();
    let (code, said, _) = run(&["config", "check", name]);
    assert_eq!(code, Some(0), "{said}");
    for line in ["listens on http://127.0.0.1:7400", "token submit", "participant orders: http://a"]
    {
        assert!(said.contains(line), "{said} misses {line}");
    }
    std::fs::write(&config, "[participants.a]\nurl = 'http://a'\n[participants.a]\n").unwrap();
    let (code, _, said) = run(&["config", "check", name]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with(&format!("{name}:3:15: `a` is there twice")), "{said}");
}
