//! What travels between the coordinator and a participant, and what an HTTP answer means.
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
//! | everything else, and what contradicts itself | unknown: asked again |
//!
//! INVARIANT: what is not understood is [`Answer::Unknown`], never a refusal.

pub mod signature;

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    BranchName, InvalidPayload, OperationName, Payload, Timestamp, TraceContext, TransactionId,
};

/// The names of the headers.
pub mod header {
    /// The transaction's id.
    pub const TRANSACTION: &str = "wholly-transaction";
    /// The branch: the name that the coordinator knows the participant by, or the saga's step.
    pub const BRANCH: &str = "wholly-branch";
    /// The operation, as in the path.
    pub const OPERATION: &str = "wholly-operation";
    /// When a prepare, a one-phase commit or an action may no longer take effect: milliseconds
    /// since the Unix epoch. Absent where an operation has no such time.
    pub const EXPIRES: &str = "wholly-expires";
    /// `{transaction}/{branch}/{operation}`: the same for every attempt of one operation.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// The trace that the transaction belongs to, if it does (W3C Trace Context).
    pub const TRACEPARENT: &str = "traceparent";
    /// What else belongs to the trace.
    pub const TRACESTATE: &str = "tracestate";
    /// In the answer: what the status alone cannot say. One of the values of [`super::answer`].
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

/// What the coordinator asks of a participant.
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
    /// What a saga's step does, under a name of its own.
    Action,
    /// What takes a step back, under a name of its own.
    Compensation,
}

impl Operation {
    /// The operation's name: in two-phase that of paths and headers, in a saga what kind it is.
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

    /// Whether it belongs to the first phase: it may be refused, and it expires.
    pub const fn is_first_phase(self) -> bool {
        matches!(self, Self::Prepare | Self::CommitOnePhase | Self::Action)
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
    /// What is asked.
    pub operation: Operation,
    /// What a saga's step calls the operation; `None` in two-phase.
    pub own_name: Option<OperationName>,
    /// After this time the participant must refuse; `None` for the second phase, a compensation,
    /// and what comes after a saga's pivot.
    pub expires: Option<Timestamp>,
    /// The branch's payload, the same for each of its operations; the step's; or, to a
    /// compensation, [`compensation_payload`].
    pub payload: Payload,
    /// The trace that the transaction belongs to, if it does. It says nothing of what is asked.
    pub trace: Option<Arc<TraceContext>>,
}

impl Call {
    /// The same for every attempt of one operation, and for nothing else.
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
        self.own_name.as_ref().map_or(self.operation.as_str(), OperationName::as_str)
    }
}

/// What a compensation is given: the step's own input, and its output where it is known to have
/// been done. Without `output` it may have been done, and it may not.
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

/// The form of [`compensation_payload`], to be read by who compensates.
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

/// What a participant said to one attempt, or that nothing which can be understood came back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// It is done; to prepare: a yes. An action's output is then `null`.
    Done,
    /// To an action: it is done, and this is its output.
    DoneWith {
        /// What later steps may refer to, and what the compensation is given.
        output: Payload,
    },
    /// To prepare: yes, and nothing was changed, so that the second phase can leave it out.
    ReadOnly,
    /// The participant understood and says no.
    Refused {
        /// Why, in the participant's words.
        reason: String,
    },
    /// The participant is still at it.
    Pending {
        /// What the participant said to it; may be empty.
        reason: String,
        /// When to ask again, if the participant said so.
        retry_after: Option<Duration>,
        /// The head of the HTTP answer, if it came as one.
        http: Option<Box<HttpHead>>,
    },
    /// To commit or abort: the participant had already ended the branch the other way.
    Heuristic {
        /// How that came about, in the participant's words.
        reason: String,
    },
    /// Nothing that can be understood: it may have been done, and it may not.
    Unknown {
        /// What was seen instead of an answer.
        reason: String,
        /// The time for which the participant asks to be left alone, if it said so. It holds for
        /// every call to that participant, not only for this one.
        retry_after: Option<Duration>,
        /// The head of the HTTP answer, if there was one.
        http: Option<Box<HttpHead>>,
    },
    /// It cannot be done as it is asked, and asking again will not mend that: a person has to look.
    /// Only participants in process say so. It is unknown all the same, and asked again, for a new
    /// version of the program may know what to do.
    Stuck {
        /// What is in the way.
        reason: String,
    },
}

/// The head of the HTTP answer behind an [`Answer`] that ends nothing. It is for operators, and decides
/// nothing.
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

    /// The same answer, with the head of the HTTP answer that it was read from. What ends something is not asked
    /// again, so that nobody needs to know how it came.
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

    /// What it is called, without what it says.
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

/// A pending answer in words.
pub(crate) fn still_pending(reason: &str) -> String {
    match reason {
        "" => "still pending".to_owned(),
        reason => format!("still pending: {reason}"),
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

/// The parts of an HTTP answer that carry its meaning.
#[derive(Clone, Copy, Debug)]
pub struct HttpAnswer<'a> {
    /// The status code.
    pub status: u16,
    /// The header `Wholly-Answer`; where it is there more than once, all values with commas between.
    pub answer: Option<&'a str>,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<Duration>,
    /// The body, or its start: an output in JSON, plain text, or a problem document with a
    /// `detail`.
    pub body: &'a [u8],
    /// There was more of the body, or may have been.
    pub cut_off: bool,
    /// The header `Content-Type` says that the body is JSON.
    pub json: bool,
}

impl HttpAnswer<'_> {
    /// What the answer to `operation` means; `also_refused` are the statuses that the
    /// configuration counts as a refusal for this participant.
    ///
    /// ```
    /// # use wholly_core::wire::{Answer, HttpAnswer, Operation};
    /// let seen = HttpAnswer {
    ///     status: 409,
    ///     answer: None,
    ///     retry_after: None,
    ///     body: b"",
    ///     cut_off: false,
    ///     json: false,
    /// };
    /// // Middleware says 409 of a request still in progress: that is no refusal.
    /// assert_eq!(seen.meaning(Operation::Prepare, &[]), Answer::pending(None));
    /// ```
    pub fn meaning(&self, operation: Operation, also_refused: &[u16]) -> Answer {
        if self.answer.is_none() && self.is_page() {
            return Answer::unknown(format!(
                "status {}: a page of HTML, which is no participant's answer: {}",
                self.status,
                self.reason()
            ));
        }
        let is_also_refused = also_refused.contains(&self.status);
        match (self.status, self.answer) {
            (410, Some(answer::HEURISTIC)) if !operation.is_first_phase() => {
                Answer::heuristic(self.reason())
            }
            (409 | 422, Some(answer::REFUSED)) => Answer::refused(self.reason()),
            (_, None | Some(answer::REFUSED)) if is_also_refused => Answer::refused(self.reason()),
            (202 | 409 | 425, None) => {
                Answer::Pending { reason: self.reason(), retry_after: self.retry_after, http: None }
            }
            (202, Some(said)) => self.contradicts(said),
            (200..=299, Some(answer::READ_ONLY)) if operation == Operation::Prepare => {
                Answer::ReadOnly
            }
            (200..=299, None | Some(answer::READ_ONLY)) => match operation {
                Operation::Action => self.output(),
                Operation::Prepare
                | Operation::Commit
                | Operation::Abort
                | Operation::CommitOnePhase
                | Operation::Compensation => Answer::Done,
            },
            (_, Some(said)) => self.contradicts(said),
            (status, None) => {
                let reason = cut(format!("status {status}: {}", self.reason()));
                let retry_after = self.retry_after.filter(|_| matches!(status, 429 | 503));
                Answer::Unknown { reason, retry_after, http: None }
            }
        }
    }

    /// Its status and its header `Wholly-Answer` do not go together, so that neither is believed.
    fn contradicts(&self, said: &str) -> Answer {
        let (status, reason) = (self.status, self.reason());
        Answer::unknown(format!(
            "status {status} with Wholly-Answer: {said:?}, which do not go together: {reason}"
        ))
    }

    /// True if the body is markup. What stands between may answer for a participant that it does not
    /// reach, with any status; no output in JSON and hardly a plain text begins so.
    fn is_page(&self) -> bool {
        let text = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.body);
        text.trim_ascii_start().starts_with(b"<")
    }

    /// An action is done, and the body is its output. An output that cannot be had leaves unknown
    /// what later steps would read, so the action is asked again.
    fn output(&self) -> Answer {
        if self.body.is_empty() && !self.cut_off {
            return Answer::Done;
        }
        let useless =
            |why: &str| Answer::unknown(format!("it was done, but its output is no use: {why}"));
        if self.cut_off {
            return useless("it did not arrive whole, or is longer than the limit");
        }
        let parsed = std::str::from_utf8(self.body).map(Payload::parse);
        match parsed {
            Ok(Ok(output)) => Answer::DoneWith { output },
            Ok(Err(why @ InvalidPayload::TooLong { .. })) => useless(&why.to_string()),
            // A greeting in plain text is no output.
            Err(_) | Ok(Err(_)) if !self.json => Answer::Done,
            Ok(Err(why)) => useless(&why.to_string()),
            Err(why) => useless(&why.to_string()),
        }
    }

    /// The problem document's `detail`, or the body's text.
    fn reason(&self) -> String {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        match serde_json::from_slice::<Problem>(self.body) {
            Ok(problem) => cut(problem.detail),
            Err(_) => cut(String::from_utf8_lossy(self.body).trim().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: u16, answer: Option<&'static str>) -> HttpAnswer<'static> {
        let body = br#"{"detail":"no stock"}"#;
        HttpAnswer { status, answer, retry_after: None, body, cut_off: false, json: true }
    }

    #[test]
    fn only_an_explicit_refusal_is_one() {
        for status in 100..600 {
            let meaning = seen(status, None).meaning(Operation::Prepare, &[]);
            assert!(!matches!(meaning, Answer::Refused { .. }), "{status} taken for a refusal");
        }
        let refused = Answer::refused("no stock");
        assert_eq!(seen(409, Some("refused")).meaning(Operation::Prepare, &[]), refused);
        assert_eq!(seen(422, Some("refused")).meaning(Operation::Prepare, &[]), refused);
        assert_eq!(seen(400, None).meaning(Operation::Prepare, &[400]), refused);
        assert!(matches!(
            seen(404, Some("refused")).meaning(Operation::Prepare, &[]),
            Answer::Unknown { .. }
        ));
    }

    #[test]
    fn only_a_service_without_capacity_asks_to_be_left_alone() {
        let wait = Some(Duration::from_secs(7));
        for status in [401, 429, 500, 502, 503, 504] {
            let said = HttpAnswer { retry_after: wait, ..seen(status, None) };
            let Answer::Unknown { retry_after, .. } = said.meaning(Operation::Commit, &[]) else {
                panic!("{status}");
            };
            assert_eq!(retry_after, wait.filter(|_| [429, 503].contains(&status)), "{status}");
        }
    }

    #[test]
    fn a_heuristic_only_answers_the_second_phase() {
        let said = seen(410, Some("heuristic"));
        assert_eq!(said.meaning(Operation::Abort, &[]), Answer::heuristic("no stock"));
        assert!(matches!(said.meaning(Operation::Prepare, &[]), Answer::Unknown { .. }));
    }

    #[test]
    fn what_contradicts_itself_is_unknown() {
        let is_unknown = |status, said: &'static str, operation| {
            let meaning = seen(status, Some(said)).meaning(operation, &[402, 409]);
            assert!(matches!(meaning, Answer::Unknown { .. }), "{status} {said}: {meaning:?}");
        };
        let pairs: [(&[&str], &[u16]); 4] = [
            (&["refused", "heuristic"], &[200, 201, 202, 204, 425]),
            (
                &["Refused", "REFUSED", "refused, refused", "Read-Only", "", "yes"],
                &[200, 202, 402, 409, 410, 422, 425, 500],
            ),
            (&["heuristic"], &[402, 409, 422]),
            (&["read-only"], &[202, 402, 409]),
        ];
        for operation in [Operation::Prepare, Operation::Commit, Operation::Action] {
            for (words, statuses) in pairs {
                for said in words {
                    statuses.iter().for_each(|status| is_unknown(*status, said, operation));
                }
            }
        }
        is_unknown(410, "Heuristic", Operation::Abort);
        is_unknown(410, "heuristic, heuristic", Operation::Abort);
    }

    #[test]
    fn a_page_of_html_is_no_answer() {
        for body in ["<!DOCTYPE html><p>Sign in", " \r\n<html>", "\u{feff}<html>", "<p>Maintenance"]
        {
            let page = |status, answer| HttpAnswer {
                body: body.as_bytes(),
                json: false,
                ..seen(status, answer)
            };
            for operation in [Operation::Prepare, Operation::Commit, Operation::Compensation] {
                for status in [200, 202, 203, 402, 403, 409, 425, 503] {
                    let meaning = page(status, None).meaning(operation, &[402, 403]);
                    assert!(matches!(meaning, Answer::Unknown { .. }), "{status}: {meaning:?}");
                }
            }
            let meaning = page(200, None).meaning(Operation::Action, &[]);
            assert!(matches!(meaning, Answer::Unknown { .. }), "{meaning:?}");
            // This header no proxy makes up.
            let refused = page(409, Some("refused")).meaning(Operation::Prepare, &[]);
            assert!(matches!(refused, Answer::Refused { .. }), "{refused:?}");
        }
    }

    #[test]
    fn an_output_is_whole_json_or_none() {
        let said = |body, cut_off, json| {
            let seen =
                HttpAnswer { status: 200, answer: None, retry_after: None, body, cut_off, json };
            seen.meaning(Operation::Action, &[])
        };
        let output = Payload::parse(r#"{"id":7}"#).unwrap();
        assert_eq!(said(br#"{"id":7}"#, false, true), Answer::DoneWith { output });
        assert_eq!(said(b"", false, true), Answer::Done);
        assert_eq!(said(b"OK", false, false), Answer::Done);
        // Half an output is none, even where the half is JSON too.
        for (body, cut_off) in [(&b"{\"id\""[..], false), (b"7", true), (b"", true)] {
            assert!(matches!(said(body, cut_off, true), Answer::Unknown { .. }), "{body:?}");
        }
        let long = format!("\"{}\"", "x".repeat(Payload::LIMIT));
        assert!(matches!(said(long.as_bytes(), false, true), Answer::Unknown { .. }));
        // To a compensation a body says nothing.
        assert_eq!(seen(200, None).meaning(Operation::Compensation, &[]), Answer::Done);
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let Answer::Refused { reason } = Answer::refused("é".repeat(400)) else { unreachable!() };
        assert_eq!(reason.len(), REASON_LIMIT);
        assert!(cut("a".to_owned() + &"é".repeat(400)).len() < REASON_LIMIT);
    }
}
