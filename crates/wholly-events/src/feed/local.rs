//! A service's own feed, for its own reactions: a time-out is an event, too.

use std::sync::{Arc, Weak};

use super::{Ask, FeedError, FeedInfo, Page, Start};
use crate::choreography::service::{Followed, Parts};
use crate::store::Store;

/// The feed of a service in the same process.
pub(crate) struct LocalFeed;

impl LocalFeed {
    pub(crate) fn followed<S: Store>(parts: &Arc<Parts<S>>) -> Followed {
        let weak = Arc::downgrade(parts);
        Followed {
            source: parts.source().clone(),
            start: Start::Earliest,
            read: Arc::new(move |ask| Box::pin(read(Weak::clone(&weak), ask))),
        }
    }
}

async fn read<S: Store>(parts: Weak<Parts<S>>, ask: Ask) -> Result<(FeedInfo, Page), FeedError> {
    let gone = || FeedError::Unreachable("the service has stopped".to_owned());
    let parts = parts.upgrade().ok_or_else(gone)?;
    match parts.read(ask.start, ask.limit, ask.wait).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(error) => Err(FeedError::Unreachable(error.to_string())),
    }
}
