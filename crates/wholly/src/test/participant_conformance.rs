//! Whether a service, in any language, keeps the participant's half of the protocol over HTTP.
//!
//! The suite plays a coordinator whose network repeats, delays and reorders: it asks twice, aborts
//! first, comes late, and looks at the answers. What a service does within, it cannot see: that an
//! operation takes effect once, and survives the service's crash, the service's own tests must show.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::Full;
use serde_json::Value;
use tokio::time::Instant;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{
    BranchName, InvalidName, InvalidPayload, LogId, Payload, Timestamp, TransactionId,
};

use crate::participant::Endpoint;
use crate::{HttpParticipant, InvalidUrl};

use Operation::{Abort, Commit, CommitOnePhase, Prepare};

/// Two payloads to try a service with.
#[derive(Clone, Debug)]
pub struct Payloads {
    /// What the service accepts, as often as the suite asks: it prepares this about a dozen times,
    /// in transactions of its own, and commits it about five times.
    pub good: Value,
    /// What the service refuses, always.
    pub refused: Value,
}

/// What the suite found: a check for each rule.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// One rule, and whether the service keeps it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// Whether a rule is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is.
    Passed,
    /// It is not.
    Failed {
        /// What was asked, and what was seen instead of what the contract says.
        seen: String,
    },
    /// It is about something that the service does not offer.
    NotOffered,
}

/// Why the suite could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// The URL cannot be a participant's.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A payload cannot be sent.
    #[error(transparent)]
    Payload(#[from] InvalidPayload),
    /// No payload can be both accepted and refused.
    #[error("both payloads are the same; give one that is accepted and one that is refused")]
    SamePayload,
    /// The system gave no random number for the transactions' ids.
    #[error("the system gave no random number: {0}")]
    Random(String),
    /// The suite's own name was not accepted.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Asks the service at `url` everything that the contract has an answer to.
///
/// It needs nothing but the service, which should be one for tests: some transactions commit. Every
/// check uses transactions of its own. A service that answers *pending* is asked again for ten
/// seconds.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use serde_json::json;
/// use wholly::test::{Payloads, participant_conformance};
///
/// let payloads = Payloads {
///     good: json!({"item_id": "item1", "quantity": 0}),
///     refused: json!({"item_id": "item1", "quantity": 1_000_000}),
/// };
/// let report = participant_conformance("http://localhost:8080/wholly", &payloads).await?;
/// assert!(report.passed(), "{report}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the suite cannot be run. A service that breaks the contract, or that is not there, is no
/// error but a [`Report`] that says so.
pub async fn participant_conformance(
    url: &str,
    payloads: &Payloads,
) -> Result<Report, ConformanceError> {
    if payloads.good == payloads.refused {
        return Err(ConformanceError::SamePayload);
    }
    let suite = Suite {
        participant: HttpParticipant::at(url)?,
        branch: BranchName::new("conformance")?,
        good: Payload::of(&payloads.good)?,
        refused: Payload::of(&payloads.refused)?,
        // An identity of its own: no transaction of the suite is one of a coordinator's.
        log: LogId::from_bits(random()?),
    };
    let mut checks = Vec::new();
    for (rule, check) in RULES {
        let verdict = match check(&suite).await {
            Ok(()) => Verdict::Passed,
            Err(Broken::NotOffered) => Verdict::NotOffered,
            Err(Broken::Seen(seen)) => Verdict::Failed { seen },
        };
        checks.push(Check { rule, verdict });
    }
    Ok(Report { checks })
}

impl Report {
    /// Whether no rule is broken.
    pub fn passed(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The rules that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.verdict, Verdict::Failed { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { rule, verdict } in &self.checks {
            match verdict {
                Verdict::Passed => writeln!(f, "passed       {rule}")?,
                Verdict::NotOffered => writeln!(f, "not offered  {rule}")?,
                Verdict::Failed { seen } => writeln!(f, "FAILED       {rule}: {seen}")?,
            }
        }
        Ok(())
    }
}

type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;
type Rule = (&'static str, fn(&Suite) -> Checking<'_>);

const RULES: &[Rule] = &[
    ("a yes can be committed", |s| Box::pin(s.good([(Prepare, DONE), (Commit, DONE)]))),
    ("a repeated commit is done", |s| {
        Box::pin(s.good([(Prepare, DONE), (Commit, DONE), (Commit, DONE), (Commit, DONE)]))
    }),
    ("a repeated prepare gives the same answer", |s| {
        Box::pin(s.good([(Prepare, DONE), (Prepare, DONE), (Abort, DONE)]))
    }),
    ("a prepare repeated after the commit takes nothing back", |s| {
        Box::pin(s.good([(Prepare, DONE), (Commit, DONE), (Prepare, DONE), (Commit, DONE)]))
    }),
    ("a yes can be aborted, and a repeated abort is done", |s| {
        Box::pin(s.good([(Prepare, DONE), (Abort, DONE), (Abort, DONE)]))
    }),
    ("an abort that comes first is done, and the late prepare is refused", |s| {
        Box::pin(s.good([(Abort, DONE), (Prepare, REFUSED), (Abort, DONE)]))
    }),
    ("a prepare that is late after its abort is refused", |s| {
        Box::pin(s.good([(Prepare, DONE), (Abort, DONE), (Prepare, REFUSED)]))
    }),
    ("a commit after an abort is not done", |s| {
        Box::pin(s.good([(Prepare, DONE), (Abort, DONE), (Commit, NOT_DONE)]))
    }),
    ("an abort after a commit says heuristic", |s| {
        Box::pin(s.good([(Prepare, DONE), (Commit, DONE), (Abort, HEURISTIC)]))
    }),
    ("a refusal stays a refusal", |s| Box::pin(s.bad([(Prepare, REFUSED), (Prepare, REFUSED)]))),
    ("the abort of what was refused is done", |s| {
        Box::pin(s.bad([(Prepare, REFUSED), (Abort, DONE)]))
    }),
    ("a commit of what was refused is not done", |s| {
        Box::pin(s.bad([(Prepare, REFUSED), (Commit, NOT_DONE)]))
    }),
    ("an expired prepare is refused", |s| Box::pin(s.expired(Prepare))),
    ("prepares and commits at the same time all give the same answer", |s| {
        Box::pin(s.at_the_same_time())
    }),
    ("an unknown operation is not a success", |s| Box::pin(s.unknown_operation())),
    ("a malformed body is not a success", |s| Box::pin(s.malformed_body())),
    ("a one-phase commit is done, also when repeated, and final", |s| {
        Box::pin(s.one_phase(
            &s.good,
            [(CommitOnePhase, DONE), (CommitOnePhase, DONE), (Abort, HEURISTIC)],
        ))
    }),
    ("a one-phase commit after an abort is refused", |s| {
        Box::pin(s.one_phase(&s.good, [(Abort, DONE), (CommitOnePhase, REFUSED)]))
    }),
    ("a refused one-phase commit stays refused", |s| {
        Box::pin(s.one_phase(
            &s.refused,
            [(CommitOnePhase, REFUSED), (CommitOnePhase, REFUSED), (Abort, DONE)],
        ))
    }),
    ("an expired one-phase commit is refused", |s| {
        Box::pin(async { s.offers_one_phase().await?.expired(CommitOnePhase).await })
    }),
];

/// What an answer must be, in words and as a test.
type Expected = (&'static str, fn(&Answer) -> bool);

const DONE: Expected = ("done", |answer| *answer == Answer::Done);
const REFUSED: Expected = ("refused", |answer| matches!(answer, Answer::Refused { .. }));
const HEURISTIC: Expected = ("heuristic", |answer| matches!(answer, Answer::Heuristic { .. }));
const NOT_DONE: Expected = ("anything but done", |answer| *answer != Answer::Done);

/// Why a check did not pass.
enum Broken {
    NotOffered,
    Seen(String),
}

/// Longer than any check takes, and shorter than a participant's limit on expiries.
const EXPIRES_AFTER: Duration = Duration::from_secs(60);
/// How long a participant may say that it is still at it.
const PENDING_LIMIT: Duration = Duration::from_secs(10);
/// Between one pending answer and the next question.
const PENDING_PAUSE: Duration = Duration::from_millis(50);
/// Calls at the same time.
const AT_ONCE: usize = 8;

struct Suite {
    participant: HttpParticipant,
    branch: BranchName,
    good: Payload,
    refused: Payload,
    log: LogId,
}

impl Suite {
    async fn good<const N: usize>(&self, steps: [(Operation, Expected); N]) -> Result<(), Broken> {
        self.follow(&self.transaction(&self.good)?, &steps).await
    }

    async fn bad<const N: usize>(&self, steps: [(Operation, Expected); N]) -> Result<(), Broken> {
        self.follow(&self.transaction(&self.refused)?, &steps).await
    }

    /// Asks one operation after the other, and compares each answer.
    async fn follow(&self, call: &Call, steps: &[(Operation, Expected)]) -> Result<(), Broken> {
        let mut asked = String::new();
        for &(operation, (expected, is_expected)) in steps {
            let answer = self.ask(call, operation).await;
            asked.push_str(if asked.is_empty() { "" } else { ", " });
            asked.push_str(operation.as_str());
            if !is_expected(&answer) {
                let seen = format!("after {asked}: expected {expected}, saw {answer:?}");
                return Err(Broken::Seen(seen));
            }
        }
        Ok(())
    }

    async fn expired(&self, operation: Operation) -> Result<(), Broken> {
        let mut call = self.transaction(&self.good)?;
        // So long ago that no difference between the clocks matters.
        call.expires = Some(Timestamp::from_millis(1));
        self.follow(&call, &[(operation, REFUSED), (Abort, DONE)]).await
    }

    async fn at_the_same_time(&self) -> Result<(), Broken> {
        let call = self.transaction(&self.good)?;
        for operation in [Prepare, Commit] {
            let steps = [(operation, DONE)];
            let same = (0..AT_ONCE).map(|_| self.follow(&call, &steps));
            join_all(same).await.into_iter().collect::<Result<(), Broken>>()?;
        }
        Ok(())
    }

    async fn unknown_operation(&self) -> Result<(), Broken> {
        let call = self.transaction(&self.good)?;
        let uri = format!("{}/no-such-operation", self.participant.url());
        let uri = uri.parse().map_err(|why| Broken::Seen(format!("{uri} is no address: {why}")))?;
        let status = self.participant.status_of(call, |request| *request.uri_mut() = uri).await;
        no_success(status)
    }

    async fn malformed_body(&self) -> Result<(), Broken> {
        let call = self.transaction(&self.good)?;
        let broken = Full::new(Bytes::from_static(b"{\"never\": \"closed"));
        let status = self.participant.status_of(call, |request| *request.body_mut() = broken).await;
        no_success(status)
    }

    async fn one_phase<const N: usize>(
        &self,
        payload: &Payload,
        steps: [(Operation, Expected); N],
    ) -> Result<(), Broken> {
        let call = self.offers_one_phase().await?.transaction(payload)?;
        self.follow(&call, &steps).await
    }

    /// A service says that it offers no one-phase commit as it says of any address it has not.
    async fn offers_one_phase(&self) -> Result<&Self, Broken> {
        let call = Call { operation: CommitOnePhase, ..self.transaction(&self.refused)? };
        match self.participant.status_of(call, |_| {}).await.map_err(Broken::Seen)?.as_u16() {
            404 | 405 | 501 => Err(Broken::NotOffered),
            _ => Ok(self),
        }
    }

    /// A call of a new transaction.
    fn transaction(&self, payload: &Payload) -> Result<Call, Broken> {
        let seen = |why: ConformanceError| Broken::Seen(why.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::default() + now;
        Ok(Call {
            transaction: TransactionId::mint(0, now, random().map_err(seen)?, self.log),
            branch: self.branch.clone(),
            operation: Prepare,
            own_name: None,
            expires: Some(now + EXPIRES_AFTER),
            payload: payload.clone(),
        })
    }

    /// Asks, and asks again while the answer is pending.
    async fn ask(&self, call: &Call, operation: Operation) -> Answer {
        let expires = call.expires.filter(|_| operation.is_first_phase());
        let call = Call { operation, expires, ..call.clone() };
        let started = Instant::now();
        loop {
            let answer = self.participant.call(call.clone()).await;
            match answer {
                Answer::Pending { retry_after } if started.elapsed() < PENDING_LIMIT => {
                    let pause = retry_after.unwrap_or(PENDING_PAUSE);
                    tokio::time::sleep(pause.min(PENDING_LIMIT)).await;
                }
                answer => return answer,
            }
        }
    }
}

fn no_success(status: Result<StatusCode, String>) -> Result<(), Broken> {
    match status {
        Ok(status) if !status.is_success() => Ok(()),
        Ok(status) => Err(Broken::Seen(format!("the status {status}"))),
        Err(seen) => Err(Broken::Seen(seen)),
    }
}

fn random() -> Result<u64, ConformanceError> {
    getrandom::u64().map_err(|why| ConformanceError::Random(why.to_string()))
}
