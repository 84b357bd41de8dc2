//! A client's trace, carried on to the participants: what every build does.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Little, Reply, Said, Server, Trace, eventually};
use hyper::StatusCode;
use wholly_client::{Client, TraceContext};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const OTHER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

const ORDER: &str = r#"{"key": "ORD001", "name": "place order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;
const SAGA: &str = r#"{"pattern": "saga", "saga": {"name": "create order", "version": 1, "steps": [
    {"name": "reserve", "participant": "orders", "compensation": "release"},
    {"name": "charge", "participant": "payments", "compensation": "refund"}]}}"#;

struct Shop {
    orders: Little,
    payments: Little,
    server: Server,
    _directory: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let participants = [("orders", &orders), ("payments", &payments)];
        let server = Server::start(directory.path(), &participants).await;
        Self { orders, payments, server, _directory: directory }
    }

    /// Every call of a transaction, with its trace.
    fn calls(&self, id: &str) -> Vec<(String, Trace)> {
        [&self.orders, &self.payments].iter().flat_map(|who| who.traces(id)).collect()
    }
}

fn id_of(reply: &Reply) -> String {
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn trace(parent: &[&str], state: &[&str]) -> Trace {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Trace { parent: texts(parent), state: texts(state) }
}

fn operations(calls: &[(String, Trace)]) -> Vec<&str> {
    calls.iter().map(|(operation, _)| operation.as_str()).collect()
}

#[tokio::test]
async fn every_call_has_the_client_s_trace_also_after_a_restart() {
    let mut shop = Shop::open().await;
    shop.payments.says("commit", Said::Broken);
    let headers = [
        ("prefer", "respond-async"),
        ("traceparent", PARENT),
        ("tracestate", "rojo=1"),
        ("tracestate", "congo=2 "),
    ];
    let id = id_of(&shop.server.submit(&headers, ORDER).await);
    eventually("the commit is out", async || {
        operations(&shop.payments.traces(&id)).contains(&"commit").then_some(())
    })
    .await;
    let before = shop.calls(&id).len();
    shop.server = shop.server.kill_and_restart().await;
    shop.payments.says("commit", Said::Done);
    let path = format!("/v1/transactions/{id}");
    let transaction = shop.server.settled(&path).await;
    let calls = shop.calls(&id);
    assert!(calls.len() > before, "asked again after the restart");
    let expected = trace(&[PARENT], &["rojo=1,congo=2"]);
    assert!(calls.iter().all(|(_, trace)| *trace == expected), "{calls:?}");
    let started = &transaction["history"][0]["record"]["started"];
    assert_eq!(started["trace"], format!("{PARENT} rojo=1,congo=2"));

    // Another trace does not make it another transaction, and its own stays.
    let again = shop.server.submit(&[("traceparent", OTHER)], ORDER).await;
    assert_eq!((again.status, id_of(&again)), (StatusCode::OK, id.clone()));
    assert_eq!(shop.calls(&id), calls);
}

#[tokio::test]
async fn a_saga_s_steps_and_what_takes_them_back_have_it_too() {
    let shop = Shop::open().await;
    shop.payments.says("charge", Said::Refused);
    let reply = shop.server.submit(&[("traceparent", PARENT)], SAGA).await;
    let calls = shop.calls(&id_of(&reply));
    assert_eq!(operations(&calls), ["reserve", "release", "charge"]);
    let expected = trace(&[PARENT], &[]);
    assert!(calls.iter().all(|(_, trace)| *trace == expected), "{calls:?}");
}

#[tokio::test]
async fn what_is_no_trace_is_ignored_and_none_is_made_up() {
    let shop = Shop::open().await;
    let order = ORDER.replace(r#""key": "ORD001", "#, "");
    let cases: [&[(&str, &str)]; 5] = [
        &[],
        &[("tracestate", "rojo=1")],
        &[("traceparent", "nonsense"), ("tracestate", "rojo=1")],
        &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
        &[("traceparent", PARENT), ("traceparent", OTHER)],
    ];
    for headers in cases {
        let reply = shop.server.submit(headers, &order).await;
        assert_eq!(reply.json()["state"], "committed", "{headers:?}: {reply:?}");
        let calls = shop.calls(&id_of(&reply));
        assert_eq!(calls.len(), 4, "{calls:?}");
        assert!(calls.iter().all(|(_, trace)| *trace == Trace::default()), "{calls:?}");
        let path = format!("/v1/transactions/{}", id_of(&reply));
        let history = shop.server.get(&path).await.json()["history"].to_string();
        assert!(history.contains("started") && !history.contains("trace"), "{history}");
    }
    // A state that is none does not end the trace.
    let headers = [("traceparent", PARENT), ("tracestate", "ROJO")];
    let id = id_of(&shop.server.submit(&headers, &order).await);
    assert!(shop.calls(&id).iter().all(|(_, said)| *said == trace(&[PARENT], &[])));
}

#[tokio::test]
async fn the_client_sends_the_trace_that_it_is_given() {
    let shop = Shop::open().await;
    let client = Client::at(&format!("http://{}", shop.server.address())).build().unwrap();
    let given: TraceContext = format!("{PARENT} rojo=1").parse().unwrap();
    let transaction = client.two_phase("place order").branch("orders", &1).unwrap();
    let done = transaction.trace(given).execute().await.unwrap();
    let calls = shop.calls(&done.id.to_string());
    let expected = trace(&[PARENT], &["rojo=1"]);
    assert!(!calls.is_empty() && calls.iter().all(|(_, trace)| *trace == expected), "{calls:?}");
}

#[cfg(not(feature = "opentelemetry"))]
#[test]
fn without_the_feature_a_configuration_that_wants_spans_is_told_how_to_have_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wholly.toml");
    std::fs::write(&file, "log = 'a.db'\n[traces]\nendpoint = 'http://127.0.0.1:4318'\n").unwrap();
    let (code, _, said) = common::run(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(":2:1: ") && said.contains("--features opentelemetry"), "{said}");
}
