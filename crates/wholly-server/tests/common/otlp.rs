//! A collector: takes spans by OTLP over HTTP, and shows them as they came.
//!
//! The few fields that are looked at are read by the wire format alone, and not by the crate that
//! wrote them: <https://protobuf.dev/programming-guides/encoding/>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;

#[derive(Clone, Default)]
pub struct Collector {
    taken: Arc<Mutex<Vec<Taken>>>,
    port: u16,
}

/// One request.
#[derive(Clone)]
pub struct Taken {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where there is none.
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: u64,
    pub began: u64,
    pub ended: u64,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
    /// As whom the server shows.
    pub service: String,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let collector = Self { port, ..Self::default() };
        let app = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.taken().iter().flat_map(|taken| spans(&taken.body)).collect()
    }

    /// Those of a trace.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    collector.taken.lock().unwrap().push(Taken { headers, body: body.to_vec() });
}

/// Of an ExportTraceServiceRequest.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in messages(body, 1) {
        let resources = messages(resource_spans, 1);
        let attributes = resources.iter().flat_map(|resource| attributes(resource, 1));
        let attributes: BTreeMap<_, _> = attributes.collect();
        for scope_spans in messages(resource_spans, 2) {
            let of_scope = messages(scope_spans, 2).into_iter();
            spans.extend(of_scope.map(|span| read(span, &attributes["service.name"])));
        }
    }
    spans
}

fn read(span: &[u8], service: &str) -> Span {
    let bytes = |field| messages(span, field).first().copied().unwrap_or_default();
    let text = |field| String::from_utf8(bytes(field).to_vec()).unwrap();
    let hex = |field| bytes(field).iter().map(|byte| format!("{byte:02x}")).collect();
    Span {
        trace: hex(1),
        id: hex(2),
        state: text(3),
        parent: hex(4),
        name: text(5),
        kind: number(span, 6),
        began: number(span, 7),
        ended: number(span, 8),
        attributes: attributes(span, 9).into_iter().collect(),
        failed: number(bytes(15), 3) == 2,
        service: service.to_owned(),
    }
}

fn attributes(message: &[u8], field: u64) -> Vec<(String, String)> {
    let pair = |pair: &&[u8]| {
        let key = String::from_utf8(messages(pair, 1)[0].to_vec()).unwrap();
        let value = messages(pair, 2)[0];
        let value = match messages(value, 1).first() {
            Some(text) => String::from_utf8(text.to_vec()).unwrap(),
            None => number(value, 3).to_string(),
        };
        (key, value)
    };
    messages(message, field).iter().map(pair).collect()
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn messages(message: &[u8], field: u64) -> Vec<&[u8]> {
    let found = fields(message).into_iter().filter(|(number, _)| *number == field);
    let bytes = found.filter_map(|(_, value)| match value {
        Field::Bytes(bytes) => Some(bytes),
        Field::Number(_) => None,
    });
    bytes.collect()
}

fn number(message: &[u8], field: u64) -> u64 {
    let mut found = fields(message).into_iter().filter(|(number, _)| *number == field);
    match found.next() {
        Some((_, Field::Number(number))) => number,
        _ => 0,
    }
}

fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Number(u64::from_le_bytes(take_bytes(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message) as usize;
                Field::Bytes(take_bytes(&mut message, length))
            }
            5 => {
                let bytes = take_bytes(&mut message, 4).try_into().unwrap();
                Field::Number(u64::from(u32::from_le_bytes(bytes)))
            }
            other => panic!("no wire type: {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_bytes(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("no varint");
}

fn take_bytes<'a>(message: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken
}
