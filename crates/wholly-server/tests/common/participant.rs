//! A participant that says what it is told to say, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Notify;

/// What a participant says to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Done,
    /// Done, with this JSON as its output.
    Output(&'static str),
    Refused,
    /// Refused, for this reason.
    RefusedFor(&'static str),
    Broken,
    /// Nothing, until it is told to say something else.
    Nothing,
}

/// The headers of a call that tell its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub parent: Vec<String>,
    pub state: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Little {
    shared: Arc<Mutex<Shared>>,
    told: Arc<Notify>,
    port: u16,
}

#[derive(Default)]
struct Shared {
    says: HashMap<String, Said>,
    asked: Vec<(String, String, String)>,
    heads: Vec<HeaderMap>,
    traces: Vec<(String, String, Trace)>,
}

impl Little {
    /// One that says yes and done to everything.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// The same at this address.
    pub async fn start_at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let little = Self { port, ..Self::default() };
        let app = Router::new().route("/{operation}", post(answer)).with_state(little.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        little
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn says(&self, operation: &str, said: Said) {
        self.shared.lock().unwrap().says.insert(operation.to_owned(), said);
        self.told.notify_waiters();
    }

    /// What it says to an operation, once it says something.
    async fn said(&self, operation: &str) -> Said {
        loop {
            // Before it is looked, so that no word is missed.
            let told = self.told.notified();
            let said = self.shared.lock().unwrap().says.get(operation).copied();
            match said.unwrap_or(Said::Done) {
                Said::Nothing => told.await,
                said => return said,
            }
        }
    }

    /// The operations that were asked of a transaction, in order.
    pub fn asked(&self, transaction: &str) -> Vec<String> {
        let shared = self.shared.lock().unwrap();
        let of = shared.asked.iter().filter(|(id, ..)| id == transaction);
        of.map(|(_, operation, _)| operation.clone()).collect()
    }

    /// The headers of all that was asked, in order.
    pub fn heads(&self) -> Vec<HeaderMap> {
        self.shared.lock().unwrap().heads.clone()
    }

    /// The operations that were asked of a transaction, in order, each with its trace.
    pub fn traces(&self, transaction: &str) -> Vec<(String, Trace)> {
        let shared = self.shared.lock().unwrap();
        let of = shared.traces.iter().filter(|(id, ..)| id == transaction);
        of.map(|(_, operation, trace)| (operation.clone(), trace.clone())).collect()
    }

    /// The transactions and payloads of an operation, in order.
    pub fn asked_to(&self, operation: &str) -> Vec<(String, String)> {
        let shared = self.shared.lock().unwrap();
        let of = shared.asked.iter().filter(|(_, asked, _)| asked == operation);
        of.map(|(id, _, payload)| (id.clone(), payload.clone())).collect()
    }
}

async fn answer(
    State(little): State<Little>,
    Path(operation): Path<String>,
    headers: HeaderMap,
    payload: String,
) -> Response {
    let id = headers["wholly-transaction"].to_str().unwrap().to_owned();
    let values = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let trace = Trace { parent: values("traceparent"), state: values("tracestate") };
    {
        let mut shared = little.shared.lock().unwrap();
        shared.traces.push((id.clone(), operation.clone(), trace));
        shared.asked.push((id, operation.clone(), payload));
        shared.heads.push(headers);
    }
    match little.said(&operation).await {
        Said::Done | Said::Nothing => StatusCode::OK.into_response(),
        Said::Output(json) => ([("content-type", "application/json")], json).into_response(),
        Said::Refused => {
            (StatusCode::CONFLICT, [("wholly-answer", "refused")], "no stock").into_response()
        }
        Said::RefusedFor(why) => {
            (StatusCode::CONFLICT, [("wholly-answer", "refused")], why).into_response()
        }
        Said::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
