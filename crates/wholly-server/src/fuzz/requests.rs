//! Requests to the API: valid ones for every route, from `openapi.json`, and their mutations.
//!
//! A request is a text: a line with method and path, headers, an empty line, the body. `$settled`
//! and the like in its head stand for transactions that the server has, and the body `$huge` for
//! one that is too large. Requests with a token go to a router that knows tokens, and those of
//! whom it calls `limited` to a server of its own, whose limits are reached at once.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::count;
use super::server::{IDS, Server};
use super::targets::Check;
use crate::api::ROUTES;
use crate::config::BODY_LIMIT;
use crate::problem::Kind;

/// The number of requests to one coordinator, whose log is in memory.
const REQUESTS: u32 = 500;

/// The time a client waits for a transaction's end, or for a change. One of a thousand waits in
/// vain, which is most of the time that requests take.
const PATIENCE: Duration = Duration::from_millis(50);
const WAITS: &str = "no answer yet to who waits";

/// The problems that no request can meet here, and the reason.
const OUT_OF_REACH: [(&str, &str); 7] = [
    ("slow-body", "every body is there at once"),
    ("busy", "one request is in progress at a time"),
    ("audit-failed", "the disk does not fail"),
    ("invalid-configuration", "nobody reads a configuration again: shutting-down"),
    ("too-many-listeners", "one listens at a time"),
    ("unavailable", "the log does not fail"),
    ("internal", "that would be a fault"),
];

/// Every route, done as it is asked, and every problem.
pub fn must() -> Vec<String> {
    let done = ROUTES.iter().filter(|(_, path)| *path != "/v1/reload");
    let done = done.map(|(method, path)| format!("2xx {} {path}", method.to_uppercase()));
    let is_in_reach = |name: &str| OUT_OF_REACH.iter().all(|(other, _)| *other != name);
    let problems = Kind::ALL.iter().filter(|(name, _)| is_in_reach(name));
    done.chain(problems.map(|(name, status)| format!("{status} {name}"))).collect()
}

/// Of every route of the document each example, for each transaction, and with each parameter.
pub fn examples() -> Vec<Vec<u8>> {
    let document: Value = serde_json::from_str(include_str!("../api/openapi.json")).unwrap();
    let mut requests = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let bodies = &operation["requestBody"]["content"]["application/json"]["examples"];
            let bodies = bodies.as_object().into_iter().flat_map(|bodies| bodies.values());
            let mut bodies: Vec<_> = bodies.map(|body| body["value"].to_string()).collect();
            if bodies.is_empty() {
                bodies.push(String::new());
            }
            for path in paths(path, parameters) {
                for (query, header) in options(parameters) {
                    for body in &bodies {
                        let method = method.to_uppercase();
                        let head = format!("{method} {path}{query}\n{header}");
                        let json =
                            if method == "GET" { "" } else { "content-type: application/json\n" };
                        requests.push(format!("{head}{json}\n{body}").into_bytes());
                    }
                }
            }
        }
    }
    requests
}

fn paths(path: &str, parameters: &[Value]) -> Vec<String> {
    let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
    let path = of_path.fold(path.to_owned(), |path, parameter| {
        let (name, example) = (parameter["name"].as_str().unwrap(), text(&parameter["example"]));
        let example = if name == "branch" { "$branch" } else { &example };
        match name {
            "id" => path,
            _ => path.replace(&format!("{{{name}}}"), example),
        }
    });
    match path.contains("{id}") {
        true => IDS.map(|id| path.replace("{id}", id)).into(),
        false => vec![path],
    }
}

/// A query and headers: none, and each parameter's example.
fn options(parameters: &[Value]) -> Vec<(String, String)> {
    let mut options = vec![Default::default()];
    for parameter in parameters.iter().filter(|parameter| !parameter["example"].is_null()) {
        let (name, example) = (parameter["name"].as_str().unwrap(), text(&parameter["example"]));
        match parameter["in"].as_str() {
            Some("query") => options.push((format!("?{name}={example}"), String::new())),
            Some("header") => options.push((String::new(), format!("{name}: {example}\n"))),
            _ => {}
        }
    }
    options
}

/// Encodes a text for a path or a query.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.replace(' ', "%20"))
}

/// A server, asked again and again.
pub fn check() -> Check {
    let (mut server, mut requests) = (Server::start(), 0);
    Box::new(move |input, reached| {
        let Some(request) = parsed(input, &server) else {
            count(reached, "no request at all");
            return false;
        };
        requests += 1;
        if requests % REQUESTS == 0 {
            server.renew();
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let router = server.router(request.headers());
        let came = server.runtime.block_on(async {
            let answered = async { outcome(&method, router.oneshot(request).await.unwrap()).await };
            let submits = path == "/v1/transactions" && method == Method::POST;
            match submits || path.starts_with("/v1/choreographies/") {
                // It waits until its deadline for one that is stuck, or for a change that does not
                // come: the client hangs up.
                true => timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err(WAITS.into())),
                false => answered.await,
            }
        });
        let is_done = came.is_ok();
        count(reached, came.err().unwrap_or_else(|| format!("2xx {}", route(&method, &path))));
        is_done
    })
}

/// `Ok` if the request was done; else its status and the kind of problem.
async fn outcome(method: &Method, reply: Response) -> Result<(), String> {
    let status = reply.status();
    if reply.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        // It ends when nobody listens.
        if method != Method::HEAD {
            let first = reply.into_body().frame().await.unwrap().unwrap();
            assert!(first.data_ref().unwrap().starts_with(b"retry: "), "{first:?}");
        }
        return Ok(());
    }
    let body = to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body:?}");
    if status.is_success() {
        return Ok(());
    }
    if method == Method::HEAD {
        return Err(format!("{} without a body", status.as_u16()));
    }
    let problem: Value = serde_json::from_slice(&body).unwrap();
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap();
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    assert!(Kind::ALL.contains(&(kind, status.as_u16())), "{problem}");
    Err(format!("{} {kind}", status.as_u16()))
}

/// The route to which a path leads.
fn route(method: &Method, path: &str) -> String {
    let leads = |route: &str| {
        let same = |(part, other): (&str, &str)| part.starts_with('{') || part == other;
        route.split('/').count() == path.split('/').count()
            && route.split('/').zip(path.split('/')).all(same)
    };
    let found = ROUTES.iter().find(|(_, route)| leads(route));
    format!("{method} {}", found.map_or("nowhere", |(_, route)| route))
}

fn parsed(input: &[u8], server: &Server) -> Option<Request<Body>> {
    static HUGE: LazyLock<Bytes> = LazyLock::new(|| vec![b' '; BODY_LIMIT + 1].into());
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (&input[..end], &input[end + 2..]);
    let named = str::from_utf8(head).ok().filter(|head| head.contains('$')).map(|head| {
        let head = server.ids().fold(head.to_owned(), |head, (name, id)| head.replace(name, id));
        head.replace("$branch", "never-2")
    });
    let mut lines = named.as_deref().map_or(head, str::as_bytes).split(|byte| *byte == b'\n');
    let line = lines.next()?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let mut request =
        Request::builder().method(Method::from_bytes(&line[..space]).ok()?).uri(&line[space + 1..]);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let body = if body.starts_with(b"$huge") { HUGE.clone() } else { body.to_vec().into() };
    request.body(Body::from(body)).ok()
}
