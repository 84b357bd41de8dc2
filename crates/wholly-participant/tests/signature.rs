//! A signed call is taken, and one that was changed in any way is not. The call is the one of
//! docs/participant-contract.md, which was signed by other code than this crate's.
#![cfg(feature = "signed")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tower::ServiceExt;
use wholly_participant::signature::{InvalidKey, Keys, Unsigned};

const CONTRACT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/participant-contract.md"));
const SECRET: &[u8] = b"this secret is in the documentation";
const OTHER: &[u8] = b"another secret that is long enough";
const CREATED: u64 = 1_700_000_000;

#[derive(Clone)]
struct Signed {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Signed {
    /// The first exchange of the contract that is signed.
    fn of_the_contract() -> Self {
        let block = CONTRACT.split("```http\n").find(|block| block.contains("Signature-Input:"));
        let block = block.unwrap().split("```").next().unwrap();
        let (head, body) = block.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.to_lowercase().parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        let headers = lines.map(header).collect();
        Self { path, headers, body: body.trim_end().to_owned() }
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.headers.insert(name, HeaderValue::from_str(value).unwrap());
        changed
    }

    fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.headers.remove(name).unwrap();
        changed
    }

    fn verify(&self, now: u64) -> Result<(), Unsigned> {
        let keys = Keys::new("2026-07", SECRET).unwrap();
        keys.verify(&self.path, &self.headers, self.body.as_bytes(), now)
    }
}

#[test]
fn the_contracts_call_is_signed_and_no_part_of_it_can_be_changed() {
    let call = Signed::of_the_contract();
    assert_eq!(call.verify(CREATED), Ok(()));

    let wrong = Err(Unsigned::Wrong);
    let mut elsewhere = call.clone();
    elsewhere.path = "/wholly/abort".to_owned();
    assert_eq!(elsewhere.verify(CREATED), wrong);
    let mut richer = call.clone();
    richer.body = richer.body.replace("1200", "1201");
    assert_eq!(richer.verify(CREATED), wrong);
    for (name, value) in [
        ("content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("wholly-transaction", "018bcfe568007000800000000000002b-00c0ffee00c0ffee"),
        ("wholly-branch", "payments"),
        ("wholly-operation", "commit"),
        ("wholly-expires", "1700000040000"),
        ("idempotency-key", "another"),
        ("signature", "wholly=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"),
    ] {
        assert!(call.headers.contains_key(name), "{name}");
        assert_eq!(call.with(name, value).verify(CREATED), wrong, "{name}");
    }
    assert_eq!(call.without("wholly-expires").verify(CREATED), wrong);
    for name in ["signature", "signature-input", "content-digest", "idempotency-key"] {
        assert_eq!(call.without(name).verify(CREATED), Err(Unsigned::Form), "{name}");
    }
    let mut twice = call.clone();
    twice.headers.append("wholly-branch", HeaderValue::from_static("payments"));
    assert_eq!(twice.verify(CREATED), Err(Unsigned::Form));
}

#[test]
fn the_parameters_of_a_signature_are_signed_too() {
    let call = Signed::of_the_contract();
    let input = call.headers["signature-input"].to_str().unwrap().to_owned();
    let changed = |from: &str, to: &str| {
        assert!(input.contains(from), "{from}");
        call.with("signature-input", &input.replace(from, to))
    };
    assert_eq!(changed("1700000000", "1700000001").verify(CREATED), Err(Unsigned::Wrong));
    assert_eq!(changed("2026-07", "2026-08").verify(CREATED), Err(Unsigned::Key));
    assert_eq!(changed("\"wholly-branch\" ", "").verify(CREATED), Err(Unsigned::Form));
    // What is not covered any more must not be there any more.
    let uncovered = changed("\"wholly-expires\" ", "");
    assert_eq!(uncovered.verify(CREATED), Err(Unsigned::Wrong));
    assert_eq!(uncovered.without("wholly-expires").verify(CREATED), Err(Unsigned::Wrong));
}

#[test]
fn a_signature_has_its_time() {
    let call = Signed::of_the_contract();
    for now in [CREATED - 300, CREATED + 300] {
        assert_eq!(call.verify(now), Ok(()));
    }
    for now in [CREATED - 301, CREATED + 301, 0, u64::MAX] {
        assert_eq!(call.verify(now), Err(Unsigned::Time));
    }
}

#[test]
fn a_key_is_replaced_without_a_gap() {
    let call = Signed::of_the_contract();
    let verify =
        |keys: &Keys| keys.verify(&call.path, &call.headers, call.body.as_bytes(), CREATED);
    let both = Keys::new("2026-01", OTHER).unwrap().and("2026-07", SECRET).unwrap();
    assert_eq!(verify(&both), Ok(()));
    assert_eq!(verify(&Keys::new("2026-01", OTHER).unwrap()), Err(Unsigned::Key));
    assert_eq!(verify(&Keys::new("2026-07", OTHER).unwrap()), Err(Unsigned::Wrong));
    assert!(matches!(Keys::new("2026", b"short"), Err(InvalidKey::Short { bytes: 5 })));
    assert!(matches!(Keys::new("\"", SECRET), Err(InvalidKey::Id(_))));
}

#[tokio::test]
async fn an_unsigned_call_reaches_no_handler() {
    let reached = Router::new().fallback(async || StatusCode::OK);
    let routes = Keys::new("2026-07", SECRET).unwrap().protect(reached);
    // It was signed long ago.
    let call = Signed::of_the_contract();
    let mut signed = Request::post(&call.path).body(Body::from(call.body.clone())).unwrap();
    *signed.headers_mut() = call.headers.clone();
    let unsigned = Request::post("/prepare").body(Body::empty()).unwrap();
    let long = Request::post("/prepare").body(Body::from("x".repeat(200_000))).unwrap();
    for (request, status) in [(signed, 401), (unsigned, 401), (long, 413)] {
        let response = routes.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
