//! A service's feed within its own process: for its reactions to its own events, like those of
//! time-outs, and for services that share a process.

use std::sync::{Arc, Weak};

use super::{Feed, FeedError, FeedInfo, FeedPage, FeedRequest, StartFrom};
use crate::choreography::Service;
use crate::choreography::service::{FollowedFeed, Runtime};
use crate::store::Store;

/// The feed of a service in the same process. The service may stop while the feed exists.
pub struct LocalFeed<S: Store>(Weak<Runtime<S>>);

impl<S: Store> LocalFeed<S> {
    /// The feed of this service.
    pub fn of(service: &Service<S>) -> Self {
        Self(Arc::downgrade(service.runtime()))
    }

    pub(crate) fn followed(runtime: &Arc<Runtime<S>>) -> FollowedFeed {
        let feed = Arc::new(Self(Arc::downgrade(runtime)));
        let read = move |ask| {
            let feed = Arc::clone(&feed);
            Box::pin(async move { feed.read(ask).await }) as _
        };
        let source = runtime.source().clone();
        FollowedFeed { source, start: StartFrom::Earliest, read: Arc::new(read) }
    }
}

impl<S: Store> Feed for LocalFeed<S> {
    async fn read(&self, ask: FeedRequest) -> Result<(FeedInfo, FeedPage), FeedError> {
        let gone = || FeedError::Unreachable("the service has stopped".to_owned());
        let runtime = self.0.upgrade().ok_or_else(gone)?;
        match runtime.read(ask.start, ask.limit, ask.wait).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(error) => Err(FeedError::Unreachable(error.to_string())),
        }
    }
}
