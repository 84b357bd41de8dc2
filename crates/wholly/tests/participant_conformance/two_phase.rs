//! The suite for two-phase.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::json;
use wholly::HttpParticipant;
use wholly::test::{
    ConformanceError, Payloads, Report, Verdict, participant_conformance,
    participant_conformance_of,
};

use super::{nowhere, serve, unhurried, work};

/// The rule that a service breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Nothing,
    CommitsNothing,
    RepeatedCommit,
    RepeatedPrepare,
    PrepareAfterCommit,
    RepeatedAbort,
    ForgetsAnEarlyAbort,
    ForgetsAnAbort,
    CommitAfterAbort,
    AbortAfterCommit,
    ForgetsARefusal,
    AbortOfARefusal,
    CommitOfARefusal,
    Expiry,
    RefusesWhileInProgress,
    UnknownOperation,
    MalformedBody,
    RepeatedOnePhase,
    OffersNoOnePhase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InProgress,
    Prepared,
    Committed,
    Refused,
    Aborted,
}

/// A status and, where there is one, the header `Wholly-Answer`.
type Said = (u16, &'static str);
const DONE: Said = (200, "");
const REFUSED: Said = (409, "refused");
const HEURISTIC: Said = (410, "heuristic");
const BUSY: Said = (409, "");

struct Service {
    breaks: Breaks,
    branches: Mutex<HashMap<String, State>>,
}

impl Service {
    async fn start(breaks: Breaks) -> String {
        let service = Arc::new(Self { breaks, branches: Mutex::default() });
        serve(move |request| {
            let service = service.clone();
            async move { service.answer(request).await }
        })
        .await
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let operation = request.uri().path().trim_start_matches("/tx/").to_owned();
        let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
        let transaction = header("wholly-transaction").unwrap_or_default().to_owned();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let expired = header("wholly-expires").is_some_and(|at| at.parse::<u128>().unwrap() < now);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let payload = serde_json::from_slice::<serde_json::Value>(&body);
        let (status, said) = match payload {
            Err(_) if self.breaks == Breaks::MalformedBody => DONE,
            Err(_) => (400, ""),
            Ok(payload) => {
                let accepted = payload["ok"] == true;
                self.act(&operation, transaction, accepted, expired).await
            }
        };
        let answer = Response::builder().status(status).header("wholly-answer", said);
        answer.body(Full::default()).unwrap()
    }

    async fn act(&self, operation: &str, id: String, accepted: bool, expired: bool) -> Said {
        let is = |rule| self.breaks == rule;
        match operation {
            "prepare" => self.prepare(id, accepted, expired).await,
            "commit" => self.commit(id),
            "abort" => self.abort(id),
            "commit-one-phase" if !is(Breaks::OffersNoOnePhase) => {
                let state = self.branches.lock().unwrap().get(&id).copied();
                match state {
                    Some(State::Committed) if is(Breaks::RepeatedOnePhase) => (500, ""),
                    Some(State::Committed) => DONE,
                    _ => match self.prepare(id.clone(), accepted, expired).await {
                        DONE => self.commit(id),
                        said => said,
                    },
                }
            }
            _ if is(Breaks::UnknownOperation) => DONE,
            _ => (404, ""),
        }
    }

    async fn prepare(&self, id: String, accepted: bool, expired: bool) -> Said {
        let is = |rule| self.breaks == rule;
        {
            let mut branches = self.branches.lock().unwrap();
            match branches.get(&id) {
                Some(State::InProgress) if is(Breaks::RefusesWhileInProgress) => return REFUSED,
                Some(State::InProgress) => return BUSY,
                Some(State::Prepared) if is(Breaks::RepeatedPrepare) => return REFUSED,
                Some(State::Committed) if is(Breaks::PrepareAfterCommit) => return REFUSED,
                Some(State::Refused) if is(Breaks::ForgetsARefusal) => return DONE,
                Some(State::Aborted) if is(Breaks::ForgetsAnAbort) => {}
                Some(State::Prepared | State::Committed) => return DONE,
                Some(State::Refused | State::Aborted) => return REFUSED,
                None => {}
            }
            branches.insert(id.clone(), State::InProgress);
        }
        work().await;
        let yes = accepted && (!expired || is(Breaks::Expiry));
        let (state, said) = if yes { (State::Prepared, DONE) } else { (State::Refused, REFUSED) };
        self.branches.lock().unwrap().insert(id, state);
        said
    }

    fn commit(&self, id: String) -> Said {
        let is = |rule| self.breaks == rule;
        let mut branches = self.branches.lock().unwrap();
        match branches.get(&id) {
            _ if is(Breaks::CommitsNothing) => (500, ""),
            Some(State::Committed) if is(Breaks::RepeatedCommit) => (404, ""),
            Some(State::Aborted) if is(Breaks::CommitAfterAbort) => DONE,
            Some(State::Refused) if is(Breaks::CommitOfARefusal) => DONE,
            Some(State::Prepared | State::Committed) => {
                branches.insert(id, State::Committed);
                DONE
            }
            Some(State::Aborted | State::Refused) => HEURISTIC,
            Some(State::InProgress) => BUSY,
            None => (404, ""),
        }
    }

    fn abort(&self, id: String) -> Said {
        let is = |rule| self.breaks == rule;
        let mut branches = self.branches.lock().unwrap();
        match branches.get(&id) {
            Some(State::Committed) if is(Breaks::AbortAfterCommit) => DONE,
            Some(State::Committed) => HEURISTIC,
            Some(State::InProgress) => BUSY,
            Some(State::Aborted) if is(Breaks::RepeatedAbort) => (404, ""),
            Some(State::Refused) if is(Breaks::AbortOfARefusal) => (404, ""),
            None if is(Breaks::ForgetsAnEarlyAbort) => DONE,
            _ => {
                branches.insert(id, State::Aborted);
                DONE
            }
        }
    }
}

fn payloads() -> Payloads {
    Payloads { good: json!({"ok": true}), refused: json!({"ok": false}) }
}

async fn report_on(breaks: Breaks) -> Report {
    let service = unhurried(&Service::start(breaks).await);
    participant_conformance_of(service, &payloads()).await.unwrap()
}

#[tokio::test]
async fn a_service_that_keeps_the_contract_passes() {
    let report = report_on(Breaks::Nothing).await;
    let all = report.checks.iter().all(|check| check.verdict == Verdict::Passed);
    assert!(all && report.passed(), "{report}");
    assert_eq!(report.to_string().matches("passed").count(), report.checks.len());
}

#[tokio::test]
async fn one_phase_need_not_be_offered() {
    let report = report_on(Breaks::OffersNoOnePhase).await;
    assert!(report.passed(), "{report}");
    for check in report.checks {
        let is_one_phase = check.rule.contains("one-phase");
        assert_eq!(check.verdict == Verdict::NotOffered, is_one_phase, "{}", check.rule);
    }
}

#[tokio::test]
async fn each_broken_rule_is_found() {
    let cases = [
        (Breaks::CommitsNothing, "a yes can be committed"),
        (Breaks::RepeatedCommit, "a repeated commit is done"),
        (Breaks::RepeatedPrepare, "a repeated prepare gives the same answer"),
        (Breaks::PrepareAfterCommit, "a prepare repeated after the commit takes nothing back"),
        (Breaks::RepeatedAbort, "a yes can be aborted, and a repeated abort is done"),
        (
            Breaks::ForgetsAnEarlyAbort,
            "an abort that comes first is done, and the late prepare is refused",
        ),
        (Breaks::ForgetsAnAbort, "a prepare that is late after its abort is refused"),
        (Breaks::CommitAfterAbort, "a commit after an abort is not done"),
        (Breaks::AbortAfterCommit, "an abort after a commit says heuristic"),
        (Breaks::ForgetsARefusal, "a refusal stays a refusal"),
        (Breaks::AbortOfARefusal, "the abort of what was refused is done"),
        (Breaks::CommitOfARefusal, "a commit of what was refused is not done"),
        (Breaks::Expiry, "an expired prepare is refused"),
        (
            Breaks::RefusesWhileInProgress,
            "prepares and commits at the same time all give the same answer",
        ),
        (Breaks::UnknownOperation, "an unknown operation is not a success"),
        (Breaks::MalformedBody, "a malformed body is not a success"),
        (Breaks::RepeatedOnePhase, "a one-phase commit is done, also when repeated, and final"),
        (Breaks::ForgetsAnEarlyAbort, "a one-phase commit after an abort is refused"),
        (Breaks::ForgetsARefusal, "a refused one-phase commit stays refused"),
        (Breaks::Expiry, "an expired one-phase commit is refused"),
    ];
    let reports = join_all(cases.map(|(breaks, _)| report_on(breaks))).await;
    for ((breaks, rule), report) in cases.into_iter().zip(reports) {
        let broken: Vec<_> = report.broken().map(|check| check.rule).collect();
        assert!(broken.contains(&rule), "{breaks:?} was not found:\n{report}");
        // What broke in one place is not blamed on every other.
        assert!(broken.len() <= 6, "{breaks:?}:\n{report}");
        assert!(!report.passed() && report.to_string().contains("FAILED"));
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_breaks_every_rule() {
    let report = participant_conformance(&nowhere().await, &payloads()).await.unwrap();
    assert_eq!(report.broken().count(), report.checks.len(), "{report}");
}

#[tokio::test]
async fn what_cannot_be_run_is_an_error() {
    let error = participant_conformance("ftp://shop", &payloads()).await.unwrap_err();
    assert!(matches!(error, ConformanceError::Url(_)), "{error}");
    let same = Payloads { good: json!(1), refused: json!(1) };
    let error = participant_conformance("http://shop", &same).await.unwrap_err();
    assert!(matches!(error, ConformanceError::SamePayload), "{error}");
    let long = Payloads { good: json!("x".repeat(70_000)), refused: json!(1) };
    let error = participant_conformance("http://shop", &long).await.unwrap_err();
    assert!(matches!(error, ConformanceError::Payload(_)), "{error}");
}

#[tokio::test]
async fn a_service_has_its_own_time_for_an_answer() {
    // It takes connections, and never says anything.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let service = HttpParticipant::at(&url).unwrap().call_timeout(Duration::from_millis(1));
    let report = participant_conformance_of(service, &payloads()).await.unwrap();
    assert_eq!(report.broken().count(), report.checks.len(), "{report}");
    assert!(report.to_string().contains("within 1ms"), "{report}");
}
