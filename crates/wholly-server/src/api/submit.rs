//! `POST /v1/transactions`: one in two phases, or a saga.
//!
//! By default the answer waits until the transaction has settled: 200 with how it ended. That is
//! durable; that every branch has acknowledged it may be recorded a little later, so the answer does
//! not say `settled`: reads do. `Prefer`
//! (RFC 7240) changes that: `respond-async` waits for its acceptance only, `wait=SECONDS` at most
//! so long. Where it has not settled by then: 202, and `Location` says where to ask.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use wholly::{
    Completed, Coordinator, Graph, KeyScope, Name, Outcome, SagaOutcome, TraceContext,
    TransactionId,
};

use super::guard::KeyOwner;
use super::request::Body;
use super::sagas;
use crate::problem::{Kind, Problem};
use crate::sagas::Sagas;
use crate::submission::{Pattern, Submission, TwoPhaseSubmission};
use crate::traces::Traces;

pub async fn submit(
    State(coordinator): State<Coordinator>,
    State(sagas): State<Arc<Sagas>>,
    State(traces): State<Traces>,
    State(key_scope): State<KeyScope>,
    request: Request,
) -> Response {
    // Before the body is read, so that one that cannot be read is shown, too.
    let shown = traces.submission(request.headers());
    let trace = shown.trace().cloned();
    let answer = begin(&coordinator, &sagas, key_scope, trace, request).await.into_response();
    shown.answered(&answer);
    answer
}

async fn begin(
    coordinator: &Coordinator,
    sagas: &Sagas,
    key_scope: KeyScope,
    trace: Option<TraceContext>,
    request: Request,
) -> Result<Response, Problem> {
    let owner = request.extensions().get::<KeyOwner>().map(|KeyOwner(name)| name.clone());
    let owner = owner.map(|name| (name, key_scope));
    let headers = &request.headers().clone();
    let Body(mut submission) = Body::<Submission>::from_request(request, &()).await?;
    submission.trace = trace;
    submission.key = key(headers, submission.key)?;
    let wait = Wait::asked(headers);
    match submission.pattern {
        Pattern::TwoPhase => two_phase(coordinator, submission, owner, wait).await,
        Pattern::Saga => saga(coordinator, sagas, submission, owner, wait).await,
    }
}

async fn two_phase(
    coordinator: &Coordinator,
    submission: Submission,
    owner: Option<(Name, KeyScope)>,
    wait: Wait,
) -> Result<Response, Problem> {
    let TwoPhaseSubmission { name, key, trace, deadline, branches } = submission.two_phase()?;
    let mut transaction = coordinator.two_phase(name.as_str());
    if let Some(key) = key {
        transaction = match owner {
            Some((caller, scope)) => transaction.key_of(&caller, scope, key),
            None => transaction.key(key),
        };
    }
    if let Some(trace) = trace {
        transaction = transaction.trace(trace);
    }
    if let Some(deadline) = deadline {
        transaction = transaction.deadline(deadline);
    }
    for branch in branches {
        transaction = transaction.started_branch(branch);
    }
    let outcome = match wait {
        Wait::UntilAccepted => Outcome::Unsettled(transaction.submit().await?),
        Wait::UntilSettled => transaction.execute().await?,
        Wait::AtMost(patience) => transaction.patience(patience).execute().await?,
    };
    Ok(match outcome {
        Outcome::Committed(committed) => Settled::new(committed.id, "committed").into_response(),
        Outcome::Aborted(aborted) => {
            Settled::new(aborted.id, "aborted").because(&aborted.reason).into_response()
        }
        Outcome::Unsettled(id) => accepted(id),
    })
}

async fn saga(
    coordinator: &Coordinator,
    sagas: &Sagas,
    submission: Submission,
    owner: Option<(Name, KeyScope)>,
    wait: Wait,
) -> Result<Response, Problem> {
    let Submission { key, deadline_millis, trace, name, branches, saga, input, .. } = submission;
    if name.is_some() {
        return Err(invalid("a saga is called like its definition; leave `name` out"));
    }
    if branches.is_some() {
        return Err(invalid("a saga has steps, in its definition; leave `branches` out"));
    }
    let asked = saga.ok_or_else(|| invalid("missing field `saga`"))?;
    let (graph, any_version) = graph(sagas, &asked)?;
    let mut saga = coordinator.saga(graph).any_version(any_version);
    if let Some(input) = input {
        saga = saga.input(&input);
    }
    if let Some(key) = key {
        saga = match owner {
            Some((caller, scope)) => saga.key_of(&caller, scope, key),
            None => saga.key(key),
        };
    }
    if let Some(trace) = trace {
        saga = saga.trace(trace);
    }
    if let Some(millis) = deadline_millis {
        saga = saga.deadline(Duration::from_millis(millis));
    }
    let outcome = match wait {
        Wait::UntilAccepted => SagaOutcome::Unsettled(saga.submit().await?),
        Wait::UntilSettled => saga.execute().await?,
        Wait::AtMost(patience) => saga.patience(patience).execute().await?,
    };
    Ok(match outcome {
        SagaOutcome::Completed(done) => {
            let settled = Settled::new(done.id, "completed");
            let payloads_removed = done.payloads_removed;
            let outputs = (!payloads_removed).then_some(Outputs(done));
            Settled { outputs, payloads_removed, ..settled }.into_response()
        }
        SagaOutcome::Compensated(back) => {
            Settled::new(back.id, "compensated").because(&back.reason).into_response()
        }
        SagaOutcome::Unsettled(id) => accepted(id),
    })
}

/// A definition in the request, or the name and perhaps the version of a stored one; and whether
/// any version will do.
fn graph(sagas: &Sagas, asked: &RawValue) -> Result<(Arc<Graph>, bool), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stored {
        name: String,
        version: Option<u32>,
    }
    match serde_json::from_str(asked.get()) {
        Ok(Stored { name, version }) => {
            let graph = sagas::named(sagas, &name, version, Kind::UNKNOWN_SAGA)?;
            Ok((graph, version.is_none()))
        }
        Err(_) => Ok((Arc::new(sagas::graph(asked, &["saga".into()])?), false)),
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::INVALID_REQUEST, detail)
}

/// How a transaction ended.
#[derive(Serialize)]
struct Settled {
    id: TransactionId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Outputs>,
    /// There were outputs, and they are not there any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payloads_removed: bool,
}

impl Settled {
    fn new(id: TransactionId, state: &'static str) -> Self {
        Self { id, state, reason: None, outputs: None, payloads_removed: false }
    }

    fn because(self, reason: &impl ToString) -> Self {
        Self { reason: Some(reason.to_string()), ..self }
    }

    fn into_response(self) -> Response {
        (Extension(self.id), Json(self)).into_response()
    }
}

/// What each step gave, by its name.
struct Outputs(Completed);

impl Serialize for Outputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.outputs.iter().map(|(step, output)| (step, output)))
    }
}

/// Only what is certain: it may have settled since.
fn accepted(id: TransactionId) -> Response {
    #[derive(Serialize)]
    struct Accepted {
        id: TransactionId,
    }
    let location = [(header::LOCATION, format!("/v1/transactions/{id}"))];
    (StatusCode::ACCEPTED, location, Extension(id), Json(Accepted { id })).into_response()
}

/// The client's key: the header `Idempotency-Key` and the body's `key` are the same thing.
fn key(headers: &HeaderMap, in_body: Option<String>) -> Result<Option<String>, Problem> {
    let mut keys: Vec<String> = in_body.into_iter().collect();
    for value in headers.get_all("idempotency-key") {
        let text = value.to_str().map_err(|_| {
            Problem::new(Kind::INVALID_REQUEST, "Idempotency-Key must be printable ASCII")
        })?;
        keys.push(unquoted(text).to_owned());
    }
    keys.dedup();
    match keys.len() {
        0 | 1 => Ok(keys.pop()),
        _ => Err(Problem::new(
            Kind::TWO_KEYS,
            "the header Idempotency-Key and the member key differ; one transaction has one key",
        )),
    }
}

/// The draft writes the key in quotes, and most clients do not.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// For what a client waits.
#[derive(Debug, PartialEq, Eq)]
enum Wait {
    UntilAccepted,
    UntilSettled,
    AtMost(Duration),
}

impl Wait {
    /// RFC 7240: a preference that is not understood is ignored; with both, it waits so long.
    fn asked(headers: &HeaderMap) -> Self {
        let mut wait = Self::UntilSettled;
        let lines = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" if wait == Self::UntilSettled => wait = Self::UntilAccepted,
                "wait" => {
                    if let Ok(seconds) = unquoted(value.trim()).parse() {
                        wait = Self::AtMost(Duration::from_secs(seconds));
                    }
                }
                _ => {}
            }
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[&str]) -> Wait {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", line.parse().unwrap());
        }
        Wait::asked(&headers)
    }

    #[test]
    fn preferences_are_understood_or_ignored() {
        let three = Wait::AtMost(Duration::from_secs(3));
        assert_eq!(asked(&[]), Wait::UntilSettled);
        assert_eq!(asked(&["Respond-Async"]), Wait::UntilAccepted);
        assert_eq!(asked(&["respond-async; x=y, return=minimal"]), Wait::UntilAccepted);
        assert_eq!(asked(&["wait=3"]), three);
        assert_eq!(asked(&["respond-async, wait=\"3\""]), three);
        assert_eq!(asked(&["wait=3", "respond-async"]), three);
        for nonsense in ["wait", "wait=", "wait=-1", "wait=soon", "wait=1e3", ",,;=", "later"] {
            assert_eq!(asked(&[nonsense]), Wait::UntilSettled, "{nonsense}");
        }
    }

    #[test]
    fn one_transaction_has_one_key() {
        let with = |header: &str, body: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", header.parse().unwrap());
            key(&headers, body.map(str::to_owned)).ok()
        };
        assert_eq!(with("a", None), Some(Some("a".to_owned())));
        assert_eq!(with("\"a\"", Some("a")), Some(Some("a".to_owned())));
        assert_eq!(with("a", Some("b")), None);
        assert_eq!(key(&HeaderMap::new(), None).unwrap(), None);
    }
}
