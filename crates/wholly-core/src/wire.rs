//! The messages between the coordinator and a participant, and the meaning of an HTTP answer.
//!
//! The contract, in one table. `POST {participant}/{operation}` with the branch's or step's payload
//! as the body; the headers are those of [`header`]. In two-phase the operations are `prepare`,
//! `commit`, `abort` and `commit-one-phase`; a saga's step names its own action and compensation. A
//! compensation's body is [`compensation_payload`].
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx but 202 | done; to an action the JSON body is the output; with `Wholly-Answer: read-only` to prepare: a read-only vote |
//! | 409 or 422 with `Wholly-Answer: refused`, or a status that the configuration names | refused |
//! | 202, 425, or a 409 without the header | pending: asked again after `Retry-After` |
//! | 410 with `Wholly-Answer: heuristic`, to commit or abort | ended the other way |
//! | a page of HTML without `Wholly-Answer` | unknown: a proxy's, whatever its status |
//! | everything else, and an answer that contradicts itself | unknown: asked again |
//!
//! INVARIANT: what is not understood is [`Answer::Unknown`], never a refusal.

mod http_answer;
pub mod signature;

pub use http_answer::HttpAnswer;

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{BranchName, OperationName, Pattern, Payload, Timestamp, TraceContext, TransactionId};

/// The names of the headers.
pub mod header {
    /// The transaction's id.
    pub const TRANSACTION: &str = "wholly-transaction";
    /// The branch: the name that the coordinator knows the participant by, or the saga's step.
    pub const BRANCH: &str = "wholly-branch";
    /// The operation, as in the path.
    pub const OPERATION: &str = "wholly-operation";
    /// The time from which a prepare, a one-phase commit or an action may not take effect, in
    /// milliseconds since the Unix epoch. Absent where an operation has no such time.
    pub const EXPIRES: &str = "wholly-expires";
    /// `{transaction}/{branch}/{operation}`: the same for every attempt of one operation.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// The trace that the transaction belongs to, if it does (W3C Trace Context).
    pub const TRACEPARENT: &str = "traceparent";
    /// The rest of the trace.
    pub const TRACESTATE: &str = "tracestate";
    /// In the answer: the meaning beyond the status. One of the values of [`super::answer`].
    pub const ANSWER: &str = "wholly-answer";
}

/// The values of the header `Wholly-Answer`.
pub mod answer {
    /// With 2xx to prepare: the branch changed nothing and takes no part in the second phase.
    pub const READ_ONLY: &str = "read-only";
    /// With 409 or 422: the participant understood and says no.
    pub const REFUSED: &str = "refused";
    /// With 410 to commit or abort: the participant had ended the branch the other way.
    pub const HEURISTIC: &str = "heuristic";
}

/// An operation that the coordinator asks of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Validate, hold what the change needs, and vote.
    Prepare,
    /// Make the prepared change.
    Commit,
    /// Let go of what was prepared, and refuse a prepare that comes later.
    Abort,
    /// Validate and make the change at once: the decision is the participant's.
    CommitOnePhase,
    /// The work of a saga's step, under a name of its own.
    Action,
    /// The operation that takes a step back, under a name of its own.
    Compensation,
}

impl Operation {
    /// The operation's name: in two-phase that of paths and headers, in a saga that of its kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::CommitOnePhase => "commit-one-phase",
            Self::Action => "action",
            Self::Compensation => "compensation",
        }
    }

    /// True if it belongs to the first phase: it may be refused, and it expires.
    pub const fn is_first_phase(self) -> bool {
        matches!(self, Self::Prepare | Self::CommitOnePhase | Self::Action)
    }

    /// The pattern whose transactions ask it.
    pub const fn pattern(self) -> Pattern {
        match self {
            Self::Prepare | Self::Commit | Self::Abort | Self::CommitOnePhase => Pattern::TwoPhase,
            Self::Action | Self::Compensation => Pattern::Saga,
        }
    }

    /// The operations of two-phase commit, whose names no saga may give its own.
    pub const TWO_PHASE: [Self; 4] =
        [Self::Prepare, Self::Commit, Self::Abort, Self::CommitOnePhase];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no operation of two-phase commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation {0:?}")]
pub struct UnknownOperation(String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::TWO_PHASE
            .into_iter()
            .find(|operation| operation.as_str() == text)
            .ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}

/// One attempt at one operation of one branch, as it leaves the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The transaction.
    pub transaction: TransactionId,
    /// The branch, which bears its participant's name, or the saga's step.
    pub branch: BranchName,
    /// The operation that is asked for.
    pub operation: Operation,
    /// The name that a saga's step gives the operation; `None` in two-phase.
    pub operation_name: Option<OperationName>,
    /// After this time the participant must refuse; `None` for the second phase, a compensation,
    /// and a step after a saga's pivot.
    pub expires: Option<Timestamp>,
    /// The branch's payload, the same for each of its operations; the step's; or, to a
    /// compensation, [`compensation_payload`].
    pub payload: Payload,
    /// The trace that the transaction belongs to, if it does. It does not describe the request.
    pub trace: Option<Arc<TraceContext>>,
}

impl Call {
    /// A call as in two phases: without a name of its own, an expiry and a trace.
    pub const fn new(
        transaction: TransactionId,
        branch: BranchName,
        operation: Operation,
        payload: Payload,
    ) -> Self {
        let (operation_name, expires, trace) = (None, None, None);
        Self { transaction, branch, operation, operation_name, expires, payload, trace }
    }

    /// The key of every attempt of one operation, and of nothing else.
    pub fn idempotency_key(&self) -> String {
        let (branch, operation) = (self.branch.as_str(), self.operation_name());
        let length = TransactionId::TEXT_LENGTH + branch.len() + operation.len() + 2;
        let mut key = String::with_capacity(length);
        // A string takes all that is written.
        let _ = write!(key, "{}/{branch}/{operation}", self.transaction);
        key
    }

    /// The operation's name in the path and in `Wholly-Operation`.
    pub fn operation_name(&self) -> &str {
        self.operation_name.as_ref().map_or(self.operation.as_str(), OperationName::as_str)
    }
}

/// The body of a compensation: the step's own input, and its output where it is known to have been
/// done. Without `output` it may or may not have been done.
///
/// ```
/// # use wholly_core::{Payload, wire::compensation_payload};
/// let input = Payload::of(&2).unwrap();
/// assert_eq!(compensation_payload(&input, None).as_str(), r#"{"input":2}"#);
/// let output = Payload::of("done").unwrap();
/// let known = compensation_payload(&input, Some(&output));
/// assert_eq!(known.as_str(), r#"{"input":2,"output":"done"}"#);
/// ```
///
pub fn compensation_payload(input: &Payload, output: Option<&Payload>) -> Payload {
    let mut text = format!("{{\"input\":{}", input.as_str());
    if let Some(output) = output {
        text.extend([",\"output\":", output.as_str()]);
    }
    text.push('}');
    // Values in a frame of JSON are JSON; the nesting of both is bounded where they came in.
    Payload::composed(text).unwrap_or_else(|_| Payload::null())
}

/// The form of [`compensation_payload`], to be read by a compensation.
///
/// ```
/// # use wholly_core::wire::CompensationPayload;
/// let known: CompensationPayload<u8, ()> = serde_json::from_str(r#"{"input":2,"output":null}"#)?;
/// assert_eq!(known.output, Some(()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "I: Deserialize<'de>, O: Deserialize<'de>"))]
pub struct CompensationPayload<I, O> {
    /// The step's own input.
    pub input: I,
    /// The step's output, where it is known to have been done. It may be `null`, which is not the
    /// same as absent.
    #[serde(default = "none", deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub output: Option<O>,
}

fn none<T>() -> Option<T> {
    None
}

fn known<'de, T: Deserialize<'de>, D: Deserializer<'de>>(output: D) -> Result<Option<T>, D::Error> {
    T::deserialize(output).map(Some)
}

/// A participant's answer to one attempt, or the lack of one that can be understood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// It is done; to prepare: a yes. An action's output is then `null`.
    Done,
    /// To an action: it is done, with this output.
    DoneWith {
        /// The output, for references of later steps and for the compensation.
        output: Payload,
    },
    /// To prepare: yes, and nothing was changed, so that the second phase can leave it out.
    ReadOnly,
    /// The participant understood and says no.
    Refused {
        /// The reason, in the participant's words.
        reason: String,
    },
    /// The participant is still at it.
    Pending {
        /// The participant's words with it; may be empty.
        reason: String,
        /// The pause before it is asked again, if the participant named one.
        retry_after: Option<Duration>,
        /// The head of the HTTP answer, if it came as one.
        http: Option<Box<HttpHead>>,
    },
    /// To commit or abort: the participant had already ended the branch the other way.
    Heuristic {
        /// The reason, in the participant's words.
        reason: String,
    },
    /// No answer that can be understood: it may or may not have been done.
    Unknown {
        /// The observation made instead of an answer.
        reason: String,
        /// The time for which the participant asks to be left alone, if it said so. It holds for
        /// every call to that participant, not only for this one.
        retry_after: Option<Duration>,
        /// The head of the HTTP answer, if there was one.
        http: Option<Box<HttpHead>>,
    },
    /// It cannot be done as asked, and asking again will not mend that: an operator has to look.
    /// Only participants in process say so. It is unknown all the same, and asked again, for a new
    /// version of the program may succeed.
    Stuck {
        /// The obstacle.
        reason: String,
    },
}

/// The head of the HTTP answer behind an [`Answer`] that ends nothing. It is for operators, and
/// decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpHead {
    /// The status.
    pub status: u16,
    /// The target of a redirect, which is not followed (cut to [`REASON_LIMIT`] bytes).
    pub redirect: Option<String>,
}

/// The longest reason that is kept, in bytes.
pub const REASON_LIMIT: usize = 500;

impl Answer {
    /// A refusal, for this reason (cut to [`REASON_LIMIT`] bytes).
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: cut(reason.into()) }
    }

    /// No answer that can be understood, but this (cut to [`REASON_LIMIT`] bytes).
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: cut(reason.into()), retry_after: None, http: None }
    }

    /// No answer, because the participant has no capacity now: it asks not to be called for
    /// `retry_after`, by whatever transaction. The reason is cut to [`REASON_LIMIT`] bytes.
    pub fn unavailable(reason: impl Into<String>, retry_after: Duration) -> Self {
        Self::Unknown { reason: cut(reason.into()), retry_after: Some(retry_after), http: None }
    }

    /// The participant is still at it, and says perhaps when to ask again.
    pub const fn pending(retry_after: Option<Duration>) -> Self {
        Self::Pending { reason: String::new(), retry_after, http: None }
    }

    /// The same answer, with the head of the HTTP answer that it was read from. An answer that ends
    /// something keeps none: it is not asked for again.
    #[must_use]
    pub fn with_http(mut self, status: u16, redirect: Option<String>) -> Self {
        if let (Self::Unknown { reason, .. }, Some(target)) = (&mut self, &redirect) {
            *reason = cut(format!("a redirect to {target}, which is not followed: {reason}"));
        }
        match &mut self {
            Self::Pending { http, .. } | Self::Unknown { http, .. } => {
                *http = Some(Box::new(HttpHead { status, redirect: redirect.map(cut) }));
            }
            Self::Done
            | Self::DoneWith { .. }
            | Self::ReadOnly
            | Self::Refused { .. }
            | Self::Heuristic { .. }
            | Self::Stuck { .. } => {}
        }
        self
    }

    /// The words that came with the answer; may be empty.
    pub fn reason(&self) -> &str {
        match self {
            Self::Done | Self::DoneWith { .. } | Self::ReadOnly => "",
            Self::Refused { reason }
            | Self::Pending { reason, .. }
            | Self::Heuristic { reason }
            | Self::Unknown { reason, .. }
            | Self::Stuck { reason } => reason,
        }
    }

    /// The head of the HTTP answer that it was read from, where that is kept.
    pub fn http(&self) -> Option<&HttpHead> {
        match self {
            Self::Pending { http, .. } | Self::Unknown { http, .. } => http.as_deref(),
            Self::Done
            | Self::DoneWith { .. }
            | Self::ReadOnly
            | Self::Refused { .. }
            | Self::Heuristic { .. }
            | Self::Stuck { .. } => None,
        }
    }

    /// Its name, without its contents.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done | Self::DoneWith { .. } => "done",
            Self::ReadOnly => answer::READ_ONLY,
            Self::Refused { .. } => answer::REFUSED,
            Self::Pending { .. } => "pending",
            Self::Heuristic { .. } => answer::HEURISTIC,
            Self::Unknown { .. } => "unknown",
            Self::Stuck { .. } => "stuck",
        }
    }

    /// Ended the other way, for this reason (cut to [`REASON_LIMIT`] bytes).
    pub fn heuristic(reason: impl Into<String>) -> Self {
        Self::Heuristic { reason: cut(reason.into()) }
    }
}

/// The words of an answer that did not end the operation.
pub(crate) fn what_came_back(answer: &Answer) -> String {
    match answer {
        Answer::Refused { reason } => format!("refused, which is not obeyed: {reason}"),
        Answer::Pending { reason, .. } if reason.is_empty() => "still pending".to_owned(),
        Answer::Pending { reason, .. } => format!("still pending: {reason}"),
        Answer::Unknown { reason, .. }
        | Answer::Stuck { reason }
        | Answer::Heuristic { reason } => reason.clone(),
        Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly => "done".to_owned(),
    }
}

/// Cuts a text to [`REASON_LIMIT`] bytes, at a character's border.
pub fn cut(text: String) -> String {
    cut_to(text, REASON_LIMIT)
}

/// Cuts a text to so many bytes, at a character's border.
pub fn cut_to(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
