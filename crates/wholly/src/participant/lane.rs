//! A lane: the calls to one participant, in a bounded number of slots.
//!
//! A call holds a slot from when it leaves until its answer. Some slots are kept for the second
//! phase and for compensations, because prepares that wait for a row's lock would else keep away
//! the very commit that releases it. An action counts as first phase, a compensation as second.
//!
//! INVARIANT: calls of the first phase hold at most `total − reserved` slots, all calls `total`.
//!
//! INVARIANT: every attempt is answered exactly once, unless the lane is dropped: a time-out counts
//! from [`Lane::send`], waiting for a slot included, and a panic is caught. Both are
//! [`Answer::Unknown`], but an attempt whose time ran out before it had a slot never left, and
//! [`Answered::sent`] says so: it is not an unanswered attempt, and a later no may be believed.
//!
//! INVARIANT: a call that leaves has at least half of its time: an attempt that had no slot by then
//! never leaves. With a participant that hangs, and more attempts than slots, each would else leave
//! just before its deadline, when another one's time is up and frees a slot, and be given up at
//! once: a storm of calls that nobody can answer, as fast as connections are made.
//!
//! INVARIANT: however many slots are free, no call leaves faster than the configured rate, nor
//! while the participant asks for a pause: the [`throttle`](super::throttle).
//!
//! Attempts wait in the order of their deadlines, the second phase before the first. All calls of a
//! lane run in one task: a participant in process that blocks its thread blocks its own lane.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::{Answered, Attempt};
use super::queue::{Queue, Waiting};
use super::slots::Slots;
use super::throttle::Throttle;
use super::{Answer, AnswerFuture, Endpoint};
use crate::clock::Clock;
use crate::meter::{LaneGauge, TargetMeter};

/// The handle of a lane. Dropping it drops the calls in progress and those that wait.
pub(crate) struct Lane {
    attempts: mpsc::UnboundedSender<(Instant, Vec<Attempt>)>,
}

impl Lane {
    /// Starts a lane on the current runtime. Answers that are ready together are sent together.
    pub(crate) fn start(
        endpoint: Arc<dyn Endpoint>,
        slots: Slots,
        answers: mpsc::UnboundedSender<Vec<Answered>>,
        meter: Arc<TargetMeter>,
        clock: Clock,
    ) -> Self {
        let (attempts, arriving) = mpsc::unbounded_channel();
        tokio::spawn(drive(endpoint, slots, arriving, answers, meter, clock));
        Self { attempts }
    }

    /// Hands attempts over; never blocks. The engine's limit on transactions in flight bounds their
    /// number.
    pub(crate) fn send(&self, attempts: Vec<Attempt>) {
        // The task ends only with this handle or with the engine, which then wants no answer.
        let _ = self.attempts.send((Instant::now(), attempts));
    }
}

async fn drive(
    endpoint: Arc<dyn Endpoint>,
    slots: Slots,
    mut arriving: mpsc::UnboundedReceiver<(Instant, Vec<Attempt>)>,
    answers: mpsc::UnboundedSender<Vec<Answered>>,
    meter: Arc<TargetMeter>,
    clock: Clock,
) {
    let mut gauge = LaneGauge::new(&meter);
    let mut queue = Queue::default();
    let mut running = FuturesUnordered::new();
    let mut throttle = Throttle::new(slots.calls_per_second());
    let mut first_phase_running = 0;
    loop {
        // Expired attempts are taken out before any slot is given: they must not leave any more.
        let expired = queue.expired();
        expired.iter().for_each(|_| meter.never_left());
        if !expired.is_empty() && answers.send(expired).is_err() {
            return;
        }
        while running.len() < slots.total()
            && throttle.opens_at().is_none()
            && let Some(waiting) = queue.next(first_phase_running < slots.for_first_phase())
        {
            throttle.called();
            first_phase_running += usize::from(waiting.is_first_phase());
            running.push(make(&*endpoint, waiting, &meter, &clock));
        }
        gauge.set(queue.len(), running.len());
        let opens_at = throttle.opens_at().filter(|_| running.len() < slots.total());
        tokio::select! {
            // New attempts are taken before any call goes on: a commit passes the prepares that wait,
            // and when the handle is dropped nothing more leaves.
            biased;
            batch = arriving.recv() => match batch {
                Some((sent_at, attempts)) => queue.extend(sent_at, attempts),
                None => return,
            },
            ended = all_ready(&mut running), if !running.is_empty() => {
                ended.iter().for_each(|answered| throttle.answered(&answered.answer));
                first_phase_running -=
                    ended.iter().filter(|answered| answered.operation.is_first_phase()).count();
                if answers.send(ended).is_err() {
                    return;
                }
            }
            () = next_turn(&queue, opens_at), if !queue.is_empty() => {}
        }
    }
}

/// Waits until an attempt in the queue is late, or may leave because the throttle opens.
async fn next_turn(queue: &Queue, opens_at: Option<Instant>) {
    if let Some(at) = queue.leaves_by().into_iter().chain(opens_at).min() {
        sleep_until(at).await;
    }
}

/// Waits for one answer and takes all that are ready with it: one message to the engine carries
/// what would else be hundreds.
async fn all_ready<F>(running: &mut FuturesUnordered<F>) -> Vec<Answered>
where
    F: Future<Output = Answered>,
{
    let mut ready = Vec::new();
    poll_fn(|context| {
        while let Poll::Ready(Some(answered)) = running.poll_next_unpin(context) {
            ready.push(answered);
        }
        if ready.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    ready
}

/// Makes a call, which begins here: a future that began it would hold the call for as long as it
/// waits, and there may be tens of thousands.
fn make<'a>(
    endpoint: &'a dyn Endpoint,
    waiting: Waiting,
    meter: &'a TargetMeter,
    clock: &Clock,
) -> impl Future<Output = Answered> + use<'a> {
    let left_at = Instant::now();
    let Waiting { mut call, branch, timeout, deadline, .. } = waiting;
    // The participant compares the expiry with its wall clock.
    call.expires = call.expires.map(|at| clock.read().on_the_wall(at));
    let (transaction, operation) = (call.transaction, call.operation);
    let begun = catch_unwind(AssertUnwindSafe(|| endpoint.call(call)));
    async move {
        let answer = match begun {
            Ok(answering) => in_time(answering, deadline, timeout).await,
            Err(panic) => panicked(panic),
        };
        meter.ended(operation, &answer, left_at);
        Answered { transaction, branch, operation, answer, sent: true }
    }
}

/// Panics are caught around the time-out, too, because dropping a call may panic.
fn in_time(
    mut answering: AnswerFuture<'_>,
    deadline: Instant,
    timeout: Duration,
) -> impl Future<Output = Answer> {
    let in_time = async move {
        // A call that is ready at once needs no timer.
        let at_once = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await;
        match at_once {
            Poll::Ready(answer) => answer,
            Poll::Pending => timeout_at(deadline, answering)
                .await
                .unwrap_or_else(|_| Answer::unknown(format!("no answer within {timeout:?}"))),
        }
    };
    AssertUnwindSafe(in_time).catch_unwind().unwrap_or_else(panicked)
}

fn panicked(panic: Box<dyn Any + Send>) -> Answer {
    Answer::unknown(format!("the participant panicked: {}", panic_message(&*panic)))
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message,
        _ => "no message",
    }
}

#[cfg(test)]
mod tests;
