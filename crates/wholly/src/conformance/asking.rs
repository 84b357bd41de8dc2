//! The calls of a suite: of transactions of its own, and repeated while the answer is pending.

use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use tokio::time::Instant;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{BranchName, LogId, OperationName, Payload, Timestamp, TransactionId};

use super::report::{Check, ConformanceError, Report, Verdict};
use crate::HttpParticipant;
use crate::engine::Backoff;
use crate::participant::Endpoint;

/// The expected answer, in words and as a test.
pub type Expected = (&'static str, fn(&Answer) -> bool);

pub const DONE: Expected =
    ("done", |answer| matches!(answer, Answer::Done | Answer::DoneWith { .. }));
pub const REFUSED: Expected = ("refused", |answer| matches!(answer, Answer::Refused { .. }));
pub const HEURISTIC: Expected = ("heuristic", |answer| matches!(answer, Answer::Heuristic { .. }));
pub const NOT_DONE: Expected = ("anything but done", |answer| *answer != Answer::Done);

/// Why a check did not pass.
pub enum Broken {
    NotOffered,
    Seen(String),
}

impl Broken {
    pub fn verdict(checked: Result<(), Self>) -> Verdict {
        match checked {
            Ok(()) => Verdict::Passed,
            Err(Self::NotOffered) => Verdict::NotOffered,
            Err(Self::Seen(seen)) => Verdict::Failed { seen },
        }
    }
}

/// A rule, as a sentence, and its check.
pub type Rule<Suite> = (&'static str, fn(&Suite) -> Checking<'_>);
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// The rules of a suite, each with the future that checks it.
macro_rules! rules {
    ($($rule:literal => |$suite:ident| $check:expr,)*) => {
        &[$(($rule, |$suite| Box::pin($check)),)*]
    };
}

pub(super) use rules;

/// Checks every rule.
pub async fn report<Suite>(suite: &Suite, rules: &[Rule<Suite>]) -> Report {
    let mut checks = Vec::new();
    for &(rule, check) in rules {
        checks.push(Check { rule, verdict: Broken::verdict(check(suite).await) });
    }
    Report { checks }
}

/// Longer than any check takes, and shorter than a participant's limit on expiries.
const EXPIRES_AFTER: Duration = Duration::from_secs(60);
/// The timeout of one call, unless the participant sets its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between a pending answer and the next call.
const PENDING_PAUSE: Duration = Duration::from_millis(50);
/// Calls at the same time.
pub const AT_ONCE: usize = 8;

/// The participant that is asked, and the caller's identity.
pub struct Asking {
    pub participant: HttpParticipant,
    branch: BranchName,
    log: LogId,
    /// The longest time for which a participant may answer that a call is pending.
    pending_limit: Duration,
}

impl Asking {
    pub fn of(participant: HttpParticipant) -> Result<Self, ConformanceError> {
        let call_timeout = participant.own_call_timeout().unwrap_or(CALL_TIMEOUT);
        Ok(Self {
            participant: participant.call_timeout(call_timeout),
            pending_limit: 2 * call_timeout,
            branch: BranchName::new("conformance")?,
            // An identity of its own: no transaction of the suite is one of a coordinator's.
            log: LogId::from_bits(random()?),
        })
    }

    /// A call of a new transaction.
    pub fn call(
        &self,
        operation: Operation,
        operation_name: Option<&OperationName>,
        payload: &Payload,
    ) -> Result<Call, Broken> {
        let seen = |why: ConformanceError| Broken::Seen(why.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::default() + now;
        let id = TransactionId::mint(0, now, random().map_err(seen)?, self.log);
        let expires = operation.is_first_phase().then(|| now + EXPIRES_AFTER);
        let call = Call::new(id, self.branch.clone(), operation, payload.clone());
        Ok(Call { operation_name: operation_name.cloned(), expires, ..call })
    }

    /// Asks, and asks again while the answer is pending.
    pub async fn ask(&self, call: &Call) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.participant.call(call.clone()).await;
            match answer {
                Answer::Pending { retry_after, .. } if started.elapsed() < self.pending_limit => {
                    let pause = retry_after.unwrap_or(PENDING_PAUSE).max(Backoff::FLOOR);
                    tokio::time::sleep(pause.min(self.pending_limit)).await;
                }
                answer => return answer,
            }
        }
    }

    /// Returns the status of this call at an address that no service has.
    pub async fn at_no_such_operation(&self, call: &Call) -> Result<StatusCode, Broken> {
        let uri = self.participant.operation("no-such-operation");
        let uri = uri.map_err(|why| Broken::Seen(why.to_string()))?;
        let asked = self.participant.ask_changed(call, |request| *request.uri_mut() = uri).await;
        Ok(asked.map_err(Broken::Seen)?.0)
    }

    /// A body that is no JSON must not be a success.
    pub async fn malformed_body(&self, call: &Call) -> Result<(), Broken> {
        let broken = Full::new(Bytes::from_static(b"{\"never\": \"closed"));
        let asked =
            self.participant.ask_changed(call, |request| *request.body_mut() = broken).await;
        no_success(asked.map_err(Broken::Seen)?.0)
    }
}

pub fn no_success(status: StatusCode) -> Result<(), Broken> {
    match status.is_success() {
        true => Err(Broken::Seen(format!("the status {status}"))),
        false => Ok(()),
    }
}

fn random() -> Result<u64, ConformanceError> {
    getrandom::u64().map_err(|why| ConformanceError::Random(why.to_string()))
}
