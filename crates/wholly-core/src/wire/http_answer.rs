//! The meaning of an HTTP answer.

use std::time::Duration;

use serde::Deserialize;

use super::{Answer, Operation, answer, cut};
use crate::{InvalidPayload, Payload};

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
    /// True if there was more of the body, or may have been.
    pub cut_off: bool,
    /// True if the header `Content-Type` says that the body is JSON.
    pub json: bool,
}

impl HttpAnswer<'_> {
    /// The meaning of the answer to `operation`; `also_refused` are the statuses that the
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

    /// True if the body is markup. A proxy may answer for a participant that it does not reach,
    /// with any status; no output in JSON and hardly a plain text begins so.
    fn is_page(&self) -> bool {
        let text = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.body);
        text.trim_ascii_start().starts_with(b"<")
    }

    /// The answer of an action that is done, with the body as its output. Without the output later
    /// steps would not know their input, so the action is unknown and asked again.
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
    use super::super::REASON_LIMIT;
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
            // No proxy makes up this header.
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
