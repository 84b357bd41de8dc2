//! Spans, from the real server to a collector: one trace from the client to the participants.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;
#[path = "common/otlp.rs"]
mod otlp;

use std::collections::BTreeSet;

use common::{Little, Reply, Said, Server, eventually, run};
use hyper::Method;
use otlp::{Collector, Span};
use tempfile::TempDir;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const RECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_RECORDED: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": "SECRET"}, {"participant": "payments", "payload": 2}]}"#;
const SAGA: &str = r#"{"pattern": "saga", "input": "SECRET", "saga": {
    "name": "create order", "version": 1, "steps": [
    {"name": "reserve", "participant": "orders", "compensation": "release"},
    {"name": "charge", "participant": "payments", "compensation": "refund"}]}}"#;

const SERVER: u64 = 2;
const CLIENT_SIDE: u64 = 3;

struct Shop {
    orders: Little,
    payments: Little,
    directory: TempDir,
}

impl Shop {
    async fn new() -> Self {
        let (orders, payments) = (Little::start().await, Little::start().await);
        Self { orders, payments, directory: tempfile::tempdir().unwrap() }
    }

    /// With these keys of `[traces]`.
    async fn open(&self, traces: &str) -> Server {
        let traces = format!("[traces]\n{traces}");
        Server::start_with(self.directory.path(), &self.participants(), &traces).await
    }

    fn participants(&self) -> [(&str, &Little); 2] {
        [("orders", &self.orders), ("payments", &self.payments)]
    }

    /// The parents that the calls of a transaction named, with the operation.
    fn seen(&self, id: &str) -> Vec<(String, String)> {
        let calls = [&self.orders, &self.payments].into_iter().flat_map(|who| who.traces(id));
        calls.map(|(operation, trace)| (operation, trace.parent.concat())).collect()
    }
}

fn id_of(reply: &Reply) -> String {
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn calls(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == CLIENT_SIDE).collect()
}

/// The spans of a trace, once that of its transaction is there.
async fn whole(collector: &Collector, trace: &str) -> Vec<Span> {
    eventually("the transaction's span arrives", async || {
        Some(collector.trace(trace)).filter(|spans| !named(spans, "transaction").is_empty())
    })
    .await
}

fn keeps_secrets(collector: &Collector) {
    for taken in collector.taken() {
        let text = String::from_utf8_lossy(&taken.body);
        assert!(!text.contains("SECRET") && !text.contains("no stock"), "{text}");
    }
}

#[tokio::test]
async fn one_trace_from_the_client_to_the_participants_also_over_a_restart() {
    let (shop, collector) = (Shop::new().await, Collector::start().await);
    let token = shop.directory.path().join("token");
    std::fs::write(&token, "Bearer collector").unwrap();
    let traces = format!(
        "endpoint = '{}'\nservice_name = 'till'\nheaders = {{ authorization = 'file:{}' }}",
        collector.url(),
        token.display()
    );
    let server = shop.open(&traces).await;
    shop.payments.says("commit", Said::Broken);
    let headers =
        [("prefer", "respond-async"), ("traceparent", RECORDED), ("tracestate", "rojo=1")];
    let id = id_of(&server.submit(&headers, ORDER).await);
    // Both are there before the process dies, which takes along what it has not told.
    eventually("the request and a commit are told", async || {
        let spans = collector.trace(TRACE);
        let told = ["POST /v1/transactions", "commit payments"];
        told.iter().all(|name| !named(&spans, name).is_empty()).then_some(())
    })
    .await;
    let server = server.kill_and_restart().await;
    let before = shop.seen(&id).len();
    shop.payments.says("commit", Said::Done);
    server.settled(&format!("/v1/transactions/{id}")).await;
    let spans = whole(&collector, TRACE).await;
    assert!(shop.seen(&id).len() > before, "asked again after the restart");

    let [request] = named(&spans, "POST /v1/transactions")[..] else { panic!("{spans:#?}") };
    assert_eq!((request.parent.as_str(), request.kind), (CLIENT, SERVER));
    assert_eq!(request.attributes["wholly.transaction"], id);
    assert_eq!(request.attributes["http.response.status_code"], "202");
    let [transaction] = named(&spans, "transaction")[..] else { panic!("{spans:#?}") };
    assert_eq!(transaction.parent, request.id);
    for (key, value) in [
        ("wholly.transaction", id.as_str()),
        ("wholly.pattern", "two-phase"),
        ("wholly.name", "place order"),
        ("wholly.state", "committed"),
    ] {
        assert_eq!(transaction.attributes[key], value, "{transaction:?}");
    }
    let seen = shop.seen(&id);
    assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len(), "each call has its own");
    let calls = calls(&spans);
    for call in &calls {
        assert_eq!(call.parent, transaction.id, "{call:?}");
        assert!(transaction.began <= call.began && call.ended <= transaction.ended, "{call:?}");
        // What the participant was sent is this very span.
        let operation = call.attributes["wholly.operation"].clone();
        let parent = format!("00-{TRACE}-{}-01", call.id);
        assert!(seen.contains(&(operation, parent)), "{call:?}: {seen:?}");
    }
    let answers = |name| -> BTreeSet<(&str, bool)> {
        let calls = calls.iter().filter(|call| call.name == name);
        calls.map(|call| (call.attributes["wholly.answer"].as_str(), call.failed)).collect()
    };
    assert_eq!(answers("prepare orders"), [("done", false)].into());
    assert_eq!(answers("commit payments"), [("done", false), ("unknown", true)].into());
    for span in &spans {
        assert_eq!((span.service.as_str(), span.state.as_str()), ("till", "rojo=1"), "{span:?}");
    }
    for taken in collector.taken() {
        assert_eq!(taken.headers["authorization"], "Bearer collector");
        assert_eq!(taken.headers["content-type"], "application/x-protobuf");
    }
    keeps_secrets(&collector);
}

#[tokio::test]
async fn a_trace_begins_here_where_the_client_has_none() {
    let (shop, collector) = (Shop::new().await, Collector::start().await);
    let server = shop.open(&format!("endpoint = '{}/'", collector.url())).await;
    shop.payments.says("charge", Said::Refused);
    let id = id_of(&server.submit(&[], SAGA).await);
    let seen = shop.seen(&id);
    let trace = seen[0].1[3..35].to_owned();
    let spans = whole(&collector, &trace).await;
    let [request] = named(&spans, "POST /v1/transactions")[..] else { panic!("{spans:#?}") };
    assert_eq!((request.parent.as_str(), request.service.as_str()), ("", "wholly"));
    let [transaction] = named(&spans, "transaction")[..] else { panic!("{spans:#?}") };
    assert_eq!(transaction.parent, request.id);
    assert_eq!(transaction.attributes["wholly.pattern"], "saga");
    assert_eq!(transaction.attributes["wholly.state"], "compensated");
    let said = |call: &&Span| {
        let of = |key| call.attributes[key].clone();
        (call.name.clone(), of("wholly.branch"), of("wholly.pattern"), of("wholly.answer"))
    };
    let said: Vec<_> = calls(&spans).iter().map(said).collect();
    let expected = [
        ("reserve orders", "reserve", "saga", "done"),
        ("charge payments", "charge", "saga", "refused"),
        ("release orders", "reserve", "saga", "done"),
    ];
    let expected = expected.map(|(a, b, c, d)| (a.into(), b.into(), c.into(), d.into()));
    assert_eq!(said, expected);
    keeps_secrets(&collector);
}

#[tokio::test]
async fn the_share_counts_where_the_client_does_not_say_it() {
    let (shop, collector) = (Shop::new().await, Collector::start().await);
    let server = shop.open(&format!("endpoint = '{}'\nsampled = 0.0", collector.url())).await;
    // Not recorded here, and the participants know it: all of them, of one trace.
    let seen = shop.seen(&id_of(&server.submit(&[], ORDER).await));
    assert!(seen.iter().all(|(_, parent)| parent[3..] == seen[0].1[3..]), "{seen:?}");
    assert!(seen[0].1.ends_with("-00"), "{seen:?}");
    // Not recorded by the client: carried on as it came.
    let given = [("traceparent", NOT_RECORDED)];
    let seen = shop.seen(&id_of(&server.submit(&given, ORDER).await));
    assert!(seen.len() == 4 && seen.iter().all(|(_, parent)| parent == NOT_RECORDED), "{seen:?}");
    // Recorded by the client: told. It is the last, and the only one.
    server.submit(&[("traceparent", RECORDED)], ORDER).await;
    whole(&collector, TRACE).await;
    assert_eq!(server.terminate().await.0, Some(0));
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    // The end tells what is left: two calls to each participant, the transaction, the request.
    assert_eq!(spans.len(), 6, "{spans:#?}");
}

#[tokio::test]
async fn a_collector_that_is_down_loses_spans_and_nothing_else() {
    let shop = Shop::new().await;
    // Nobody listens there any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let server = shop.open(&format!("endpoint = 'http://{address}'")).await;
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
    eventually("the dropped spans are counted", async || {
        (dropped(&server).await == 6).then_some(())
    })
    .await;
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
}

#[tokio::test]
async fn a_collector_that_hangs_keeps_neither_transactions_nor_the_end() {
    let shop = Shop::new().await;
    // Connections are made, and nobody answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("endpoint = 'http://{}'", silent.local_addr().unwrap());
    let server = shop.open(&endpoint).await;
    let order = async |number: u32| {
        let reply = server.submit(&[], &ORDER.replace("SECRET", &number.to_string())).await;
        assert_eq!(reply.json()["state"], "committed", "{reply:?}");
    };
    order(0).await;
    let (_connection, _) = common::within("it tells", silent.accept()).await.unwrap();
    for number in 1..50 {
        order(number).await;
    }
    assert_eq!(server.terminate().await.0, Some(0));
}

#[tokio::test]
async fn a_submission_that_cannot_be_read_is_shown() {
    let (shop, collector) = (Shop::new().await, Collector::start().await);
    let server = shop.open(&format!("endpoint = '{}'", collector.url())).await;
    let json = ("content-type", "application/json");
    let huge = " ".repeat(64 * 64 * 1024 / 4 * 5 + 1);
    for (kind, body, status) in [
        (json, "{\"name\": SECRET", 400),
        (json, "{\"SECRET\": 1}", 400),
        (json, &huge, 413),
        (("content-type", "text/plain"), ORDER, 415),
    ] {
        let headers = [kind, ("traceparent", RECORDED)];
        let reply = server.send(Method::POST, "/v1/transactions", &headers, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(server.terminate().await.0, Some(0));
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.name == "POST /v1/transactions"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.parent == CLIENT && !span.failed), "{spans:#?}");
    let statuses = spans.iter().map(|span| span.attributes["http.response.status_code"].as_str());
    // A page may have sent the last one: it is turned away before anything is made of it.
    assert_eq!(statuses.collect::<Vec<_>>(), ["400", "400", "413"]);
    keeps_secrets(&collector);
}

#[tokio::test]
async fn more_spans_than_may_wait_are_dropped_counted_and_said_once() {
    // Beyond those that wait, and those that are being sent.
    const SENT: u64 = 8_192 + 512 + 1_000;
    let shop = Shop::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let traces = format!("[traces]\nendpoint = 'http://{}'", silent.local_addr().unwrap());
    let messages = shop.directory.path().join("messages");
    let (directory, participants) = (shop.directory.path(), shop.participants());
    let server =
        Server::start_logging(directory, &participants, &traces, Some("warn"), &messages).await;
    // Of each there is one span, and nothing else.
    let client = async |_| {
        for _ in 0..SENT / 8 {
            server.submit(&[], "").await.problem(400, "malformed-json");
        }
    };
    futures_util::future::join_all((0..8).map(client)).await;
    let before = dropped(&server).await;
    assert!((1_000..=SENT).contains(&before), "{before}");
    assert_eq!(server.submit(&[], ORDER).await.json()["state"], "committed");
    eventually("its six spans are dropped, too", async || {
        (dropped(&server).await >= before + 6).then_some(())
    })
    .await;
    assert_eq!(server.terminate().await.0, Some(0));
    let messages = std::fs::read_to_string(messages).unwrap();
    assert_eq!(messages.matches("spans are dropped: 8192 spans wait").count(), 1, "{messages}");
}

async fn dropped(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("wholly_trace_spans_dropped_total"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_variables_of_opentelemetry_are_enough() {
    let (shop, collector) = (Shop::new().await, Collector::start().await);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_SERVICE_NAME", "by-variable".to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=7".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = Server::start_in(shop.directory.path(), &shop.participants(), &variables).await;
    server.submit(&[("traceparent", RECORDED)], ORDER).await;
    let spans = whole(&collector, TRACE).await;
    assert!(spans.iter().all(|span| span.service == "by-variable"), "{spans:#?}");
    assert_eq!(collector.taken()[0].headers["x-key"], "7");
}

#[test]
fn what_is_wrong_with_the_section_is_named_and_no_secret_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wholly.toml");
    let check = |text: &str| {
        std::fs::write(&file, format!("[traces]\n{text}\n")).unwrap();
        run(&["config", "check", file.to_str().unwrap()])
    };
    for (text, place, says) in [
        ("sampled = 1.1", "2:11", "a share"),
        ("sampled = -0.1", "2:11", "a share"),
        ("endpoint = 'ftp://a'", "2:12", "http:// or https://"),
        ("endpoint = 'http://a?b'", "2:12", "a query"),
        ("endpoint = '127.0.0.1:4318'", "2:12", "endpoint"),
        ("headers = { 'a b' = 'env:PATH' }", "2:13", "no name of a header"),
        ("headers = { a = 'hunter2' }", "2:17", "env:NAME"),
        ("sample = 1", "2:1", "did you mean `sampled`?"),
    ] {
        let (code, _, said) = check(text);
        assert_eq!(code, Some(2), "{text}");
        assert!(said.contains(says) && !said.contains("hunter2"), "{text}: {said}");
        assert!(said.contains(&format!(":{place}: ")), "{text}: {said}");
    }
    let (code, said, _) = check("sampled = 0.25");
    assert_eq!(code, Some(0));
    assert!(said.contains("traces to http://127.0.0.1:4318/, 0.25 of those"), "{said}");
}
