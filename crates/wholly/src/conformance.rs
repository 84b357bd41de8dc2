//! Checks that a service, in any language, keeps the participant's half of the protocol over HTTP.
//!
//! The suite plays a coordinator whose network repeats, delays and reorders: it asks twice, aborts
//! first, comes late, and looks at the answers. It cannot see inside a service: the service's own
//! tests must show that an operation takes effect once, and survives the service's crash.

mod asking;
mod report;
mod saga;

use futures_util::future::join_all;
use serde_json::Value;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{Payload, Timestamp};

use self::asking::{
    AT_ONCE, Asking, Broken, DONE, Expected, HEURISTIC, NOT_DONE, REFUSED, Rule, no_success,
    report, rules,
};
pub use self::report::{Check, ConformanceError, Report, Verdict};
pub use self::saga::{SagaProbe, saga_participant_conformance, saga_participant_conformance_of};
use crate::HttpParticipant;

use Operation::{Abort, Commit, CommitOnePhase, Prepare};

/// Two payloads to try a service with.
#[derive(Clone, Debug)]
pub struct Payloads {
    /// A payload that the service always accepts. In two-phase the suite prepares it about a dozen
    /// times, in transactions of its own, and commits it about five times; a saga's action it makes
    /// about eight times, and takes back all but one.
    pub good: Value,
    /// A payload that the service always refuses.
    pub refused: Value,
}

impl Payloads {
    /// The accepted and the refused one, as they are sent.
    fn parse(&self) -> Result<[Payload; 2], ConformanceError> {
        match self.good == self.refused {
            true => Err(ConformanceError::SamePayload),
            false => Ok([Payload::of(&self.good)?, Payload::of(&self.refused)?]),
        }
    }
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
/// use wholly::conformance::{Payloads, participant_conformance};
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
    participant_conformance_of(HttpParticipant::at(url)?, payloads).await
}

/// The same of a service that asks for credentials or signatures, or that needs more than 5 seconds
/// for a call: `participant` has them.
///
/// # Errors
/// As [`participant_conformance`].
pub async fn participant_conformance_of(
    participant: HttpParticipant,
    payloads: &Payloads,
) -> Result<Report, ConformanceError> {
    let [good, refused] = payloads.parse()?;
    let suite = Suite { asking: Asking::of(participant)?, good, refused };
    Ok(report(&suite, RULES).await)
}

const RULES: &[Rule<Suite>] = rules! {
    "a yes can be committed" => |s| s.good([(Prepare, DONE), (Commit, DONE)]),
    "a repeated commit is done" =>
        |s| s.good([(Prepare, DONE), (Commit, DONE), (Commit, DONE), (Commit, DONE)]),
    "a repeated prepare gives the same answer" =>
        |s| s.good([(Prepare, DONE), (Prepare, DONE), (Abort, DONE)]),
    "a prepare repeated after the commit takes nothing back" =>
        |s| s.good([(Prepare, DONE), (Commit, DONE), (Prepare, DONE), (Commit, DONE)]),
    "a yes can be aborted, and a repeated abort is done" =>
        |s| s.good([(Prepare, DONE), (Abort, DONE), (Abort, DONE)]),
    "an abort that comes first is done, and the late prepare is refused" =>
        |s| s.good([(Abort, DONE), (Prepare, REFUSED), (Abort, DONE)]),
    "a prepare that is late after its abort is refused" =>
        |s| s.good([(Prepare, DONE), (Abort, DONE), (Prepare, REFUSED)]),
    "a commit after an abort is not done" =>
        |s| s.good([(Prepare, DONE), (Abort, DONE), (Commit, NOT_DONE)]),
    "an abort after a commit says heuristic" =>
        |s| s.good([(Prepare, DONE), (Commit, DONE), (Abort, HEURISTIC)]),
    "a refusal stays a refusal" => |s| s.bad([(Prepare, REFUSED), (Prepare, REFUSED)]),
    "the abort of what was refused is done" => |s| s.bad([(Prepare, REFUSED), (Abort, DONE)]),
    "a commit of what was refused is not done" =>
        |s| s.bad([(Prepare, REFUSED), (Commit, NOT_DONE)]),
    "an expired prepare is refused" => |s| s.expired(Prepare),
    "prepares and commits at the same time all give the same answer" => |s| s.at_the_same_time(),
    "an unknown operation is not a success" => |s| s.unknown_operation(),
    "a malformed body is not a success" => |s| s.malformed_body(),
    "a one-phase commit is done, also when repeated, and final" =>
        |s| s.one_phase(&s.good, [(CommitOnePhase, DONE), (CommitOnePhase, DONE), (Abort, HEURISTIC)]),
    "a one-phase commit after an abort is refused" =>
        |s| s.one_phase(&s.good, [(Abort, DONE), (CommitOnePhase, REFUSED)]),
    "a refused one-phase commit stays refused" =>
        |s| s.one_phase(&s.refused, [(CommitOnePhase, REFUSED), (CommitOnePhase, REFUSED), (Abort, DONE)]),
    "an expired one-phase commit is refused" =>
        |s| async { s.offers_one_phase().await?.expired(CommitOnePhase).await },
};

struct Suite {
    asking: Asking,
    good: Payload,
    refused: Payload,
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
            let expires = call.expires.filter(|_| operation.is_first_phase());
            let answer = self.asking.ask(&Call { operation, expires, ..call.clone() }).await;
            asked.push_str(if asked.is_empty() { "" } else { ", " });
            asked.push_str(operation.as_str());
            if !is_expected(&answer) {
                let seen = format!("after {asked}: expected {expected}, saw {}", in_words(&answer));
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
        no_success(self.asking.at_no_such_operation(&call).await?)
    }

    async fn malformed_body(&self) -> Result<(), Broken> {
        self.asking.malformed_body(&self.transaction(&self.good)?).await
    }

    async fn one_phase<const N: usize>(
        &self,
        payload: &Payload,
        steps: [(Operation, Expected); N],
    ) -> Result<(), Broken> {
        let call = self.offers_one_phase().await?.transaction(payload)?;
        self.follow(&call, &steps).await
    }

    /// Asks for one-phase commit; a service without it answers as for any address it has not.
    async fn offers_one_phase(&self) -> Result<&Self, Broken> {
        let call = Call { operation: CommitOnePhase, ..self.transaction(&self.refused)? };
        let asked = self.asking.participant.ask_changed(&call, |_| {}).await;
        match asked.map_err(Broken::Seen)?.0.as_u16() {
            404 | 405 | 501 => Err(Broken::NotOffered),
            _ => Ok(self),
        }
    }

    fn transaction(&self, payload: &Payload) -> Result<Call, Broken> {
        self.asking.call(Prepare, None, payload)
    }
}

/// An answer as a report names it.
fn in_words(answer: &Answer) -> String {
    match answer.reason().trim_end_matches([':', ' ']) {
        "" => answer.as_str().to_owned(),
        reason => format!("{} ({reason})", answer.as_str()),
    }
}
