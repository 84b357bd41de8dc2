//! The tasks of a service beside its feeds: positions, parked events, calls, time-outs, retention.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use wholly_clock::{Ages, SteadyClock};
use wholly_core::Timestamp;

use super::follow::{disposed, failed};
use super::handle::{Undone, Unhandled, call_key};
use super::job::{Job, Reply};
use super::known::{forgettable, known_up_to};
use super::pace::Backoff;
use super::parked::Parked;
use super::plan::ReactionIndex;
use super::service::{Parts, lock, stamp};
use super::timeout::Running;
use crate::event::{Event, now};
use crate::feed::rows::SEQUENCED_AT_ONCE;
use crate::store::{Store, StoreError};

/// The longest sleep of who waits for a time: another process may have brought it forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// The interval at which what is old is looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Gives positions to what is published.
pub(crate) async fn sequence<S: Store>(parts: Arc<Parts<S>>) {
    let mut backoff = Backoff::default();
    let mut before = 0;
    loop {
        match parts.sequence().await {
            Ok(head) => {
                backoff.reset();
                let more = head >= before + SEQUENCED_AT_ONCE;
                before = head;
                if !more {
                    // The poll stands behind who publishes and does not wake, in this process or not.
                    let woken = parts.published.notified();
                    let _ = tokio::time::timeout(parts.settings.poll, woken).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "published events get no positions");
                backoff.wait().await;
            }
        }
    }
}

/// Tries parked events again when they are due.
pub(crate) async fn retry_parked<S: Store>(parts: Arc<Parts<S>>) {
    loop {
        let next = match parts.run(Job::Due(now())).await {
            Ok(Reply::Parked(due, next)) => {
                let due: Vec<_> = due.into_iter().filter(|one| !is_busy(&parts, one)).collect();
                if !due.is_empty() {
                    join_all(due.into_iter().map(|one| retry(&parts, one))).await;
                    continue;
                }
                next
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "parked events cannot be looked for");
                None
            }
        };
        sleep_until(next, &parts.parked).await;
    }
}

/// Sleeps until then, or until it is woken; not at all only where the time is a moment ahead.
async fn sleep_until(next: Option<Timestamp>, woken: &tokio::sync::Notify) {
    let sleep = next.map_or(LONGEST_SLEEP, |next| now().until(next).min(LONGEST_SLEEP));
    let sleep = sleep.max(Duration::from_millis(10));
    let _ = tokio::time::timeout(sleep, woken.notified()).await;
}

fn is_busy<S: Store>(parts: &Arc<Parts<S>>, parked: &Parked) -> bool {
    lock(&parts.busy).contains(&parked.sequence)
}

async fn retry<S: Store>(parts: &Arc<Parts<S>>, parked: Parked) {
    let (sequence, correlation) = (parked.sequence, parked.event.correlation.clone());
    match parts.run(Job::Retry(sequence, correlation, None, stamp())).await {
        Ok(Reply::Disposed(disposition)) => {
            let index = parts.code.plan.by_name(&parked.reaction);
            disposed(parts, &disposition, index.map(|index| (index, &parked.event)));
        }
        Ok(_) => {}
        Err(StoreError::Unhandled(unhandled)) => {
            failed(parts, &parked.reaction, &parked.event, unhandled).await;
        }
        Err(error) => {
            tracing::warn!(%error, "a parked event is not tried");
            Backoff::default().wait().await;
        }
    }
}

/// Makes a call that is recorded as being out, unless this process makes it already.
pub(crate) fn begin_call<S: Store>(
    parts: &Arc<Parts<S>>,
    sequence: u64,
    index: ReactionIndex,
    event: Event,
    undone: Undone,
) {
    if !lock(&parts.busy).insert(sequence) {
        return;
    }
    let parts = Arc::clone(parts);
    let calling = Arc::clone(&parts.calling);
    let mut calling = lock(&calling);
    while calling.try_join_next().is_some() {}
    calling.spawn(async move {
        call(&parts, sequence, index, event, undone).await;
        lock(&parts.busy).remove(&sequence);
        parts.parked.notify_one();
    });
}

async fn call<S: Store>(
    parts: &Arc<Parts<S>>,
    sequence: u64,
    index: ReactionIndex,
    event: Event,
    undone: Undone,
) {
    let Some(reaction) = parts.code.plan.reaction(index) else { return };
    let Some(Some(call)) = parts.calls.get(index.0) else { return };
    let key = call_key(parts.source(), &reaction.name, &event);
    let limit = parts.settings.call_timeout;
    let called = tokio::time::timeout(limit, call(event.clone(), undone, key)).await;
    let late = || Unhandled::failed(format!("the call gave no result within {limit:?}"));
    let result = match called.unwrap_or_else(|_| Err(late())) {
        Ok(result) => result,
        Err(unhandled) => return failed(parts, &reaction.name, &event, unhandled).await,
    };
    let mut backoff = Backoff::default();
    loop {
        let (correlation, result) = (event.correlation.clone(), Some(result.clone()));
        match parts.run(Job::Retry(sequence, correlation, result, stamp())).await {
            Ok(Reply::Disposed(disposition)) => {
                return disposed(parts, &disposition, Some((index, &event)));
            }
            Ok(_) => return,
            Err(StoreError::Unhandled(unhandled)) => {
                return failed(parts, &reaction.name, &event, unhandled).await;
            }
            Err(error) => tracing::warn!(%error, "the result of a call is not recorded yet"),
        }
        backoff.wait().await;
    }
}

/// Fires time-outs that are due and that no event on its way can cancel.
pub(crate) async fn time_out<S: Store>(parts: Arc<Parts<S>>) {
    if parts.code.plan.declaration.timeouts.is_empty() {
        return;
    }
    loop {
        let (due, next) = match parts.run(Job::TimeoutsDue(now())).await {
            Ok(Reply::Timeouts(due, next)) => (due, next),
            Ok(_) => (Vec::new(), None),
            Err(error) => {
                tracing::warn!(%error, "time-outs cannot be looked for");
                (Vec::new(), None)
            }
        };
        let settings = &parts.settings;
        let known = known_up_to(&lock(&parts.feeds), now(), settings.unreachable_after);
        let (ripe, unripe): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| one.may_fire(known));
        for running in ripe {
            fire(&parts, running).await;
        }
        if !unripe.is_empty() {
            parts.read_now.notify_waiters();
        }
        sleep_until(next.filter(|_| unripe.is_empty()), &parts.timeouts).await;
    }
}

async fn fire<S: Store>(parts: &Arc<Parts<S>>, running: Running) {
    match parts.run(Job::Fire(running, stamp())).await {
        Ok(_) => parts.published.notify_one(),
        Err(error) => {
            tracing::warn!(%error, "a time-out is not fired yet");
            Backoff::default().wait().await;
        }
    }
}

/// Deletes what is older than its retention.
///
/// INVARIANT: what is young by the running clock is not deleted, and nothing at all within an hour of a
/// jump of the wall clock, or of a start whose clock disagrees with the tables.
pub(crate) async fn trim<S: Store>(parts: Arc<Parts<S>>) {
    let mut ages = ages(&parts).await;
    loop {
        let (outbox, inbox) = (parts.settings.outbox_retention, parts.settings.inbox_retention);
        let away = parts.settings.unreachable_after;
        let clocks = SteadyClock::of_process().read();
        let earlier = clocks.steady.min(clocks.wall());
        let inbox = forgettable(&lock(&parts.feeds), earlier, away, inbox);
        let trimmed = match ages.before(clocks, outbox) {
            Some(before) => parts.run(Job::Trim(before, inbox)).await,
            None => Ok(Reply::Changed(false)),
        };
        match trimmed {
            Ok(Reply::Changed(true)) => {
                // Others get their turn between two pieces.
                tokio::task::yield_now().await;
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old events are not trimmed"),
        }
        let wait = TRIM_EVERY.min(outbox / 4).max(Duration::from_millis(100));
        tokio::time::sleep(wait).await;
    }
}

/// The judge of ages, once the tables have told how old they are.
async fn ages<S: Store>(parts: &Arc<Parts<S>>) -> Ages {
    let kept = parts.settings.outbox_retention.min(parts.settings.inbox_retention);
    let mut backoff = Backoff::default();
    loop {
        match parts.run(Job::Youngest).await {
            Ok(Reply::Youngest(youngest)) => {
                return Ages::from(SteadyClock::of_process().read(), youngest, kept);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the age of events is not known"),
        }
        backoff.wait().await;
    }
}
