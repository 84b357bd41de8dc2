//! A follower: reads one feed, and sees that each of its events is dealt with or parked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use wholly_core::Timestamp;

use super::build::Followed;
use super::job::{Job, Reply};
use super::lanes::Lanes;
use super::observe;
use super::pace::Backoff;
use super::plan::ReactionIndex;
use super::react::Disposition;
use super::service::{Parts, stamp};
use super::tend::begin_call;
use crate::cursor::Cursor;
use crate::event::{Event, now};
use crate::feed::{Ask, FeedError, FeedInfo, Page, Start};
use crate::inbox::Outcome;
use crate::names::Correlation;
use crate::store::{Store, StoreError};

/// The most events that are read and not yet dealt with.
const UNDONE_LIMIT: usize = 2_048;
/// The most events of a page.
const PAGE_LIMIT: u64 = 512;
/// How long a feed is asked to wait for an event.
const WAIT: Duration = Duration::from_secs(20);
/// How long the watermark may lag behind what is done: an event that is read again is known.
const ADVANCE_EVERY: Duration = Duration::from_millis(200);

type Reading = BoxFuture<'static, (Timestamp, Result<(FeedInfo, Page), FeedError>)>;

/// Follows a feed until it is dropped.
pub(crate) async fn follow<S: Store>(parts: Arc<Parts<S>>, followed: Followed, nth: usize) {
    loop {
        let start = match cursor(&parts, &followed).await {
            Some(cursor) => Start::After(cursor),
            None => followed.start.clone(),
        };
        let mut follower = Follower {
            parts: &parts,
            followed: &followed,
            nth,
            start,
            lanes: Lanes::default(),
            read_to_end: None,
        };
        let error = follower.run().await;
        tracing::error!(source = %followed.source, %error, "a feed is not read any further");
        parts.feed_status(nth, |status| status.error = Some(error.to_string()));
        // An operator may set another cursor in the database, at any time.
        let refused = cursor(&parts, &followed).await;
        let mut backoff = Backoff::default();
        while cursor(&parts, &followed).await == refused {
            backoff.wait().await;
        }
    }
}

/// The place up to which the feed was read, from the database.
async fn cursor<S: Store>(parts: &Arc<Parts<S>>, followed: &Followed) -> Option<Cursor> {
    let mut backoff = Backoff::default();
    loop {
        match parts.run(Job::Cursor(followed.source.clone())).await {
            Ok(Reply::Cursor(cursor)) => return cursor,
            Ok(_) => return None,
            Err(error) => tracing::warn!(%error, "the place in a feed cannot be read"),
        }
        backoff.wait().await;
    }
}

struct Follower<'a, S: Store> {
    parts: &'a Arc<Parts<S>>,
    followed: &'a Followed,
    nth: usize,
    /// Where to read on.
    start: Start,
    lanes: Lanes<Event>,
    /// A read after which nothing was left: when it began, and the place where it ended.
    read_to_end: Option<(Timestamp, Cursor)>,
}

impl<S: Store> Follower<'_, S> {
    /// Reads and deals with events until the feed refuses.
    async fn run(&mut self) -> FeedError {
        let mut dealing = FuturesUnordered::new();
        let mut reading: Option<Reading> = None;
        let mut saving: Option<BoxFuture<'static, ()>> = None;
        let mut watermark: Option<Cursor> = None;
        let mut save_at = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            while dealing.len() < self.parts.store.concurrency()
                && let Some((correlation, event)) = self.lanes.begin()
            {
                let dealt = deal(Arc::clone(self.parts), correlation.clone(), event.clone());
                dealing.push(dealt.boxed());
            }
            if let Some(place) = self.lanes.take_watermark() {
                self.passed(&place);
                watermark = Some(place);
            }
            if saving.is_none()
                && Instant::now() >= save_at
                && let Some(place) = watermark.take()
            {
                saving =
                    Some(advance(Arc::clone(self.parts), self.followed.clone(), place).boxed());
            }
            if reading.is_none() && self.lanes.len() < UNDONE_LIMIT {
                reading = Some(self.read(Duration::ZERO, WAIT));
            }
            tokio::select! {
                Some(correlation) = dealing.next() => self.lanes.done(&correlation),
                (began, read) = pending_or(&mut reading) => {
                    reading = None;
                    match read {
                        Ok((info, page)) => match self.take(began, &info, page).await {
                            Ok(()) => backoff.reset(),
                            Err(error) => return error,
                        },
                        Err(error @ (FeedError::Refused(_) | FeedError::OtherSource { .. })) => {
                            return error;
                        }
                        Err(error) => {
                            self.unreachable(&error);
                            // What was read before is dealt with meanwhile.
                            reading = Some(self.read(backoff.take(), WAIT));
                        }
                    }
                }
                () = pending_or(&mut saving) => {
                    saving = None;
                    save_at = Instant::now() + ADVANCE_EVERY;
                }
                () = tokio::time::sleep_until(save_at), if watermark.is_some() && saving.is_none() => {}
                () = self.parts.read_now.notified() => {
                    reading = Some(self.read(Duration::ZERO, Duration::ZERO));
                }
            }
        }
    }

    /// Reads on after a pause; the feed may wait for an event.
    fn read(&self, pause: Duration, wait: Duration) -> Reading {
        let read = Arc::clone(&self.followed.read);
        let ask = Ask { start: self.start.clone(), limit: PAGE_LIMIT, wait };
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let began = now();
            (began, read(ask).await)
        }
        .boxed()
    }

    /// Takes a page in.
    async fn take(
        &mut self,
        began: Timestamp,
        info: &FeedInfo,
        page: Page,
    ) -> Result<(), FeedError> {
        self.check(info)?;
        for what in page.set_aside {
            tracing::error!(source = %self.followed.source, position = what.position, why = what.why,
                "something in a feed is no event; it is set aside");
            let job = || Job::SetAside(self.followed.source.clone(), what.clone(), now());
            until_done(self.parts, job).await;
        }
        for placed in page.events {
            let place = Cursor::at(placed.position, placed.event.id.clone());
            let plan = &self.parts.code.plan;
            if plan.reactions_to(&placed.event.kind).next().is_some() {
                self.lanes.push(place, placed.event.correlation.clone(), placed.event);
            } else {
                self.lanes.pass(place);
            }
        }
        if page.cursor.position >= page.head {
            self.read_to_end = Some((began, page.cursor.clone()));
        }
        self.lanes.pass(page.cursor.clone());
        self.start = Start::After(page.cursor);
        self.parts.feed_status(self.nth, |status| {
            status.head = page.head;
            status.unreachable_since = None;
            status.error = None;
        });
        Ok(())
    }

    /// Refuses a feed that this service cannot follow without losing events.
    fn check(&self, info: &FeedInfo) -> Result<(), FeedError> {
        if info.source != self.followed.source {
            let (expected, found) = (self.followed.source.clone(), info.source.clone());
            return Err(FeedError::OtherSource { expected, found });
        }
        let inbox = self.parts.settings.inbox_retention;
        if inbox <= info.retention {
            return Err(FeedError::Retention { feed: info.retention, inbox });
        }
        Ok(())
    }

    /// Everything up to this place is dealt with or parked.
    fn passed(&mut self, place: &Cursor) {
        let ended = self.read_to_end.take_if(|(_, end)| end.position <= place.position);
        self.parts.feed_status(self.nth, |status| {
            status.position = place.position;
            if let Some((began, _)) = ended {
                status.read_to_end_at = Some(began);
            }
        });
        // A time-out may have waited for it.
        self.parts.timeouts.notify_one();
    }

    fn unreachable(&self, error: &FeedError) {
        self.parts.feed_status(self.nth, |status| {
            if status.unreachable_since.is_none() {
                tracing::warn!(source = %self.followed.source, %error, "a feed cannot be reached");
                status.unreachable_since = Some(now());
            }
            status.error = Some(error.to_string());
        });
    }
}

/// The future's result, or never.
async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Does a job for as long as it takes.
async fn until_done<S: Store>(parts: &Arc<Parts<S>>, job: impl Fn() -> Job) {
    let mut backoff = Backoff::default();
    while let Err(error) = parts.run(job()).await {
        tracing::warn!(%error, "a transaction of the service's database failed; it is tried again");
        backoff.wait().await;
    }
}

async fn advance<S: Store>(parts: Arc<Parts<S>>, followed: Followed, place: Cursor) {
    let job = || Job::Advance(followed.source.clone(), place.clone(), now());
    until_done(&parts, job).await;
}

/// Sees to it that every reaction to the event has dealt with it, or has it parked.
async fn deal<S: Store>(
    parts: Arc<Parts<S>>,
    correlation: Correlation,
    event: Event,
) -> Correlation {
    let reactions: Vec<_> = parts.code.plan.reactions_to(&event.kind).collect();
    for index in reactions {
        react(&parts, index, &event).await;
    }
    correlation
}

async fn react<S: Store>(parts: &Arc<Parts<S>>, index: ReactionIndex, event: &Event) {
    let mut backoff = Backoff::default();
    loop {
        match parts.run(Job::Receive(index, event.clone(), stamp())).await {
            Ok(Reply::Disposed(disposition)) => {
                return disposed(parts, &disposition, Some((index, event)));
            }
            Ok(_) => return,
            Err(StoreError::Unhandled(unhandled)) => {
                let Some(reaction) = parts.code.plan.reaction(index) else { return };
                tracing::warn!(?event, reaction = %reaction.name, error = %unhandled,
                    "a reaction failed; its event is parked");
                let (name, unhandled) = (reaction.name.clone(), unhandled);
                until_done(parts, || {
                    Job::Failed(name.clone(), event.clone(), unhandled.clone(), now())
                })
                .await;
                return parts.parked.notify_one();
            }
            Err(error) => tracing::warn!(?event, %error, "an event is not dealt with yet"),
        }
        backoff.wait().await;
    }
}

/// Tells those who wait for what a committed reaction made.
pub(crate) fn disposed<S: Store>(
    parts: &Arc<Parts<S>>,
    disposition: &Disposition,
    of: Option<(ReactionIndex, &Event)>,
) {
    if let Some((index, event)) = of
        && let Some(reaction) = parts.code.plan.reaction(index)
    {
        observe::tell(parts.observer.as_ref(), &reaction.name, event, disposition);
    }
    match disposition {
        Disposition::Ended(end) => {
            // A handler may have published more than what its reaction emits.
            if matches!(end.outcome, Outcome::Done | Outcome::Refused) {
                parts.published.notify_one();
            }
            if end.frees {
                parts.parked.notify_one();
            }
            parts.timeouts.notify_one();
        }
        Disposition::Again | Disposition::Parked => {}
        Disposition::Call(sequence) => {
            if let Some((index, event)) = of {
                begin_call(parts, *sequence, index, event.clone());
            }
        }
    }
}
