//! Follows a feed, from the place up to which it was read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wholly_events::ServiceName;
use wholly_events::feed::{Feed, FeedError, FeedInfo, FeedPage, FeedRequest, StartFrom};

use super::store::StoreError;
use super::{Followed, ObserverState, TroubleKind, lock, now, services};

/// The most events of a page.
const PAGE: u64 = 500;
/// The time for which a feed is asked to wait for an event.
const WAIT: Duration = Duration::from_secs(20);
/// The pauses between tries double from the first up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Follows a feed until it is dropped.
pub async fn follow(shared: Arc<ObserverState>, nth: usize) {
    let Some(followed) = shared.feeds.get(nth) else { return };
    let follower = Follower { shared: &shared, followed, source: &followed.feed.source };
    let mut pause = FIRST_PAUSE;
    let mut declared = false;
    loop {
        let began = Instant::now();
        match follower.read_on(&mut declared).await {
            // A feed that does not wait must not be asked without a pause.
            Ok(is_empty) if is_empty && began.elapsed() < FIRST_PAUSE => {}
            Ok(_) => {
                pause = FIRST_PAUSE;
                continue;
            }
            Err(Failed::Store(error)) => {
                // It may have been begun anew.
                declared = false;
                tracing::warn!(feed = %follower.source, %error, "the events of a feed cannot be stored, and are read again");
            }
            Err(Failed::Feed(error)) => {
                declared = false;
                follower.failed(&error);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Follower<'a> {
    shared: &'a ObserverState,
    followed: &'a Followed,
    source: &'a ServiceName,
}

/// The error of a page that was not read, or not stored.
enum Failed {
    Feed(FeedError),
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Follower<'_> {
    /// Reads a page and takes it in; returns true if there was nothing in it.
    ///
    /// The declaration of a service is read before its events: without it an end, or a refusal, would be
    /// an event like any other for a moment.
    async fn read_on(&self, declared: &mut bool) -> Result<bool, Failed> {
        if !*declared {
            *declared = services::declaration(self.shared, &self.followed.feed).await?;
        }
        // From the store each time: it may have been begun anew.
        let cursor = self.shared.store.cursor(self.source.clone()).await?;
        let start = cursor.clone().map_or(StartFrom::Earliest, StartFrom::After);
        let ask = FeedRequest { start, limit: PAGE, wait: WAIT };
        let (info, page) = match self.followed.feed.feed.read(ask).await {
            Ok(read) => read,
            Err(FeedError::Refused(why)) if cursor.is_some() => {
                tracing::warn!(feed = %self.source, "a feed does not go on from its cursor: {why}; \
                    it is read again from its earliest event, without the events trimmed before it");
                self.shared.store.forget_cursor(self.source.clone()).await?;
                return Ok(true);
            }
            Err(why) => return Err(Failed::Feed(why)),
        };
        self.check(&info).map_err(Failed::Feed)?;
        let is_empty = page.events.is_empty() && page.set_aside.is_empty();
        let is_new = cursor.as_ref() != Some(&page.cursor);
        self.reached(&page);
        for what in &page.set_aside {
            let (position, why) = (what.position, &what.why);
            tracing::warn!(feed = %self.source, position, why, "an entry of a feed is not a valid event, and is left out");
        }
        if is_new {
            self.shared.store.take(self.source.clone(), page, now()).await?;
            self.shared.changed.send_replace(());
        }
        Ok(is_empty)
    }

    fn check(&self, info: &FeedInfo) -> Result<(), FeedError> {
        match info.source == *self.source {
            true => Ok(()),
            false => Err(FeedError::OtherSource {
                expected: self.source.clone(),
                found: info.source.clone(),
            }),
        }
    }

    fn reached(&self, page: &FeedPage) {
        let mut read = lock(&self.followed.read);
        if read.unreachable {
            tracing::info!(feed = %self.source, "a feed can be reached again");
        }
        (read.unreachable, read.position, read.head) = (false, page.cursor.position, page.head);
        let behind = page.cursor.position < page.head;
        drop(read);
        self.trouble(behind.then_some(TroubleKind::Lagging));
    }

    fn failed(&self, error: &FeedError) {
        let kind = match error {
            FeedError::Refused(_) | FeedError::OtherSource { .. } => TroubleKind::Refused,
            _ => TroubleKind::Unreachable,
        };
        let is_new = self.trouble(Some(kind));
        lock(&self.followed.read).unreachable = true;
        if is_new {
            tracing::warn!(feed = %self.source, %error, "a feed cannot be read, and is tried again");
        }
    }

    /// Sets the trouble, and returns true if it is new.
    fn trouble(&self, kind: Option<TroubleKind>) -> bool {
        self.shared.troubles.set(self.source, None, kind, now())
    }
}
