//! `POST /v1/transactions`: one in two phases, or a saga.
//!
//! By default the answer waits until the transaction has settled: 200 with its outcome, which is
//! durable. The acknowledgements of all branches may be recorded a little later, so the answer does
//! not say `settled`: reads do. `Prefer` (RFC 7240) changes that: `respond-async` waits for its
//! acceptance only, `wait=SECONDS` at most so long. For one that has not settled by then: 202, and
//! `Location` is its address.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{self, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use wholly::{
    AnyOutcome, Completed, Coordinator, Graph, InvalidProposal, KeyScope, Outcome, Pattern,
    Payload, SagaOutcome, State, SubmitError, TraceContext, TransactionId, saga,
};

use super::guard::KeyOwner;
use super::request::Body;
use super::sagas;
use crate::problem::{Kind, Problem};
use crate::sagas::Sagas;
use crate::submission::SubmissionDocument;
use crate::traces::Traces;

pub async fn submit(
    extract::State(coordinator): extract::State<Coordinator>,
    extract::State(sagas): extract::State<Arc<Sagas>>,
    extract::State(traces): extract::State<Traces>,
    extract::State(key_scope): extract::State<KeyScope>,
    request: Request,
) -> Response {
    // Before the body is read, so that an unreadable one is shown, too.
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
    let Body(mut document) = Body::<SubmissionDocument>::from_request(request, &()).await?;
    let key = key(headers, document.key.take())?;
    let deadline = document.deadline();
    let proposal = match document.pattern {
        Pattern::TwoPhase => document.two_phase()?.into(),
        Pattern::Saga => saga(sagas, document)?.into(),
    };
    let mut submission = coordinator.propose(proposal);
    if let Some(key) = key {
        submission = match owner {
            Some((caller, scope)) => submission.key_of(&caller, scope, key),
            None => submission.key(key),
        };
    }
    if let Some(trace) = trace {
        submission = submission.trace(trace);
    }
    if let Some(deadline) = deadline {
        submission = submission.deadline(deadline);
    }
    let outcome = match Wait::asked(headers) {
        Wait::UntilAccepted => return Ok(accepted(submission.submit().await?)),
        Wait::UntilSettled => submission.execute().await?,
        Wait::AtMost(patience) => submission.patience(patience).execute().await?,
    };
    Ok(answer(outcome))
}

/// The saga that is described: its definition is in the document, or stored here.
fn saga(sagas: &Sagas, document: SubmissionDocument) -> Result<saga::Proposal, Problem> {
    if document.name.is_some() {
        return Err(invalid("a saga is called like its definition; leave `name` out"));
    }
    if document.branches.is_some() {
        return Err(invalid("a saga has steps, in its definition; leave `branches` out"));
    }
    let asked = document.saga.ok_or_else(|| invalid("missing field `saga`"))?;
    let (graph, any_version) = graph(sagas, &asked)?;
    let input = document.input.map_or(Ok(Payload::null()), |input| Payload::of(&input));
    let input = input.map_err(|why| SubmitError::from(InvalidProposal::input(&why)))?;
    let proposal = saga::Proposal::new(graph, input, any_version);
    Ok(proposal.map_err(SubmitError::from)?)
}

fn answer(outcome: AnyOutcome) -> Response {
    let id = outcome.id();
    match outcome {
        AnyOutcome::TwoPhase(Outcome::Committed(_)) => Settled::new(id, State::Committed),
        AnyOutcome::TwoPhase(Outcome::Aborted(aborted)) => {
            Settled::new(id, State::Aborted).because(&aborted.reason)
        }
        AnyOutcome::Saga(SagaOutcome::Completed(done)) => {
            let payloads_removed = done.payloads_removed;
            let outputs = (!payloads_removed).then_some(Outputs(done));
            Settled { outputs, payloads_removed, ..Settled::new(id, State::Completed) }
        }
        AnyOutcome::Saga(SagaOutcome::Compensated(back)) => {
            Settled::new(id, State::Compensated).because(&back.reason)
        }
        AnyOutcome::TwoPhase(Outcome::Unsettled(_))
        | AnyOutcome::Saga(SagaOutcome::Unsettled(_))
        | AnyOutcome::Quarantined(_) => return accepted(id),
    }
    .into_response()
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

/// The end of a transaction.
#[derive(Serialize)]
struct Settled {
    id: TransactionId,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Outputs>,
    /// There were outputs, and they are not there any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payloads_removed: bool,
}

impl Settled {
    fn new(id: TransactionId, state: State) -> Self {
        Self { id, state, reason: None, outputs: None, payloads_removed: false }
    }

    fn because(self, reason: &impl ToString) -> Self {
        Self { reason: Some(reason.to_string()), ..self }
    }

    fn into_response(self) -> Response {
        (Extension(self.id), Json(self)).into_response()
    }
}

/// The output of each step, by the step's name.
struct Outputs(Completed);

impl Serialize for Outputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.outputs.iter().map(|(step, output)| (step, output)))
    }
}

/// Only the certain part: it may have settled since.
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
            "the header Idempotency-Key and the member key differ; send only one, or make them equal",
        )),
    }
}

/// The draft writes the key in quotes, and most clients do not.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The event that a client waits for.
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
