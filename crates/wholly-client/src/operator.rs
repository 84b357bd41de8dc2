//! An operator's commands. Each needs a reason, which the server records.

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use wholly_core::TransactionId;
use wholly_dns::https::percent_encoded;

use crate::answer::{Record, Transaction};
use crate::client::{Client, json};
use crate::error::RequestError;
use crate::http::ApiRequest;
use crate::retry::GaveUp;

/// The end of a branch or step, as an operator knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Resolution {
    /// A branch: its change is made.
    Committed,
    /// A branch: its change is not made.
    Aborted,
    /// A step: its action is done, with this output.
    Completed(Option<Box<RawValue>>),
    /// A step: its action is not done, or was compensated.
    Compensated,
}

impl Resolution {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Completed(_) => "completed",
            Self::Compensated => "compensated",
        }
    }
}

#[derive(Serialize)]
struct ReasonBody<'a> {
    reason: &'a str,
}

impl Client {
    /// Aborts a transaction that is not decided, or turns back a saga whose pivot was not called. A
    /// transaction that was aborted before is left as it is.
    ///
    /// # Errors
    /// When it is too late, no transaction has this id, or there is no answer.
    pub async fn abort(&self, id: TransactionId, reason: &str) -> Result<(), RequestError> {
        let path = format!("/v1/transactions/{id}/abort");
        self.command(id, path, json(&ReasonBody { reason }), |_| false).await
    }

    /// Repeats all outstanding calls of a transaction now.
    ///
    /// # Errors
    /// When no call is outstanding, no transaction has this id, or there is no answer.
    pub async fn retry(&self, id: TransactionId, reason: &str) -> Result<(), RequestError> {
        let path = format!("/v1/transactions/{id}/retry");
        self.command(id, path, json(&ReasonBody { reason }), |now| now.settled).await
    }

    /// Ends a transaction that was quarantined because its records cannot be used. No participant is
    /// called for it any more, and its key stays taken.
    ///
    /// # Errors
    /// When it was not quarantined for that reason, is not in flight, or there is no answer.
    pub async fn end(&self, id: TransactionId, reason: &str) -> Result<(), RequestError> {
        let path = format!("/v1/transactions/{id}/end");
        let ended_so = |now: &Transaction| {
            now.settled && now.quarantined.as_ref().is_some_and(|why| why.ends_with(reason))
        };
        self.command(id, path, json(&ReasonBody { reason }), ended_so).await
    }

    /// Ends a branch or a step in the way that the operator knows.
    ///
    /// # Errors
    /// When there is no such branch, it has ended, it cannot have ended so, or there is no answer.
    pub async fn resolve(
        &self,
        id: TransactionId,
        branch: &str,
        ended: Resolution,
        reason: &str,
    ) -> Result<(), RequestError> {
        #[derive(Serialize)]
        struct ResolutionBody<'a> {
            r#as: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            output: Option<&'a RawValue>,
            reason: &'a str,
        }
        let output = match &ended {
            Resolution::Completed(output) => output.as_deref(),
            Resolution::Committed | Resolution::Aborted | Resolution::Compensated => None,
        };
        let body = json(&ResolutionBody { r#as: ended.as_str(), output, reason });
        let path = format!("/v1/transactions/{id}/branches/{}/resolve", percent_encoded(branch));
        self.command(id, path, body, |now| resolved_so(now, branch, &ended, reason)).await
    }

    /// Sends a command until there is an answer. A conflict may come from an earlier attempt whose
    /// response was lost: then `done` tells whether the transaction is as the command wants it.
    async fn command(
        &self,
        id: TransactionId,
        path: String,
        body: Bytes,
        done: impl Fn(&Transaction) -> bool,
    ) -> Result<(), RequestError> {
        let method = Method::POST;
        let request = ApiRequest { method, path, body: Some(body), ..ApiRequest::default() };
        let last = self.send(&request).await.map_err(|GaveUp { why, .. }| why)?;
        let Err(why) = last.response.done(&self.http().url(&request)) else { return Ok(()) };
        let conflict = why.problem().is_some_and(|problem| problem.kind() == "conflict");
        match last.earlier_may_have_arrived && conflict && done(&self.get(id).await?) {
            true => Ok(()),
            false => Err(why),
        }
    }
}

/// True if the history has exactly this resolution: `{"resolved": [1, "committed", "a reason"]}`, or
/// of a completed step, with its output, `{"resolved": [1, {"completed": …}, "a reason"]}`.
fn resolved_so(now: &Transaction, branch: &str, ended: &Resolution, reason: &str) -> bool {
    let so = |record: &Record| {
        let body = record.body()?;
        let [place, how, why] = &body.as_array()?[..] else { return None };
        let how = how.as_str().or_else(|| how.as_object()?.keys().next().map(String::as_str))?;
        let this = now.branch_name(place.as_u64()?)? == branch;
        Some(record.name() == "resolved" && this && how == ended.as_str() && why == reason)
    };
    now.history.iter().any(|event| so(&event.record).unwrap_or(false))
}
