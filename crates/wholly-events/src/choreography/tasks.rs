//! The background tasks of a service: positions, parked events, calls, time-outs and retention.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use wholly_clock::{Ages, SteadyClock};
use wholly_core::Timestamp;

use super::backoff::Backoff;
use super::follow::{after_commit, record_failure};
use super::handler::{HandlerError, Undone, call_key};
use super::job::{JobOutput, StoreJob};
use super::parked::ParkedEvent;
use super::plan::ReactionIndex;
use super::read_horizon::{inbox_cutoff, read_horizon};
use super::service::{Runtime, lock, stamp};
use super::timeout::PendingTimeout;
use crate::event::{Event, now};
use crate::feed::tables::SEQUENCE_BATCH;
use crate::store::{Store, StoreError};

/// The longest sleep until a due time, which another process may bring forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// The interval between two deletions of old rows.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Assigns positions to published events.
pub(crate) async fn sequence<S: Store>(runtime: Arc<Runtime<S>>) {
    let mut backoff = Backoff::default();
    let mut before = 0;
    loop {
        match runtime.sequence().await {
            Ok(head) => {
                backoff.reset();
                let more = head >= before + SEQUENCE_BATCH;
                before = head;
                if !more {
                    // The poll finds events of publishers that do not wake this process.
                    let woken = runtime.published.notified();
                    let _ = tokio::time::timeout(runtime.settings.poll, woken).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "published events get no positions");
                backoff.wait().await;
            }
        }
    }
}

/// Retries parked events when they are due.
pub(crate) async fn retry_parked<S: Store>(runtime: Arc<Runtime<S>>) {
    loop {
        let next = match runtime.run(StoreJob::Due(now())).await {
            Ok(JobOutput::Parked(due, next)) => {
                let due: Vec<_> = due.into_iter().filter(|one| !is_busy(&runtime, one)).collect();
                if !due.is_empty() {
                    join_all(due.into_iter().map(|one| retry(&runtime, one))).await;
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
        sleep_until(next, &runtime.parked).await;
    }
}

/// Sleeps until a time or a signal, for at least 10 milliseconds without one.
async fn sleep_until(next: Option<Timestamp>, woken: &tokio::sync::Notify) {
    let sleep = next.map_or(LONGEST_SLEEP, |next| now().until(next).min(LONGEST_SLEEP));
    let sleep = sleep.max(Duration::from_millis(10));
    let _ = tokio::time::timeout(sleep, woken.notified()).await;
}

fn is_busy<S: Store>(runtime: &Arc<Runtime<S>>, parked: &ParkedEvent) -> bool {
    lock(&runtime.busy).contains(&parked.sequence)
}

async fn retry<S: Store>(runtime: &Arc<Runtime<S>>, parked: ParkedEvent) {
    let (sequence, correlation) = (parked.sequence, parked.event.correlation.clone());
    match runtime.run(StoreJob::Retry(sequence, correlation, None, stamp())).await {
        Ok(JobOutput::Disposed(disposition)) => {
            let index = runtime.code.plan.by_name(&parked.reaction);
            after_commit(runtime, &disposition, index.map(|index| (index, &parked.event)));
        }
        Ok(_) => {}
        Err(StoreError::Handler(failure)) => {
            record_failure(runtime, &parked.reaction, &parked.event, failure).await;
        }
        Err(error) => {
            tracing::warn!(%error, "a parked event is not tried");
            Backoff::default().wait().await;
        }
    }
}

/// Makes a call that is recorded as out, unless this process is making it already.
pub(crate) fn begin_call<S: Store>(
    runtime: &Arc<Runtime<S>>,
    sequence: u64,
    index: ReactionIndex,
    event: Event,
    undone: Undone,
) {
    if !lock(&runtime.busy).insert(sequence) {
        return;
    }
    let runtime = Arc::clone(runtime);
    let calling = Arc::clone(&runtime.calling);
    let mut calling = lock(&calling);
    while calling.try_join_next().is_some() {}
    calling.spawn(async move {
        call(&runtime, sequence, index, event, undone).await;
        lock(&runtime.busy).remove(&sequence);
        runtime.parked.notify_one();
    });
}

async fn call<S: Store>(
    runtime: &Arc<Runtime<S>>,
    sequence: u64,
    index: ReactionIndex,
    event: Event,
    undone: Undone,
) {
    let Some(reaction) = runtime.code.plan.reaction(index) else { return };
    let Some(Some(call)) = runtime.calls.get(index.0) else { return };
    let key = call_key(runtime.source(), &reaction.name, &event);
    let limit = runtime.settings.call_timeout;
    let called = tokio::time::timeout(limit, call(event.clone(), undone, key)).await;
    let late = || HandlerError::failed(format!("the call gave no result within {limit:?}"));
    let result = match called.unwrap_or_else(|_| Err(late())) {
        Ok(result) => result,
        Err(failure) => return record_failure(runtime, &reaction.name, &event, failure).await,
    };
    let mut backoff = Backoff::default();
    loop {
        let (correlation, result) = (event.correlation.clone(), Some(result.clone()));
        match runtime.run(StoreJob::Retry(sequence, correlation, result, stamp())).await {
            Ok(JobOutput::Disposed(disposition)) => {
                return after_commit(runtime, &disposition, Some((index, &event)));
            }
            Ok(_) => return,
            Err(StoreError::Handler(failure)) => {
                return record_failure(runtime, &reaction.name, &event, failure).await;
            }
            Err(error) => tracing::warn!(%error, "the result of a call is not recorded yet"),
        }
        backoff.wait().await;
    }
}

/// Fires due time-outs that no unread event can cancel.
pub(crate) async fn time_out<S: Store>(runtime: Arc<Runtime<S>>) {
    if runtime.code.plan.declaration.timeouts.is_empty() {
        return;
    }
    loop {
        let (due, next) = match runtime.run(StoreJob::TimeoutsDue(now())).await {
            Ok(JobOutput::Timeouts(due, next)) => (due, next),
            Ok(_) => (Vec::new(), None),
            Err(error) => {
                tracing::warn!(%error, "time-outs cannot be looked for");
                (Vec::new(), None)
            }
        };
        let settings = &runtime.settings;
        let known = read_horizon(&lock(&runtime.feeds), now(), settings.unreachable_after);
        let (ripe, unripe): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| one.may_fire(known));
        for running in ripe {
            fire(&runtime, running).await;
        }
        if !unripe.is_empty() {
            runtime.read_now.notify_waiters();
        }
        sleep_until(next.filter(|_| unripe.is_empty()), &runtime.timeouts).await;
    }
}

async fn fire<S: Store>(runtime: &Arc<Runtime<S>>, running: PendingTimeout) {
    match runtime.run(StoreJob::Fire(running, stamp())).await {
        Ok(_) => runtime.published.notify_one(),
        Err(error) => {
            tracing::warn!(%error, "a time-out is not fired yet");
            Backoff::default().wait().await;
        }
    }
}

/// Deletes rows that are older than their retention.
///
/// INVARIANT: rows that are recent by the steady clock are kept. Nothing is deleted within an hour
/// of a jump of the wall clock, or of a start whose clock disagrees with the tables.
pub(crate) async fn trim<S: Store>(runtime: Arc<Runtime<S>>) {
    let mut ages = ages(&runtime).await;
    loop {
        let (outbox, inbox) = (runtime.settings.outbox_retention, runtime.settings.inbox_retention);
        let away = runtime.settings.unreachable_after;
        let clocks = SteadyClock::of_process().read();
        let earlier = clocks.steady.min(clocks.wall());
        let inbox = inbox_cutoff(&lock(&runtime.feeds), earlier, away, inbox);
        let trimmed = match ages.before(clocks, outbox) {
            Some(before) => runtime.run(StoreJob::Trim(before, inbox)).await,
            None => Ok(JobOutput::Changed(false)),
        };
        match trimmed {
            Ok(JobOutput::Changed(true)) => {
                // Other tasks run between two batches.
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

/// The ages of rows by the steady clock, from the most recent time in the tables.
async fn ages<S: Store>(runtime: &Arc<Runtime<S>>) -> Ages {
    let kept = runtime.settings.outbox_retention.min(runtime.settings.inbox_retention);
    let mut backoff = Backoff::default();
    loop {
        match runtime.run(StoreJob::Youngest).await {
            Ok(JobOutput::Youngest(youngest)) => {
                return Ages::from(SteadyClock::of_process().read(), youngest, kept);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the age of events is not known"),
        }
        backoff.wait().await;
    }
}
