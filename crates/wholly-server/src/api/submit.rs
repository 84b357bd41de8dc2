//! `POST /v1/transactions`.
//!
//! By default the answer waits until the transaction has settled: 200 with how it ended. `Prefer`
//! (RFC 7240) changes that: `respond-async` waits for its acceptance only, `wait=SECONDS` at most
//! so long. Where it has not settled by then: 202, and `Location` says where to ask.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wholly::{Coordinator, Outcome, TransactionId};

use super::problem::{Kind, Problem};
use super::request::Body;

/// A transaction as a client describes it. What its texts may be is the library's to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    name: String,
    key: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "there is one pattern so far, and naming it is allowed")]
    pattern: Pattern,
    deadline_millis: Option<u64>,
    branches: Vec<Branch>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pattern {
    #[default]
    TwoPhase,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Branch {
    participant: String,
    payload: Box<RawValue>,
}

pub async fn submit(
    State(coordinator): State<Coordinator>,
    headers: HeaderMap,
    Body(submission): Body<Submission>,
) -> Result<Response, Problem> {
    let mut transaction = coordinator.two_phase(&submission.name);
    if let Some(key) = key(&headers, submission.key)? {
        transaction = transaction.key(key);
    }
    if let Some(millis) = submission.deadline_millis {
        transaction = transaction.deadline(Duration::from_millis(millis));
    }
    for Branch { participant, payload } in submission.branches {
        transaction = transaction.branch(&participant, &payload)?;
    }
    let outcome = match Wait::asked(&headers) {
        Wait::UntilAccepted => Outcome::Unsettled(transaction.submit().await?),
        Wait::UntilSettled => transaction.execute().await?,
        Wait::AtMost(patience) => transaction.patience(patience).execute().await?,
    };
    Ok(answer(outcome))
}

fn answer(outcome: Outcome) -> Response {
    #[derive(Serialize)]
    struct Settled {
        id: TransactionId,
        state: &'static str,
        settled: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// Only what is certain: it may have settled since.
    #[derive(Serialize)]
    struct Accepted {
        id: TransactionId,
    }
    let id = outcome.id();
    let (state, reason) = match outcome {
        Outcome::Committed(_) => ("committed", None),
        Outcome::Aborted(aborted) => ("aborted", Some(aborted.reason.to_string())),
        Outcome::Unsettled(id) => {
            let location = [(header::LOCATION, format!("/v1/transactions/{id}"))];
            return (StatusCode::ACCEPTED, location, Json(Accepted { id })).into_response();
        }
    };
    Json(Settled { id, state, settled: true, reason }).into_response()
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
