//! The suite for a service that offers sagas an action and its compensation.

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use wholly_core::wire::{Answer, Call, Operation, compensation_payload, header};
use wholly_core::{OperationName, Payload, Timestamp};

use super::asking::{AT_ONCE, Asking, Broken, DONE, Expected, REFUSED, Rule, report, rules};
use super::report::{ConformanceError, Report};
use super::{Payloads, in_words};
use crate::HttpParticipant;

use Operation::{Action, Compensation};

/// An action and its compensation, to try a service with.
#[derive(Clone, Debug)]
pub struct SagaProbe {
    /// The action's name, as in the path.
    pub action: String,
    /// The compensation's name, as in the path.
    pub compensation: String,
    /// The payloads that the action accepts and refuses.
    pub payloads: Payloads,
}

/// Asks the service at `url` everything that the contract has an answer to about one action and
/// its compensation.
///
/// It needs nothing but the service, which should be one for tests: one of the actions is left
/// standing. Every check uses transactions of its own. A service that answers *pending* is asked
/// again for ten seconds.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// use serde_json::json;
/// use wholly::conformance::{Payloads, SagaProbe, saga_participant_conformance};
///
/// let probe = SagaProbe {
///     action: "reserve".to_owned(),
///     compensation: "release".to_owned(),
///     payloads: Payloads {
///         good: json!({"item_id": "item1", "quantity": 1}),
///         refused: json!({"item_id": "item1", "quantity": 1_000_000}),
///     },
/// };
/// let report = saga_participant_conformance("http://localhost:8080/wholly", &probe).await?;
/// assert!(report.passed(), "{report}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the suite cannot be run. A service that breaks the contract, or that is not there, is no
/// error but a [`Report`] that says so.
pub async fn saga_participant_conformance(
    url: &str,
    probe: &SagaProbe,
) -> Result<Report, ConformanceError> {
    saga_participant_conformance_of(HttpParticipant::at(url)?, probe).await
}

/// The same of a service that asks for credentials or signatures, or that needs more than 5 seconds
/// for a call: `participant` has them.
///
/// # Errors
/// As [`saga_participant_conformance`].
pub async fn saga_participant_conformance_of(
    participant: HttpParticipant,
    probe: &SagaProbe,
) -> Result<Report, ConformanceError> {
    let [good, refused] = probe.payloads.parse()?;
    let suite = Suite {
        asking: Asking::of(participant)?,
        action: OperationName::new(probe.action.as_str())?,
        compensation: OperationName::new(probe.compensation.as_str())?,
        good,
        refused,
    };
    Ok(report(&suite, RULES).await)
}

const RULES: &[Rule<Suite>] = rules! {
    "an action is done, and so is its compensation" =>
        |s| s.good([(Action, DONE), (Compensation, DONE)]),
    "a repeated action gives the same answer and output" =>
        |s| s.good([(Action, DONE), (Action, DONE), (Action, DONE), (Compensation, DONE)]),
    "a repeated compensation is done" =>
        |s| s.good([(Action, DONE), (Compensation, DONE), (Compensation, DONE)]),
    "an action that is late after its compensation is refused" =>
        |s| s.good([(Action, DONE), (Compensation, DONE), (Action, REFUSED)]),
    "a compensation that finds nothing to take back is done, also when repeated" =>
        |s| s.good([(Compensation, DONE), (Compensation, DONE)]),
    "an action that comes after a compensation that found nothing is refused" =>
        |s| s.good([(Compensation, DONE), (Action, REFUSED), (Action, REFUSED)]),
    "a compensation is done also where the output is not known" => |s| s.output_not_known(),
    "a refusal stays a refusal" => |s| s.bad([(Action, REFUSED), (Action, REFUSED)]),
    "the compensation of what was refused is done" =>
        |s| s.bad([(Action, REFUSED), (Compensation, DONE), (Compensation, DONE)]),
    "an expired action is refused, and stays refused" => |s| s.expired(),
    "an action without an expiry is done" => |s| s.without_expiry(),
    "actions and compensations at the same time all give the same answer" =>
        |s| s.at_the_same_time(),
    "an unknown operation is answered 404" => |s| s.unknown_operation(),
    "headers that contradict the address are a mistake, and nothing is done" =>
        |s| s.contradicting_headers(),
    "a transaction that is missing or none is a mistake" => |s| s.no_transaction(),
    "a malformed body is not a success" => |s| s.malformed_body(),
};

struct Suite {
    asking: Asking,
    action: OperationName,
    compensation: OperationName,
    good: Payload,
    refused: Payload,
}

impl Suite {
    async fn good<const N: usize>(&self, asks: [(Operation, Expected); N]) -> Result<(), Broken> {
        StepUnderTest::of(self, self.action(&self.good)?).follow(&asks).await
    }

    async fn bad<const N: usize>(&self, asks: [(Operation, Expected); N]) -> Result<(), Broken> {
        StepUnderTest::of(self, self.action(&self.refused)?).follow(&asks).await
    }

    async fn output_not_known(&self) -> Result<(), Broken> {
        let mut step = StepUnderTest::of(self, self.action(&self.good)?);
        step.follow(&[(Action, DONE)]).await?;
        // As after an answer that was lost.
        step.first = None;
        step.follow(&[(Compensation, DONE), (Action, REFUSED)]).await
    }

    async fn expired(&self) -> Result<(), Broken> {
        let mut step = StepUnderTest::of(self, self.action(&self.good)?);
        let expires = step.action.expires;
        // So long ago that no difference between the clocks matters.
        step.action.expires = Some(Timestamp::from_millis(1));
        step.follow(&[(Action, REFUSED)]).await?;
        step.action.expires = expires;
        step.follow(&[(Action, REFUSED), (Compensation, DONE)]).await
    }

    /// As after a saga's pivot, where nothing is taken back any more.
    async fn without_expiry(&self) -> Result<(), Broken> {
        let action = Call { expires: None, ..self.action(&self.good)? };
        StepUnderTest::of(self, action).follow(&[(Action, DONE), (Action, DONE)]).await
    }

    async fn at_the_same_time(&self) -> Result<(), Broken> {
        let mut step = StepUnderTest::of(self, self.action(&self.good)?);
        let answers = join_all((0..AT_ONCE).map(|_| self.asking.ask(&step.action))).await;
        for answer in answers {
            step.compare(Action, answer, DONE)?;
        }
        let compensation = step.call(Compensation)?;
        let answers = join_all((0..AT_ONCE).map(|_| self.asking.ask(&compensation))).await;
        answers.into_iter().try_for_each(|answer| step.compare(Compensation, answer, DONE))
    }

    async fn unknown_operation(&self) -> Result<(), Broken> {
        match self.asking.at_no_such_operation(&self.action(&self.good)?).await?.as_u16() {
            404 => Ok(()),
            status => Err(Broken::Seen(format!("the status {status}"))),
        }
    }

    async fn contradicting_headers(&self) -> Result<(), Broken> {
        let mut step = StepUnderTest::of(self, self.action(&self.good)?);
        let compensation = step.call(Compensation)?;
        let action = HeaderValue::from_str(self.action.as_str());
        let action = action.map_err(|why| Broken::Seen(why.to_string()))?;
        let change = |headers: &mut HeaderMap| drop(headers.insert(header::OPERATION, action));
        self.mistaken(&compensation, change).await?;
        // A compensation that was done all the same would refuse the action.
        step.follow(&[(Action, DONE), (Compensation, DONE)]).await
    }

    async fn no_transaction(&self) -> Result<(), Broken> {
        let call = self.action(&self.good)?;
        self.mistaken(&call, |headers| drop(headers.remove(header::TRANSACTION))).await?;
        let none = HeaderValue::from_static("none");
        self.mistaken(&call, |headers| drop(headers.insert(header::TRANSACTION, none))).await
    }

    /// A mistaken call is answered 4xx, but not by a refusal, which would turn a saga back, nor by
    /// a status that asks to wait.
    async fn mistaken(
        &self,
        call: &Call,
        change: impl FnOnce(&mut HeaderMap),
    ) -> Result<(), Broken> {
        let change = |request: &mut http::Request<_>| change(request.headers_mut());
        let asked = self.asking.participant.ask_changed(call, change).await;
        match asked.map_err(Broken::Seen)? {
            (status, Answer::Unknown { .. }) if status.is_client_error() => Ok(()),
            (status, answer) => Err(Broken::Seen(format!("the status {status}: {answer:?}"))),
        }
    }

    async fn malformed_body(&self) -> Result<(), Broken> {
        self.asking.malformed_body(&self.action(&self.good)?).await
    }

    fn action(&self, payload: &Payload) -> Result<Call, Broken> {
        self.asking.call(Action, Some(&self.action), payload)
    }
}

/// One step of one saga, and the first answer to its action.
struct StepUnderTest<'a> {
    suite: &'a Suite,
    action: Call,
    /// The action's first answer.
    first: Option<Answer>,
    asked: String,
}

impl<'a> StepUnderTest<'a> {
    fn of(suite: &'a Suite, action: Call) -> Self {
        Self { suite, action, first: None, asked: String::new() }
    }

    /// Asks one operation after the other, and compares each answer.
    async fn follow(&mut self, asks: &[(Operation, Expected)]) -> Result<(), Broken> {
        for &(operation, expected) in asks {
            let answer = self.suite.asking.ask(&self.call(operation)?).await;
            self.compare(operation, answer, expected)?;
        }
        Ok(())
    }

    /// An action that is done again must say what it said first, its output too.
    fn compare(
        &mut self,
        operation: Operation,
        answer: Answer,
        (expected, is_expected): Expected,
    ) -> Result<(), Broken> {
        self.asked.push_str(if self.asked.is_empty() { "" } else { ", " });
        self.asked.push_str(operation.as_str());
        let asked = &self.asked;
        if !is_expected(&answer) {
            return Err(Broken::Seen(format!(
                "after {asked}: expected {expected}, saw {}",
                in_words(&answer)
            )));
        }
        if operation != Action || expected != DONE.0 {
            return Ok(());
        }
        match self.first.replace(answer.clone()) {
            Some(first) if first != answer => {
                Err(Broken::Seen(format!("after {asked}: saw {first:?} first, then {answer:?}")))
            }
            _ => Ok(()),
        }
    }

    /// The step's call of this operation; to a compensation with the output that is known by now.
    fn call(&self, operation: Operation) -> Result<Call, Broken> {
        if operation == Action {
            return Ok(self.action.clone());
        }
        let output = match &self.first {
            Some(Answer::DoneWith { output }) => Some(output.clone()),
            Some(_) => Some(Payload::null()),
            None => None,
        };
        let payload = compensation_payload(&self.action.payload, output.as_ref());
        Ok(Call {
            operation: Compensation,
            operation_name: Some(self.suite.compensation.clone()),
            expires: None,
            payload,
            ..self.action.clone()
        })
    }
}
