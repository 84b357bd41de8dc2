//! The suite for a saga's action and compensation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use wholly::TransactionId;
use wholly::test::{
    ConformanceError, Payloads, Report, SagaProbe, Verdict, saga_participant_conformance,
    saga_participant_conformance_of,
};

use super::{nowhere, serve, unhurried, work};

/// The rule that a service breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Nothing,
    NeverDone,
    RepeatedAction,
    ChangesItsOutput,
    ForgetsItsOutput,
    RepeatedCompensation,
    RunsAfterItsCompensation,
    EmptyCompensation,
    ForgetsAnEmptyCompensation,
    NeedsTheOutput,
    ForgetsARefusal,
    CompensationOfARefusal,
    Expiry,
    ForgetsAnExpiry,
    NeedsAnExpiry,
    RefusesWhileInProgress,
    UnknownOperation,
    BelievesTheAddress,
    RefusesAMistake,
    AsksToWaitAfterAMistake,
    FailsAtAMistake,
    AcceptsAnyTransaction,
    MalformedBody,
}

#[derive(Clone, Copy)]
enum Row {
    InProgress,
    /// With this output.
    Done(u32),
    Refused,
    Compensated,
}

/// A status, the header `Wholly-Answer` where there is one, and an output.
type Said = (u16, &'static str, Option<u32>);
const DONE: Said = (200, "", None);
const REFUSED: Said = (409, "refused", None);
const BUSY: Said = (425, "", None);
const MISTAKE: Said = (400, "", None);
const NOT_FOUND: Said = (404, "", None);

struct Service {
    breaks: Breaks,
    rows: Mutex<HashMap<String, Row>>,
    outputs: Mutex<u32>,
}

/// What a request says.
struct Asked {
    step: String,
    expires: Option<u128>,
    payload: Value,
}

impl Service {
    async fn start(breaks: Breaks) -> String {
        let service = Self { breaks, rows: Mutex::default(), outputs: Mutex::default() };
        let service = Arc::new(service);
        serve(move |request| {
            let service = service.clone();
            async move { service.answer(request).await }
        })
        .await
    }

    fn is(&self, rule: Breaks) -> bool {
        self.breaks == rule
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let operation = head.uri.path().trim_start_matches("/tx/").to_owned();
        let body = body.collect().await.unwrap().to_bytes();
        let (status, said, output) = match self.parse(&operation, &head.headers, &body) {
            Err(said) => said,
            Ok(asked) if operation == "reserve" => self.reserve(asked).await,
            Ok(asked) => self.release(&asked),
        };
        let body = output.map(|id| json!({ "id": id }).to_string()).unwrap_or_default();
        let answer = Response::builder().status(status).header("wholly-answer", said);
        let answer = answer.header("content-type", "application/json");
        answer.body(Full::from(body)).unwrap()
    }

    fn parse(&self, operation: &str, headers: &HeaderMap, body: &[u8]) -> Result<Asked, Said> {
        let header = |name| headers.get(name).and_then(|v| v.to_str().ok());
        if !["reserve", "release"].contains(&operation) {
            return Err(if self.is(Breaks::UnknownOperation) { MISTAKE } else { NOT_FOUND });
        }
        let transaction = header("wholly-transaction").unwrap_or_default();
        let is_one = transaction.parse::<TransactionId>().is_ok();
        let agrees = header("wholly-operation") == Some(operation);
        if (!is_one && !self.is(Breaks::AcceptsAnyTransaction))
            || (!agrees && !self.is(Breaks::BelievesTheAddress))
        {
            return Err(match self.breaks {
                Breaks::RefusesAMistake => REFUSED,
                Breaks::AsksToWaitAfterAMistake => BUSY,
                Breaks::FailsAtAMistake => (500, "", None),
                _ => MISTAKE,
            });
        }
        let step = format!("{transaction}/{}", header("wholly-branch").unwrap_or_default());
        let expires = header("wholly-expires").map(|at| at.parse().unwrap());
        match serde_json::from_slice(body) {
            Ok(payload) => Ok(Asked { step, expires, payload }),
            Err(_) if self.is(Breaks::MalformedBody) => Err(DONE),
            Err(_) => Err(MISTAKE),
        }
    }

    async fn reserve(&self, Asked { step, expires, payload }: Asked) -> Said {
        {
            let mut rows = self.rows.lock().unwrap();
            match rows.get(&step) {
                Some(Row::InProgress) if self.is(Breaks::RefusesWhileInProgress) => return REFUSED,
                Some(Row::InProgress) => return BUSY,
                Some(Row::Done(_)) if self.is(Breaks::RepeatedAction) => return REFUSED,
                Some(Row::Done(_)) if self.is(Breaks::ForgetsItsOutput) => return DONE,
                Some(Row::Done(_)) if self.is(Breaks::ChangesItsOutput) => return self.output(),
                Some(Row::Done(id)) => return (200, "", Some(*id)),
                Some(Row::Compensated) if self.is(Breaks::RunsAfterItsCompensation) => {}
                Some(Row::Refused) if self.is(Breaks::ForgetsARefusal) => return DONE,
                Some(Row::Refused | Row::Compensated) => return REFUSED,
                None => {}
            }
            rows.insert(step.clone(), Row::InProgress);
        }
        work().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let expired = match expires {
            Some(at) => at < now && !self.is(Breaks::Expiry),
            None => self.is(Breaks::NeedsAnExpiry),
        };
        let mut rows = self.rows.lock().unwrap();
        if expired && self.is(Breaks::ForgetsAnExpiry) {
            rows.remove(&step);
            return REFUSED;
        }
        if expired || payload["ok"] != true {
            rows.insert(step, Row::Refused);
            return REFUSED;
        }
        if self.is(Breaks::NeverDone) {
            rows.remove(&step);
            return (500, "", None);
        }
        let said @ (.., id) = self.output();
        rows.insert(step, Row::Done(id.unwrap()));
        said
    }

    fn output(&self) -> Said {
        let mut outputs = self.outputs.lock().unwrap();
        *outputs += 1;
        (200, "", Some(*outputs))
    }

    fn release(&self, asked: &Asked) -> Said {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get(&asked.step).copied();
        // The suite repeats what the action was given and what it said.
        let input_is_there = asked.payload["input"]["ok"].is_boolean();
        let output = asked.payload["output"]["id"].as_u64();
        let output_is_right = match (row, output) {
            (Some(Row::Done(id)), Some(said)) => said == u64::from(id),
            (_, Some(_)) => matches!(row, Some(Row::Compensated)),
            (Some(Row::Done(_)), None) => !self.is(Breaks::NeedsTheOutput),
            (_, None) => true,
        };
        if !input_is_there || !output_is_right {
            return MISTAKE;
        }
        match row {
            Some(Row::InProgress) => return BUSY,
            Some(Row::Compensated) if self.is(Breaks::RepeatedCompensation) => return NOT_FOUND,
            Some(Row::Refused) if self.is(Breaks::CompensationOfARefusal) => return NOT_FOUND,
            None if self.is(Breaks::EmptyCompensation) => return NOT_FOUND,
            None if self.is(Breaks::ForgetsAnEmptyCompensation) => return DONE,
            _ => {}
        }
        rows.insert(asked.step.clone(), Row::Compensated);
        DONE
    }
}

fn probe() -> SagaProbe {
    SagaProbe {
        action: "reserve".to_owned(),
        compensation: "release".to_owned(),
        payloads: Payloads { good: json!({"ok": true}), refused: json!({"ok": false}) },
    }
}

async fn report_on(breaks: Breaks) -> Report {
    let service = unhurried(&Service::start(breaks).await);
    saga_participant_conformance_of(service, &probe()).await.unwrap()
}

#[tokio::test]
async fn a_service_that_keeps_the_contract_passes() {
    let report = report_on(Breaks::Nothing).await;
    let all = report.checks.iter().all(|check| check.verdict == Verdict::Passed);
    assert!(all && report.passed(), "{report}");
}

#[tokio::test]
async fn each_broken_rule_is_found() {
    let repeated = "a repeated action gives the same answer and output";
    let late = "an action that is late after its compensation is refused";
    let contradiction = "headers that contradict the address are a mistake, and nothing is done";
    let expired = "an expired action is refused, and stays refused";
    let cases = [
        (Breaks::NeverDone, "an action is done, and so is its compensation"),
        (Breaks::RepeatedAction, repeated),
        (Breaks::ChangesItsOutput, repeated),
        (Breaks::ForgetsItsOutput, repeated),
        (Breaks::RepeatedCompensation, "a repeated compensation is done"),
        (Breaks::RunsAfterItsCompensation, late),
        (
            Breaks::EmptyCompensation,
            "a compensation that finds nothing to take back is done, also when repeated",
        ),
        (
            Breaks::ForgetsAnEmptyCompensation,
            "an action that comes after a compensation that found nothing is refused",
        ),
        (Breaks::NeedsTheOutput, "a compensation is done also where the output is not known"),
        (Breaks::ForgetsARefusal, "a refusal stays a refusal"),
        (Breaks::CompensationOfARefusal, "the compensation of what was refused is done"),
        (Breaks::Expiry, expired),
        (Breaks::ForgetsAnExpiry, expired),
        (Breaks::NeedsAnExpiry, "an action without an expiry is done"),
        (
            Breaks::RefusesWhileInProgress,
            "actions and compensations at the same time all give the same answer",
        ),
        (Breaks::UnknownOperation, "an unknown operation is answered 404"),
        (Breaks::BelievesTheAddress, contradiction),
        (Breaks::RefusesAMistake, contradiction),
        (Breaks::AsksToWaitAfterAMistake, contradiction),
        (Breaks::FailsAtAMistake, contradiction),
        (Breaks::AcceptsAnyTransaction, "a transaction that is missing or none is a mistake"),
        (Breaks::MalformedBody, "a malformed body is not a success"),
    ];
    let reports = join_all(cases.map(|(breaks, _)| report_on(breaks))).await;
    for ((breaks, rule), report) in cases.into_iter().zip(reports) {
        let broken: Vec<_> = report.broken().map(|check| check.rule).collect();
        assert!(broken.contains(&rule), "{breaks:?} was not found:\n{report}");
        // What broke in one place is not blamed on every other; nothing can be tried of a service
        // that does nothing.
        let most = if breaks == Breaks::NeverDone { 10 } else { 4 };
        assert!(broken.len() <= most, "{breaks:?}:\n{report}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_breaks_every_rule() {
    let report = saga_participant_conformance(&nowhere().await, &probe()).await.unwrap();
    assert_eq!(report.broken().count(), report.checks.len(), "{report}");
}

#[tokio::test]
async fn what_cannot_be_run_is_an_error() {
    let unnamed = SagaProbe { action: "no such/name".to_owned(), ..probe() };
    let error = saga_participant_conformance("http://shop", &unnamed).await.unwrap_err();
    assert!(matches!(error, ConformanceError::Name(_)), "{error}");
    let same = Payloads { good: json!(1), refused: json!(1) };
    let same = SagaProbe { payloads: same, ..probe() };
    let error = saga_participant_conformance("http://shop", &same).await.unwrap_err();
    assert!(matches!(error, ConformanceError::SamePayload), "{error}");
}
