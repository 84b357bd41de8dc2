//! What a service says of itself beside its feed, where it offers that: what it declares, how it
//! stands, and what its reactions made of an event.

use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::client::{HttpFeed, percent_encoded, unreachable};
use super::{FeedError, ServiceName};
use crate::choreography::{ReactionStatus, ServiceStatus};
use crate::declaration::Declaration;
use crate::names::EventId;

/// The time that an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl HttpFeed {
    /// What the service declares; none where it does not offer that.
    ///
    /// # Errors
    /// [`FeedError::Unreachable`].
    pub async fn declaration(&self) -> Result<Option<Declaration>, FeedError> {
        self.introspect("").await
    }

    /// How the service stands; none where it does not offer that.
    ///
    /// # Errors
    /// [`FeedError::Unreachable`].
    pub async fn status(&self) -> Result<Option<ServiceStatus>, FeedError> {
        self.introspect("/status").await
    }

    /// What the service's reactions made of an event; none where it does not offer that.
    ///
    /// # Errors
    /// [`FeedError::Unreachable`].
    pub async fn reactions(
        &self,
        source: &ServiceName,
        id: &EventId,
    ) -> Result<Option<Vec<ReactionStatus>>, FeedError> {
        let (source, id) = (percent_encoded(source.as_str()), percent_encoded(id.as_str()));
        self.introspect(&format!("/reactions?source={source}&id={id}")).await
    }

    async fn introspect<T: DeserializeOwned>(&self, what: &str) -> Result<Option<T>, FeedError> {
        let url = format!("{}/choreography{what}", base(self.url()));
        let answer = self.exchange(url, "application/json", ANSWER_TIMEOUT).await?;
        match answer.head.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                return Ok(None);
            }
            _ => return Err(answer.refusal()),
        }
        let long = || FeedError::Unreachable("its answer is too long".to_owned());
        let body = answer.body.ok_or_else(long)?;
        serde_json::from_slice(&body).map(Some).map_err(unreachable)
    }
}

/// A feed's address without its last segment.
pub(super) fn base(url: &str) -> &str {
    let path = url.find("://").map_or(0, |at| at + 3);
    match url[path..].rfind('/') {
        Some(slash) => &url[..path + slash],
        None => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_feed_has_its_address_but_for_the_last_segment() {
        assert_eq!(base("http://a:1/feed"), "http://a:1");
        assert_eq!(base("https://a/b/feed"), "https://a/b");
        assert_eq!(base("http://a"), "http://a");
        assert_eq!(base("http://a/"), "http://a");
    }
}
