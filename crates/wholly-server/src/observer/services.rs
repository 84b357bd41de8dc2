//! The services' own accounts: declarations and statuses, read from time to time, and reactions to
//! an event, read when a client looks at it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use wholly_events::choreography::{FeedStatus, ServiceStatus};

use super::judge::Declarations;
use super::store::{Observed, StoreError};
use super::timeline::{Reported, ServiceQuestion, to_ask};
use super::{
    ConfiguredFeed, FeedMeasures, Followed, ObserverState, ServiceMeasures, TroubleKind, lock, now,
};

/// The interval at which a service is asked for its status.
const EACH: Duration = Duration::from_secs(5);
/// The interval of reads of its declaration, which a new version changes.
const DECLARED_EACH: Duration = Duration::from_secs(60);
/// The most questions for one look at a choreography, the most at once, and their time limit.
const QUESTIONS: usize = 200;
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a service until it is dropped. One that does not answer is no error: its feed is asked, too.
pub async fn ask(shared: Arc<ObserverState>, nth: usize) {
    let Some(followed) = shared.feeds.get(nth) else { return };
    let mut each = interval(EACH);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut declared_until = Instant::now() + DECLARED_EACH;
    loop {
        each.tick().await;
        if Instant::now() >= declared_until {
            declared_until = Instant::now() + DECLARED_EACH;
            if let Err(error) = declaration(&shared, &followed.feed).await {
                tracing::warn!(%error, "a service's declaration cannot be stored");
            }
        }
        if let Err(error) = status(&shared, followed).await {
            tracing::warn!(%error, "a service's status cannot be stored");
        }
    }
}

/// Asks for the service's declaration; returns true if there was an answer, which may be that it
/// does not offer one.
pub async fn declaration(
    shared: &ObserverState,
    feed: &ConfiguredFeed,
) -> Result<bool, StoreError> {
    let declaration = match feed.feed.declaration().await {
        Ok(Some(declaration)) => declaration,
        Ok(None) => return Ok(true),
        Err(error) => {
            tracing::debug!(service = %feed.source, %error, "a service's declaration cannot be read");
            return Ok(false);
        }
    };
    if declaration.service != feed.source {
        tracing::warn!(feed = %feed.source, service = %declaration.service,
            "the declaration beside a feed is another service's, and is ignored");
        return Ok(true);
    }
    if shared.store.declare(feed.source.clone(), declaration).await? {
        shared.store.judge_all(now()).await?;
        shared.changed.send_replace(());
    }
    Ok(true)
}

/// Asks for the service's status.
async fn status(shared: &ObserverState, followed: &Followed) -> Result<(), StoreError> {
    let feed = &followed.feed;
    let said = feed.feed.status().await.unwrap_or_else(|error| {
        tracing::debug!(service = %feed.source, %error, "a service's status cannot be read");
        None
    });
    *lock(&followed.stands) = said.as_ref().map(|status| measures(feed, status));
    let Some(status) = said else { return Ok(()) };
    for followed in &status.feeds {
        let trouble = trouble_of(followed);
        shared.troubles.set(&followed.source, Some(&feed.source), trouble, now());
    }
    if shared.store.park(feed.source.clone(), status.parked, now()).await? {
        shared.changed.send_replace(());
    }
    Ok(())
}

fn measures(feed: &ConfiguredFeed, status: &ServiceStatus) -> ServiceMeasures {
    let count =
        |stuck: bool| status.parked.iter().filter(|parked| parked.stuck || !stuck).count() as u64;
    let follows = |one: &FeedStatus| FeedMeasures {
        source: one.source.clone(),
        lag: one.lag(),
        unreachable: one.error.is_some() || one.unreachable_since.is_some(),
    };
    ServiceMeasures {
        service: feed.source.clone(),
        feeds: status.feeds.iter().map(follows).collect(),
        parked: count(false),
        stuck: count(true),
    }
}

/// The trouble of a feed that a service follows, by the service's own status.
fn trouble_of(feed: &FeedStatus) -> Option<TroubleKind> {
    match (&feed.error, feed.unreachable_since, feed.lag()) {
        (_, Some(_), _) => Some(TroubleKind::Unreachable),
        (Some(_), None, _) => Some(TroubleKind::Refused),
        (None, None, 1..) => Some(TroubleKind::Lagging),
        (None, None, 0) => None,
    }
}

/// The services' own reports of their reactions to these events, as far as they answer in a moment.
pub async fn reported(
    shared: &ObserverState,
    events: &[Observed],
    declared: &Declarations,
) -> Reported {
    let mut questions = to_ask(events, declared);
    questions.truncate(QUESTIONS);
    let asked = questions.into_iter().map(async |which: ServiceQuestion| {
        let feed = shared.feeds.iter().find(|one| one.feed.source == which.service)?;
        let said = feed.feed.feed.reactions(&which.source, &which.id).await;
        Some((which, said.ok().flatten()?))
    });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let give_up = Instant::now() + PATIENCE;
    let mut reported = Reported::new();
    while let Ok(Some(answer)) = timeout_at(give_up, answers.next()).await {
        reported.extend(answer);
    }
    reported
}
