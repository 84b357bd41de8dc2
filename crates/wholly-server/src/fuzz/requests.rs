//! Requests to the API: valid ones for every route, from `openapi.json`, and a server to ask.
//!
//! A request is a text: a line with method and path, headers, an empty line, the body. `$settled`
//! and the like in its head stand for transactions that the server has, and the body `$huge` for
//! one that is too large. Requests with a token go to a router that knows tokens.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::{Router, response::Response};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tower::ServiceExt;
use wholly::{Answer, Call, Coordinator, MemoryLog, Participant, Settings};
use wholly_core::LogId;

use super::targets::Check;
use crate::access::{Access, Caller, Role, Sha256};
use crate::api::{self, BODY_LIMIT, Hub, Kind, ROUTES};
use crate::audit::Audit;
use crate::config::Config;
use crate::gate::{Gate, Rules};
use crate::sagas::Sagas;
use crate::traces::Traces;

/// So many requests go to one coordinator, whose log is in memory.
const REQUESTS: u32 = 500;

/// How long a client waits for the end of what it submits.
const PATIENCE: Duration = Duration::from_millis(500);
const WAITS: &str = "no answer yet to a submission";

/// What no request can come to here, and why.
const OUT_OF_REACH: [(&str, &str); 11] = [
    ("trimmed", "nothing is deleted"),
    ("rate-limited", "there is no limit: it would be one of the machine's speed"),
    ("slow-body", "every body is there at once"),
    ("busy", "one request is in progress at a time"),
    ("audit-failed", "the disk does not fail"),
    ("invalid-configuration", "nobody reads a configuration again: shutting-down"),
    ("overloaded", "too few are in flight"),
    ("participant-overloaded", "too few are in flight"),
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
                            if body.is_empty() { "" } else { "content-type: application/json\n" };
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

/// As it stands in a path or a query.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.replace(' ', "%20"))
}

/// What stands for transactions, and how they are submitted.
const IDS: [&str; 4] = ["$settled", "$undecided", "$unsettled", "$running"];
const SUBMITTED: [&str; 4] = [
    r#"{"name":"a","branches":[{"participant":"p","payload":1}]}"#,
    r#"{"name":"b","branches":[{"participant":"p","payload":1},{"participant":"never-1","payload":1}]}"#,
    r#"{"name":"c","branches":[{"participant":"p","payload":1},{"participant":"never-2","payload":1}]}"#,
    r#"{"pattern":"saga","saga":{"name":"d","version":1,"steps":[
        {"name":"never-2","participant":"never-1","compensation":false}]}}"#,
];

/// Says yes; or never says whether it prepared, or committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Yes,
    No,
    NeverPrepared,
    NeverCommitted,
}

impl Says {
    fn answer(self, never: Self) -> Answer {
        match self {
            Self::No if never == Self::NeverPrepared => Answer::refused("no"),
            says if says == never => Answer::Pending { retry_after: Some(Duration::from_secs(60)) },
            _ => Answer::Done,
        }
    }
}

impl Participant for Says {
    async fn prepare(&self, _: Call) -> Answer {
        self.answer(Self::NeverPrepared)
    }

    async fn commit(&self, _: Call) -> Answer {
        self.answer(Self::NeverCommitted)
    }

    async fn abort(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn action(&self, _: Call) -> Answer {
        self.answer(Self::NeverPrepared)
    }

    async fn compensate(&self, _: Call) -> Answer {
        Answer::Done
    }
}

/// A server, asked again and again.
pub fn check() -> Check {
    let (mut server, mut requests) = (Server::start(), 0);
    Box::new(move |input, reached| {
        let Some(request) = parsed(input, &server.ids) else {
            reached.count("no request at all");
            return false;
        };
        requests += 1;
        if requests % REQUESTS == 0 {
            server = Server::start();
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let router = match request.headers().contains_key(AUTHORIZATION) {
            true => server.guarded.clone(),
            false => server.open.clone(),
        };
        let came = server.runtime.block_on(async {
            let answered = async { outcome(&method, router.oneshot(request).await.unwrap()).await };
            match path == "/v1/transactions" && method == Method::POST {
                // It waits until its deadline for one that is stuck: the client hangs up.
                true => timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err(WAITS.into())),
                false => answered.await,
            }
        });
        let is_done = came.is_ok();
        reached.count(came.err().unwrap_or_else(|| format!("2xx {}", route(&method, &path))));
        is_done
    })
}

struct Server {
    runtime: tokio::runtime::Runtime,
    open: Router,
    guarded: Router,
    ids: Vec<String>,
    _files: TempDir,
}

impl Server {
    fn start() -> Self {
        // In memory where there is such a place: what is written is synced.
        let files = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (open, guarded, ids) = runtime.block_on(async {
            let mut settings = Settings::default();
            // So long waits who submits what is never answered.
            settings.patience = Duration::from_millis(20);
            let coordinator = Coordinator::builder(MemoryLog::new(LogId::from_bits(9)))
                .settings(settings)
                .participant("p", Says::Yes)
                .participant("orders", Says::Yes)
                .participant("payments", Says::Yes)
                .participant("no", Says::No)
                .participant("never-1", Says::NeverPrepared)
                .participant("never-2", Says::NeverCommitted);
            let coordinator = coordinator.start().await.unwrap();
            let sagas = Sagas::load(files.path().to_owned()).unwrap();
            let hub = Hub::new(coordinator.clone());
            let all = vec![Role::Submit, Role::Read, Role::Operate];
            let operator = (Sha256::of(b"operator"), Caller::new("operator", all));
            let reader = (Sha256::of(b"reader"), Caller::new("reader", vec![Role::Read]));
            let access = Access::new(vec![operator, reader], Vec::new(), false);
            let [open, guarded] = [None, Some(access)].map(|access| gate(files.path(), access));
            let traces = Traces::start(None).unwrap();
            let none = Sagas::default();
            let again = (coordinator.clone(), hub.clone(), traces.clone());
            let guarded = api::router(again.0, none, guarded, again.1, true, again.2);
            let open = api::router(coordinator, sagas, open, hub, true, traces);
            let mut ids = Vec::new();
            for submitted in SUBMITTED {
                ids.push(submit(&open, submitted).await);
            }
            (open, guarded, ids)
        });
        Self { runtime, open, guarded, ids, _files: files }
    }
}

async fn submit(router: &Router, body: &'static str) -> String {
    let request = Request::post("/v1/transactions").header("prefer", "wait=0");
    let request = request.header(CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
    let reply = router.clone().oneshot(request).await.unwrap().into_body();
    let reply: Value = serde_json::from_slice(&to_bytes(reply, usize::MAX).await.unwrap()).unwrap();
    reply["id"].as_str().unwrap().to_owned()
}

/// As of a server whose configuration says nothing but who may call.
fn gate(files: &Path, access: Option<Access>) -> Arc<Gate> {
    let Config { access: everybody, limits, .. } = Config::of("").unwrap();
    let audit = Audit::open(files.join("audit.jsonl")).unwrap();
    // Nobody answers to a reload, which is then refused.
    let (reload, _) = tokio::sync::mpsc::channel(1);
    let rules = Rules { access: access.unwrap_or(everybody), limits, tls: None };
    Arc::new(Gate::new(rules, audit, reload))
}

/// Whether it was done; else its status and the kind of problem.
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

fn parsed(input: &[u8], ids: &[String]) -> Option<Request<Body>> {
    static HUGE: LazyLock<Bytes> = LazyLock::new(|| vec![b' '; BODY_LIMIT + 1].into());
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (&input[..end], &input[end + 2..]);
    let named = str::from_utf8(head).ok().filter(|head| head.contains('$')).map(|head| {
        let head =
            IDS.iter().zip(ids).fold(head.to_owned(), |head, (name, id)| head.replace(name, id));
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
