//! What is thrown at, and what must hold of it.

use std::path::Path;
use std::str::from_utf8;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, StatusCode};
use tower::ServiceExt;
use wholly::{Answer, Call, Coordinator, MemoryLog, Participant};
use wholly_core::saga::Graph;
use wholly_core::wire::{HttpAnswer, Operation};
use wholly_core::{LogId, Payload, entry};

use crate::api::{self, Hub};
use crate::audit::Audit;
use crate::config::Config;
use crate::definition::{Format, read};
use crate::gate::{Gate, Rules};
use crate::sagas::Sagas;
use crate::traces::Traces;

/// Whether the input was understood; panics where something does not hold.
type Check = Box<dyn FnMut(&[u8]) -> bool>;

pub struct Target {
    pub name: &'static str,
    /// For each thread one.
    pub prepare: fn() -> Check,
    /// Of all inputs.
    pub share: u64,
}

pub const TARGETS: [Target; 5] = [
    Target { name: "entry", prepare: || Box::new(entry), share: 35 },
    Target { name: "answer", prepare: || Box::new(answer), share: 25 },
    Target { name: "definition", prepare: || Box::new(definition), share: 20 },
    Target { name: "configuration", prepare: || Box::new(configuration), share: 10 },
    Target { name: "request", prepare: request, share: 10 },
];

/// A record's text.
fn entry(input: &[u8]) -> bool {
    let Ok(records) = from_utf8(input).map_err(drop).and_then(|t| entry::decode(t).map_err(drop))
    else {
        return false;
    };
    let text = entry::encode(&records).unwrap();
    // Without any record nothing says of which pattern it was.
    if !records.is_empty() {
        assert_eq!(entry::decode(&text).unwrap(), records, "{text}");
    }
    true
}

/// What a participant answered.
fn answer(input: &[u8]) -> bool {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let text = |line: Option<&[u8]>| String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let (status, said) = (text(lines.next()), text(lines.next()));
    let body = lines.next().unwrap_or_default();
    let status = status.parse().unwrap_or(input.len() as u16 % 600);
    let mut understood = false;
    for operation in [Operation::Prepare, Operation::Action, Operation::Commit] {
        for (cut_off, json) in [(false, true), (true, true), (false, false)] {
            let answer = Some(&*said);
            let seen = HttpAnswer { status, answer, retry_after: None, body, cut_off, json };
            match seen.meaning(operation, &[400]) {
                Answer::Refused { .. } => {
                    let said_so = [409, 422].contains(&status) && said == "refused";
                    assert!(said_so || status == 400, "{status} {said}");
                }
                Answer::DoneWith { output } => {
                    assert_eq!(Payload::parse(output.as_str()).unwrap(), output);
                }
                Answer::Heuristic { .. } => assert!(status == 410 && said == "heuristic"),
                Answer::Unknown { .. } => continue,
                _ => {}
            }
            understood = true;
        }
    }
    understood
}

/// A saga's definition, with its references.
fn definition(input: &[u8]) -> bool {
    let Ok(text) = from_utf8(input) else { return false };
    let Ok(graph) = read(text, Format::of_text(text)) else { return false };
    let written = serde_json::to_string(graph.definition()).unwrap();
    let again = read(&written, Format::Json);
    let again = again.unwrap_or_else(|why| panic!("{} of {written}", why[0]));
    assert!(again.definition().same_as(graph.definition()), "{written}");
    fill(&graph);
    true
}

fn fill(graph: &Graph) {
    let input = Payload::parse(r#"{"n":1,"steps":[0,{"a":"\u00e9"}],"input":null}"#).unwrap();
    for node in graph.nodes() {
        if let Ok(payload) = node.template.fill(Payload::LIMIT, &input, |_| Some(&input)) {
            assert_eq!(Payload::parse(payload.as_str()).unwrap(), payload);
        }
    }
    let _ = graph.accepts(&input);
}

fn configuration(input: &[u8]) -> bool {
    from_utf8(input).is_ok_and(|text| Config::of(text).is_some())
}

struct Yes;

impl Participant for Yes {
    async fn prepare(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn action(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn compensate(&self, _: Call) -> Answer {
        Answer::Done
    }
}

/// So many requests go to one coordinator, whose log is in memory.
const REQUESTS: u32 = 20_000;

/// A request to the API, with a coordinator behind it.
fn request() -> Check {
    let audit = tempfile::tempdir().unwrap();
    let (mut server, mut requests) = (serve(audit.path()), 0);
    Box::new(move |input| {
        let Some(request) = parsed(input) else { return false };
        requests += 1;
        if requests % REQUESTS == 0 {
            server = serve(audit.path());
        }
        let (runtime, router) = &server;
        runtime.block_on(ask(router.clone(), request))
    })
}

/// As of a server whose configuration says nothing.
fn gate(audit: &Path) -> Arc<Gate> {
    let Config { access, limits, .. } = Config::of("").unwrap();
    let audit = Audit::open(audit.join("audit.jsonl")).unwrap();
    // Nobody answers to a reload, which is then refused.
    let (reload, _) = tokio::sync::mpsc::channel(1);
    Arc::new(Gate::new(Rules { access, limits, tls: None }, audit, reload))
}

fn serve(audit: &Path) -> (tokio::runtime::Runtime, axum::Router) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let router = runtime.block_on(async {
        let coordinator =
            Coordinator::builder(MemoryLog::new(LogId::from_bits(9))).participant("p", Yes);
        let coordinator = coordinator.start().await.unwrap();
        let hub = Hub::new(coordinator.clone());
        let traces = Traces::start(None).unwrap();
        api::router(coordinator, Sagas::default(), gate(audit), hub, traces)
    });
    (runtime, router)
}

async fn ask(router: axum::Router, request: Request<Body>) -> bool {
    let reply = router.oneshot(request).await.unwrap();
    let status = reply.status();
    if reply.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        // It ends when nobody listens.
        return true;
    }
    let body = to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body:?}");
    if status.is_client_error() {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], status.as_u16(), "{problem}");
    }
    status.is_success()
}

/// A line with method and path, headers, an empty line, the body.
fn parsed(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let line = lines.next()?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let mut request =
        Request::builder().method(Method::from_bytes(&line[..space]).ok()?).uri(&line[space + 1..]);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    request.body(Body::from(input[end + 2..].to_vec())).ok()
}
