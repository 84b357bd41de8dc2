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
//! never leaves. Where a participant hangs, and more wait than there are slots, each would else leave
//! just before its deadline, for a slot is free when another one's time is up, and be given up at
//! once: a storm of calls that nobody can answer, as fast as connections are made.
//!
//! INVARIANT: however many slots are free, no call leaves faster than the configured rate, nor
//! while the participant asks for a pause: the [`throttle`](super::throttle).
//!
//! Those that wait go by their deadline, the second phase before the first. All calls of a lane run
//! in one task: a participant in process that blocks its thread blocks its own lane.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use wholly_core::TransactionId;

use super::throttle::Throttle;
use super::{Answer, AnswerFuture, Call, Endpoint, Operation};
use crate::clock::Clock;
use crate::meter::{Held, TargetMeter};

/// How much of one participant may be in use at once: its calls in progress, and its transactions in
/// flight, where it is to have a limit of its own. It may also have a limit of calls a second.
///
/// ```
/// use wholly::Slots;
///
/// let slots = Slots::new(16, 4)?;
/// assert_eq!((slots.total(), slots.reserved_for_second_phase()), (16, 4));
/// assert_eq!((Slots::default().total(), Slots::default().reserved_for_second_phase()), (256, 64));
/// assert_eq!(slots.with_in_flight_limit(1_000).in_flight_limit(), Some(1_000));
/// assert_eq!(slots.with_calls_per_second(50).calls_per_second(), Some(50));
/// # Ok::<(), wholly::InvalidSlots>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    total: usize,
    reserved_for_second_phase: usize,
    in_flight_limit: Option<usize>,
    calls_per_second: Option<NonZeroU32>,
}

/// Slots that would leave a phase without any, or without a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reserved} of {total} slots cannot be kept for the second phase: each phase needs at least \
     one, and a participant has at most {}",
    Slots::LIMIT
)]
#[non_exhaustive]
pub struct InvalidSlots {
    /// The slots in all.
    pub total: usize,
    /// Those for the second phase.
    pub reserved: usize,
}

impl Slots {
    /// The most that a participant may have.
    pub const LIMIT: usize = 65_536;

    /// `total` slots, of which `reserved_for_second_phase` are kept for commits, aborts and
    /// compensations.
    ///
    /// # Errors
    /// When that leaves the first phase no slot, reserves none, or is more than [`Slots::LIMIT`].
    pub fn new(total: usize, reserved_for_second_phase: usize) -> Result<Self, InvalidSlots> {
        match (1..total).contains(&reserved_for_second_phase) && total <= Self::LIMIT {
            true => Ok(Self {
                total,
                reserved_for_second_phase,
                in_flight_limit: None,
                calls_per_second: None,
            }),
            false => Err(InvalidSlots { total, reserved: reserved_for_second_phase }),
        }
    }

    /// For how many transactions this one may owe an answer, in the place of
    /// [`Settings::in_flight_limit_per_participant`](crate::Settings::in_flight_limit_per_participant).
    #[must_use]
    pub const fn with_in_flight_limit(self, limit: usize) -> Self {
        Self { in_flight_limit: Some(limit), ..self }
    }

    /// The most calls that begin in a second, of both phases together; those of the second go
    /// first. They leave evenly, at most a hundredth of a second's number at once. No limit unless
    /// set; 0 counts as 1.
    #[must_use]
    pub const fn with_calls_per_second(self, limit: u32) -> Self {
        let limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Self { calls_per_second: Some(limit), ..self }
    }

    /// How many calls may be in progress at once.
    pub const fn total(self) -> usize {
        self.total
    }

    /// How many of the slots only commits, aborts and compensations may hold.
    pub const fn reserved_for_second_phase(self) -> usize {
        self.reserved_for_second_phase
    }

    /// For how many transactions it may owe an answer, if it has a limit of its own.
    pub const fn in_flight_limit(self) -> Option<usize> {
        self.in_flight_limit
    }

    /// The most calls that begin in a second, if there is a limit.
    pub const fn calls_per_second(self) -> Option<u32> {
        match self.calls_per_second {
            Some(limit) => Some(limit.get()),
            None => None,
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            total: 256,
            reserved_for_second_phase: 64,
            in_flight_limit: None,
            calls_per_second: None,
        }
    }
}

/// A call that is to be made.
pub(crate) struct Attempt {
    pub call: Call,
    /// Which of the transaction's branches or steps it is for: repeated in the answer.
    pub branch: u16,
    /// From [`Lane::send`] to the answer; more than a day is a day.
    pub timeout: Duration,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub transaction: TransactionId,
    pub branch: u16,
    pub operation: Operation,
    pub answer: Answer,
    /// False where the participant certainly saw nothing of it.
    pub sent: bool,
}

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

    /// Hands attempts over; never blocks. The bound on how many wait is the engine's bound on
    /// what is in flight.
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
    let mut held = Held::nothing(&meter);
    let mut queue = Queue::default();
    let mut running = FuturesUnordered::new();
    let mut throttle = Throttle::new(slots.calls_per_second);
    let mut first_phase_running = 0;
    let free_for_first = slots.total - slots.reserved_for_second_phase;
    loop {
        // What is late is taken out before any slot is given: it must not leave any more.
        let expired = queue.expired();
        expired.iter().for_each(|_| meter.never_left());
        if !expired.is_empty() && answers.send(expired).is_err() {
            return;
        }
        while running.len() < slots.total
            && throttle.opens_at().is_none()
            && let Some(waiting) = queue.next(first_phase_running < free_for_first)
        {
            throttle.called();
            first_phase_running += usize::from(waiting.is_first_phase());
            running.push(make(&*endpoint, waiting, &meter, &clock));
        }
        held.now(queue.len(), running.len());
        let opens_at = throttle.opens_at().filter(|_| running.len() < slots.total);
        tokio::select! {
            // What arrives is looked at before any call goes on: a commit passes the prepares that
            // wait, and when the handle is dropped nothing more leaves.
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

/// Waits until an attempt that waits is late, or may leave because the throttle opens.
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

/// The time-out lies within what is caught: dropping a call may panic, too.
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

/// What was said in a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message,
        _ => "no message",
    }
}

/// What waits for a slot. Where nothing waits longer than the loop's next turn, this costs a push
/// and a pop; the order by deadline makes the next to go the next to expire.
#[derive(Default)]
struct Queue {
    second_phase: BinaryHeap<Reverse<Waiting>>,
    first_phase: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
}

struct Waiting {
    /// By when it has to leave.
    leaves_by: Instant,
    deadline: Instant,
    /// Of the same deadline, the first that came goes first.
    place: u64,
    call: Call,
    branch: u16,
    timeout: Duration,
}

impl Queue {
    fn extend(&mut self, sent_at: Instant, attempts: Vec<Attempt>) {
        // Nothing waits past the end of time.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        for Attempt { call, branch, timeout } in attempts {
            self.arrived += 1;
            let timeout = timeout.min(LONGEST);
            let (leaves_by, deadline) = (sent_at + timeout / 2, sent_at + timeout);
            let place = self.arrived;
            let waiting = Reverse(Waiting { leaves_by, deadline, place, call, branch, timeout });
            match waiting.0.is_first_phase() {
                true => self.first_phase.push(waiting),
                false => self.second_phase.push(waiting),
            }
        }
    }

    fn next(&mut self, first_phase_too: bool) -> Option<Waiting> {
        let second_phase = self.second_phase.pop();
        let next = match first_phase_too {
            true => second_phase.or_else(|| self.first_phase.pop()),
            false => second_phase,
        };
        next.map(|Reverse(waiting)| waiting)
    }

    fn len(&self) -> usize {
        self.second_phase.len() + self.first_phase.len()
    }

    fn is_empty(&self) -> bool {
        self.second_phase.is_empty() && self.first_phase.is_empty()
    }

    fn leaves_by(&self) -> Option<Instant> {
        let heaps = [&self.second_phase, &self.first_phase];
        heaps.into_iter().filter_map(|heap| heap.peek()).map(|waiting| waiting.0.leaves_by).min()
    }

    fn expired(&mut self) -> Vec<Answered> {
        let mut expired = Vec::new();
        if self.is_empty() {
            return expired;
        }
        let now = Instant::now();
        for heap in [&mut self.second_phase, &mut self.first_phase] {
            while heap.peek().is_some_and(|waiting| waiting.0.leaves_by <= now)
                && let Some(Reverse(waiting)) = heap.pop()
            {
                expired.push(waiting.never_left());
            }
        }
        expired
    }
}

impl Waiting {
    fn is_first_phase(&self) -> bool {
        self.call.operation.is_first_phase()
    }

    fn never_left(self) -> Answered {
        let waited = self.timeout / 2;
        let answer =
            Answer::unknown(format!("never sent: its turn did not come within {waited:?}"));
        let Call { transaction, operation, .. } = self.call;
        Answered { transaction, branch: self.branch, operation, answer, sent: false }
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.leaves_by, self.place).cmp(&(other.leaves_by, other.place))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests;
