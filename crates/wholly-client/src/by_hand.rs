//! What a person does by hand. Each needs a reason, which the server records.

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use wholly_core::TransactionId;
use wholly_dns::https::percent_encoded;

use crate::answer::{Record, Transaction};
use crate::client::{Client, json};
use crate::error::AskError;
use crate::http::Ask;
use crate::retry::{Answered, Unanswered};

/// How a person says that a branch or step ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum As {
    /// A branch: its change is made.
    Committed,
    /// A branch: its change is not made.
    Aborted,
    /// A step: its action is done, with this output.
    Completed(Option<Box<RawValue>>),
    /// A step: it is not done, or taken back.
    Compensated,
}

impl As {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Completed(_) => "completed",
            Self::Compensated => "compensated",
        }
    }
}

impl Client {
    /// Aborts a transaction that is not decided, or turns a saga back whose pivot cannot have left.
    /// Where that was done already, it does nothing.
    ///
    /// # Errors
    /// When it is too late for that, there is no such transaction, or no answer.
    pub async fn abort(&self, id: TransactionId, reason: &str) -> Result<(), AskError> {
        let path = format!("/v1/transactions/{id}/abort");
        self.by_hand(id, path, json(&Why { reason }), |_| false).await
    }

    /// Has everything that is outstanding of a transaction asked again, now.
    ///
    /// # Errors
    /// When nothing is outstanding, there is no such transaction, or no answer.
    pub async fn retry(&self, id: TransactionId, reason: &str) -> Result<(), AskError> {
        let path = format!("/v1/transactions/{id}/retry");
        self.by_hand(id, path, json(&Why { reason }), |now| now.settled).await
    }

    /// Ends a transaction that was set aside because its records cannot be used. Nobody is asked
    /// anything for it any more, and its key stays taken.
    ///
    /// # Errors
    /// When it was not set aside for that, it is not in flight, or there is no answer.
    pub async fn end(&self, id: TransactionId, reason: &str) -> Result<(), AskError> {
        let path = format!("/v1/transactions/{id}/end");
        let ended_so = |now: &Transaction| {
            now.settled && now.set_aside.as_ref().is_some_and(|why| why.ends_with(reason))
        };
        self.by_hand(id, path, json(&Why { reason }), ended_so).await
    }

    /// Ends a branch or a step by hand: a person knows how it ended.
    ///
    /// # Errors
    /// When there is no such branch, it is over, it cannot have ended so, or there is no answer.
    pub async fn resolve(
        &self,
        id: TransactionId,
        branch: &str,
        ended: As,
        reason: &str,
    ) -> Result<(), AskError> {
        #[derive(Serialize)]
        struct Word<'a> {
            r#as: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            output: Option<&'a RawValue>,
            reason: &'a str,
        }
        let output = match &ended {
            As::Completed(output) => output.as_deref(),
            _ => None,
        };
        let word = json(&Word { r#as: ended.as_str(), output, reason });
        let path = format!("/v1/transactions/{id}/branches/{}/resolve", percent_encoded(branch));
        self.by_hand(id, path, word, |now| resolved_so(now, branch, &ended, reason)).await
    }

    /// Says it until there is an answer. A conflict after a try whose answer was lost may come from
    /// that try: then `done` says whether what is recorded now is what was asked for.
    async fn by_hand(
        &self,
        id: TransactionId,
        path: String,
        body: Bytes,
        done: impl Fn(&Transaction) -> bool,
    ) -> Result<(), AskError> {
        let ask = Ask { method: Method::POST, path, body: Some(body), ..Ask::default() };
        let Answered { reply, lost } = match self.ask(&ask).await {
            Ok(answered) => answered,
            Err(Unanswered { why, .. }) => return Err(why),
        };
        let Err(why) = reply.done(&self.http().url(&ask)) else { return Ok(()) };
        let conflict = why.problem().is_some_and(|problem| problem.kind() == "conflict");
        match lost && conflict && done(&self.get(id).await?) {
            true => Ok(()),
            false => Err(why),
        }
    }
}

#[derive(Serialize)]
struct Why<'a> {
    reason: &'a str,
}

/// Whether the history has exactly this word: `{"resolved": [1, "committed", "a reason"]}`, where a
/// completed step has its output as well: `[1, {"completed": …}, "a reason"]`.
fn resolved_so(now: &Transaction, branch: &str, ended: &As, reason: &str) -> bool {
    let so = |record: &Record| {
        let body = record.body()?;
        let [place, how, why] = &body.as_array()?[..] else { return None };
        let how = how.as_str().or_else(|| how.as_object()?.keys().next().map(String::as_str))?;
        let this = now.branch_name(place.as_u64()?)? == branch;
        Some(record.name() == "resolved" && this && how == ended.as_str() && why == reason)
    };
    now.history.iter().any(|event| so(&event.record).unwrap_or(false))
}
