//! Optional resources beside a feed: the service's declaration, its status, and the outcomes of its
//! reactions to an event.

use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;
use wholly_dns::https::percent_encoded;

use super::client::{HttpFeed, unreachable};
use super::{FeedError, ServiceName};
use crate::choreography::{ReactionStatus, ServiceStatus};
use crate::declaration::Declaration;
use crate::names::EventId;

/// The longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl HttpFeed {
    /// Fetches the service's declaration; none if the service does not serve it.
    ///
    /// # Errors
    /// [`FeedError::Unreachable`].
    pub async fn declaration(&self) -> Result<Option<Declaration>, FeedError> {
        self.introspect("").await
    }

    /// Fetches the service's status; none if the service does not serve it.
    ///
    /// # Errors
    /// [`FeedError::Unreachable`].
    pub async fn status(&self) -> Result<Option<ServiceStatus>, FeedError> {
        self.introspect("/status").await
    }

    /// Fetches the ended reactions to an event; none if the service does not serve them.
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
    fn resources_beside_a_feed_replace_the_last_segment_of_its_address() {
        assert_eq!(base("http://a:1/feed"), "http://a:1");
        assert_eq!(base("https://a/b/feed"), "https://a/b");
        assert_eq!(base("http://a"), "http://a");
        assert_eq!(base("http://a/"), "http://a");
    }
}
