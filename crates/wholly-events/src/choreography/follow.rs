//! A follower: it reads one feed, and each event ends handled or parked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use wholly_core::Timestamp;

use super::backoff::Backoff;
use super::builder::FollowedFeed;
use super::feed_reader::{self, Checkpoint, FeedReader, Item};
use super::handler::HandlerError;
use super::job::{JobOutput, StoreJob};
use super::observer::EndedReaction;
use super::plan::ReactionIndex;
use super::react::Disposition;
use super::service::{Runtime, stamp};
use super::tasks::begin_call;
use crate::cursor::Cursor;
use crate::event::{Event, now};
use crate::feed::{FeedError, FeedInfo, FeedPage, FeedRequest, StartFrom};
use crate::inbox::ReactionOutcome;
use crate::names::{Correlation, ReactionName, ServiceName};
use crate::store::{Store, StoreError};

/// The interval between stored checkpoints. Events after the last one are read again, and ignored.
const ADVANCE_EVERY: Duration = Duration::from_millis(200);

/// The number of polls for a new cursor before a feed that refused is read again.
const CURSOR_POLLS: u32 = 60;

type PendingRead =
    BoxFuture<'static, (Timestamp, FeedRequest, Result<(FeedInfo, FeedPage), FeedError>)>;

/// Follows a feed until it is dropped.
pub(crate) async fn follow<S: Store>(runtime: Arc<Runtime<S>>, followed: FollowedFeed, nth: usize) {
    let mut said = String::new();
    loop {
        let cursor = cursor(&runtime, &followed).await;
        let start = cursor.clone().map_or_else(|| followed.start.clone(), StartFrom::After);
        let mut follower = Follower {
            runtime: &runtime,
            followed: &followed,
            nth,
            reader: FeedReader::new(start),
        };
        let error = follower.run().await.to_string();
        if error != said {
            tracing::error!(source = %followed.source, error, "a feed is not read any further");
        }
        runtime.feed_status(nth, |status| status.error = Some(error.clone()));
        said = error;
        wait_for_another_cursor(&runtime, &followed, cursor.as_ref()).await;
    }
}

/// Waits until an operator sets another cursor. The wait is bounded, because the feed may be
/// repaired instead.
async fn wait_for_another_cursor<S: Store>(
    runtime: &Arc<Runtime<S>>,
    followed: &FollowedFeed,
    refused: Option<&Cursor>,
) {
    let mut backoff = Backoff::default();
    for _ in 0..CURSOR_POLLS {
        if cursor(runtime, followed).await.as_ref() != refused {
            return;
        }
        backoff.wait().await;
    }
}

/// The stored cursor of the feed.
async fn cursor<S: Store>(runtime: &Arc<Runtime<S>>, followed: &FollowedFeed) -> Option<Cursor> {
    let mut backoff = Backoff::default();
    loop {
        match runtime.run(StoreJob::Cursor(followed.source.clone())).await {
            Ok(JobOutput::Cursor(cursor)) => return cursor,
            Ok(_) => return None,
            Err(error) => tracing::warn!(%error, "the place in a feed cannot be read"),
        }
        backoff.wait().await;
    }
}

struct Follower<'a, S: Store> {
    runtime: &'a Arc<Runtime<S>>,
    followed: &'a FollowedFeed,
    nth: usize,
    reader: FeedReader,
}

impl<S: Store> Follower<'_, S> {
    /// Reads and handles events until the feed refuses.
    async fn run(&mut self) -> FeedError {
        let mut in_progress = FuturesUnordered::new();
        let mut reading: Option<PendingRead> = None;
        let mut saving: Option<BoxFuture<'static, Checkpoint>> = None;
        let mut watermark: Option<Checkpoint> = None;
        let mut save_at = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            while in_progress.len() < self.runtime.store.concurrency()
                && let Some((correlation, item)) = self.reader.take_ready()
            {
                let (runtime, source) = (Arc::clone(self.runtime), self.followed.source.clone());
                in_progress
                    .push(process_item(runtime, source, correlation.clone(), item.clone()).boxed());
            }
            if let Some(checkpoint) = self.reader.take_checkpoint(watermark.as_ref()) {
                self.runtime.feed_status(self.nth, |status| status.passed(&checkpoint));
                watermark = Some(checkpoint);
            }
            if saving.is_none()
                && Instant::now() >= save_at
                && let Some(checkpoint) = watermark.take()
            {
                saving = Some(
                    advance(Arc::clone(self.runtime), self.followed.clone(), checkpoint).boxed(),
                );
            }
            if reading.is_none() && self.reader.has_room() {
                reading = Some(self.read(self.reader.ask(), Duration::ZERO));
            }
            tokio::select! {
                Some(correlation) = in_progress.next() => self.reader.done(&correlation),
                (began, ask, read) = pending_or(&mut reading) => {
                    reading = None;
                    let taken = read.and_then(|(info, page)| self.take(began, &ask, &info, page));
                    match taken {
                        Ok(()) => backoff.reset(),
                        Err(error @ FeedError::Unreachable(_)) => {
                            self.unreachable(&error);
                            // Earlier events are handled meanwhile.
                            reading = Some(self.read(self.reader.ask(), backoff.next_wait()));
                        }
                        Err(error) => return error,
                    }
                }
                checkpoint = pending_or(&mut saving) => {
                    self.saved(&checkpoint);
                    saving = None;
                    save_at = Instant::now() + ADVANCE_EVERY;
                }
                () = tokio::time::sleep_until(save_at), if watermark.is_some() && saving.is_none() => {}
                () = self.runtime.read_now.notified() => {
                    reading = Some(self.read(self.reader.ask_now(), Duration::ZERO));
                }
            }
        }
    }

    /// Reads the next page, after a delay.
    fn read(&self, ask: FeedRequest, delay: Duration) -> PendingRead {
        let read = Arc::clone(&self.followed.read);
        async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let began = now();
            // The queues need ascending positions, and a transport may repeat events.
            let answer = read(ask.clone()).await;
            let answer =
                answer.and_then(|(info, page)| Ok((info, page.without_repeats(&ask.start)?)));
            (began, ask, answer)
        }
        .boxed()
    }

    /// Takes a page in.
    fn take(
        &mut self,
        began: Timestamp,
        ask: &FeedRequest,
        info: &FeedInfo,
        page: FeedPage,
    ) -> Result<(), FeedError> {
        feed_reader::check(info, &self.followed.source, self.runtime.settings.inbox_retention)?;
        let head = page.head;
        self.reader.take(&self.runtime.code.plan, began, ask, page);
        self.runtime.feed_status(self.nth, |status| {
            status.head = head;
            status.unreachable_since = None;
            status.error = None;
        });
        Ok(())
    }

    /// A checkpoint is stored: events up to it are not read again.
    fn saved(&self, checkpoint: &Checkpoint) {
        self.runtime.feed_status(self.nth, |status| status.saved(checkpoint));
        // A time-out may await it.
        self.runtime.timeouts.notify_one();
    }

    fn unreachable(&self, error: &FeedError) {
        self.runtime.feed_status(self.nth, |status| {
            if status.unreachable_since.is_none() {
                tracing::warn!(source = %self.followed.source, %error, "a feed cannot be reached");
                status.unreachable_since = Some(now());
            }
            status.error = Some(error.to_string());
        });
    }
}

/// The future's result; pending for ever without a future.
async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Repeats a job until it succeeds.
async fn until_done<S: Store>(runtime: &Arc<Runtime<S>>, job: impl Fn() -> StoreJob) {
    let mut backoff = Backoff::default();
    while let Err(error) = runtime.run(job()).await {
        tracing::warn!(%error, "a transaction of the service's database failed; it is tried again");
        backoff.wait().await;
    }
}

async fn advance<S: Store>(
    runtime: Arc<Runtime<S>>,
    followed: FollowedFeed,
    checkpoint: Checkpoint,
) -> Checkpoint {
    let job = || StoreJob::Advance(followed.source.clone(), checkpoint.place.clone(), now());
    until_done(&runtime, job).await;
    checkpoint
}

/// Handles an entry: every reaction to its event ends, or parks the event.
async fn process_item<S: Store>(
    runtime: Arc<Runtime<S>>,
    source: ServiceName,
    correlation: Correlation,
    item: Item,
) -> Correlation {
    let event = match item {
        Item::Event(event) => event,
        Item::NoEvent(what) => {
            let (position, why) = (what.position, &what.why);
            tracing::error!(%source, position, why, "an invalid entry of a feed is set aside");
            until_done(&runtime, || StoreJob::SetAside(source.clone(), what.clone(), now())).await;
            return correlation;
        }
    };
    let reactions: Vec<_> = runtime.code.plan.reactions_to(&event.kind).collect();
    for index in reactions {
        react(&runtime, index, &event).await;
    }
    correlation
}

async fn react<S: Store>(runtime: &Arc<Runtime<S>>, index: ReactionIndex, event: &Event) {
    let mut backoff = Backoff::default();
    loop {
        match runtime.run(StoreJob::Receive(index, event.clone(), stamp())).await {
            Ok(JobOutput::Disposed(disposition)) => {
                return after_commit(runtime, &disposition, Some((index, event)));
            }
            Ok(_) => return,
            Err(StoreError::Handler(failure)) => {
                let Some(reaction) = runtime.code.plan.reaction(index) else { return };
                record_failure(runtime, &reaction.name, event, failure).await;
                return runtime.parked.notify_one();
            }
            Err(error) => {
                tracing::warn!(?event, %error, "an event is not handled yet; it is tried again")
            }
        }
        backoff.wait().await;
    }
}

/// Records a failed attempt, until that succeeds.
pub(crate) async fn record_failure<S: Store>(
    runtime: &Arc<Runtime<S>>,
    reaction: &ReactionName,
    event: &Event,
    failure: HandlerError,
) {
    tracing::warn!(?event, %reaction, error = %failure, "a reaction failed; its event is parked");
    let job = || StoreJob::Failed(reaction.clone(), event.clone(), failure.clone(), now());
    until_done(runtime, job).await;
}

/// Wakes the tasks that a committed disposition concerns.
pub(crate) fn after_commit<S: Store>(
    runtime: &Arc<Runtime<S>>,
    disposition: &Disposition,
    of: Option<(ReactionIndex, &Event)>,
) {
    match disposition {
        Disposition::Ended(end) => {
            if let (Some((index, event)), Some(observer)) = (of, &runtime.observer)
                && let Some(reaction) = runtime.code.plan.reaction(index)
            {
                let (outcome, emitted) = (end.outcome, end.emitted.as_deref());
                observer(EndedReaction { reaction: &reaction.name, event, outcome, emitted });
            }
            // A handler may have published more than what its reaction emits.
            if matches!(end.outcome, ReactionOutcome::Done | ReactionOutcome::Refused) {
                runtime.published.notify_one();
            }
            if end.frees {
                runtime.parked.notify_one();
            }
            runtime.timeouts.notify_one();
        }
        Disposition::Again | Disposition::Parked => {}
        Disposition::Call(sequence, undone) => {
            if let Some((index, event)) = of {
                begin_call(runtime, *sequence, index, event.clone(), undone.clone());
            }
        }
    }
}
