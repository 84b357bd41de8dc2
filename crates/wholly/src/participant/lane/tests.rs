use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, mpsc};
use wholly_core::{LogId, Payload, Timestamp, TransactionId};

use super::super::throttle::LONGEST_PAUSE;
use super::super::{Call, Operation};
use super::*;

/// A participant that does what the payload says, and counts.
#[derive(Clone)]
struct Scripted(Arc<ScriptState>);

struct ScriptState {
    gate: Semaphore,
    now: AtomicUsize,
    now_first_phase: AtomicUsize,
    most: AtomicUsize,
    most_first_phase: AtomicUsize,
    seen: AtomicUsize,
}

impl Scripted {
    fn new() -> Self {
        let zero = || AtomicUsize::new(0);
        Self(Arc::new(ScriptState {
            gate: Semaphore::new(0),
            now: zero(),
            now_first_phase: zero(),
            most: zero(),
            most_first_phase: zero(),
            seen: zero(),
        }))
    }

    // Not an `async fn`: a panic here comes before there is a future.
    fn begin(&self, call: Call) -> impl Future<Output = Answer> + Send + use<'_> {
        assert_ne!(call.payload.as_str(), r#""panic at once""#, "at once");
        self.act(call)
    }

    async fn act(&self, call: Call) -> Answer {
        let state = &self.0;
        state.seen.fetch_add(1, SeqCst);
        state.most.fetch_max(state.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let first = usize::from(call.operation.is_first_phase());
        let now_first_phase = state.now_first_phase.fetch_add(first, SeqCst) + first;
        state.most_first_phase.fetch_max(now_first_phase, SeqCst);
        match call.payload.as_str() {
            r#""gate""# => state.gate.acquire().await.unwrap().forget(),
            r#""hang""# => std::future::pending().await,
            r#""panic late""# => {
                tokio::task::yield_now().await;
                panic!("late")
            }
            r#""panic dropped""# => {
                struct Dropped;
                impl Drop for Dropped {
                    fn drop(&mut self) {
                        panic!("dropped");
                    }
                }
                let _dropped = Dropped;
                std::future::pending().await
            }
            _ => {}
        }
        state.now.fetch_sub(1, SeqCst);
        state.now_first_phase.fetch_sub(first, SeqCst);
        match call.payload.as_str() {
            r#""busy""# => Answer::unavailable("busy", BUSY),
            r#""busy for days""# => Answer::unavailable("busy", 1_000 * BUSY),
            _ => Answer::Done,
        }
    }
}

impl Endpoint for Scripted {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        Box::pin(self.begin(call))
    }
}

/// The pause that a busy participant asks for.
const BUSY: Duration = Duration::from_secs(2);
const BRANCH: u16 = 3;
const TIMEOUT: Duration = Duration::from_secs(5);

fn attempt(number: u64, operation: Operation, payload: &str) -> Attempt {
    let id = TransactionId::mint(number, Timestamp::default(), 0, LogId::from_bits(1));
    let payload = Payload::of(payload).unwrap();
    let call = Call::new(id, "orders".parse().unwrap(), operation, payload);
    Attempt { call, branch: BRANCH, timeout: TIMEOUT }
}

fn attempts(count: u64, operation: Operation, payload: &str) -> Vec<Attempt> {
    (0..count).map(|number| attempt(number, operation, payload)).collect()
}

fn lane(slots: Slots) -> (Scripted, Lane, UnboundedReceiver<Vec<Answered>>) {
    let participant = Scripted::new();
    let (answers, answered) = mpsc::unbounded_channel();
    let lane =
        Lane::start(Arc::new(participant.clone()), slots, answers, Arc::default(), Clock::system());
    (participant, lane, answered)
}

async fn take(count: usize, answers: &mut UnboundedReceiver<Vec<Answered>>) -> Vec<Answered> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(answers.recv().await.expect("the lane ended"));
    }
    assert_eq!(taken.len(), count, "more answers than attempts");
    taken
}

#[tokio::test(start_paused = true)]
async fn what_has_reserved_slots_gets_through_while_the_others_hang() {
    use Operation::{Action, Commit, Compensation, Prepare};
    for (first, second) in [(Prepare, Commit), (Action, Compensation)] {
        let (participant, lane, mut answers) = lane(Slots::new(4, 1).unwrap());
        lane.send(attempts(10, first, "hang"));
        lane.send(attempts(3, second, ""));
        for answered in take(3, &mut answers).await {
            assert_eq!((answered.operation, answered.answer), (second, Answer::Done));
            assert_eq!(answered.branch, BRANCH);
        }
        assert_eq!(participant.0.most_first_phase.load(SeqCst), 3);
    }
}

#[tokio::test]
async fn the_bounds_hold_and_the_second_phase_goes_first() {
    let (participant, lane, mut answers) = lane(Slots::new(8, 3).unwrap());
    lane.send(attempts(100, Operation::Prepare, "gate"));
    lane.send(attempts(100, Operation::Abort, "gate"));
    while participant.0.now.load(SeqCst) < 8 {
        tokio::task::yield_now().await;
    }
    participant.0.gate.add_permits(200);
    let answered = take(200, &mut answers).await;
    assert_eq!(participant.0.most.load(SeqCst), 8);
    assert_eq!(participant.0.most_first_phase.load(SeqCst), 5);
    // Behind the five prepares that had a slot already, every abort passes every prepare.
    let early = answered[..105].iter().filter(|a| a.operation == Operation::Prepare).count();
    assert!(early <= 5, "{early} prepares went before an abort that waited");
}

#[tokio::test]
async fn a_panic_is_unknown_and_the_lane_goes_on() {
    let (_participant, lane, mut answers) = lane(Slots::new(2, 1).unwrap());
    for (payload, message) in [("panic at once", "at once"), ("panic late", "late")] {
        lane.send(attempts(3, Operation::Prepare, payload));
        for answered in take(3, &mut answers).await {
            let Answer::Unknown { reason, .. } = &answered.answer else { panic!("{answered:?}") };
            assert!(reason.contains("panicked") && reason.contains(message), "{reason}");
            assert!(answered.sent);
        }
    }
    lane.send(attempts(1, Operation::Prepare, ""));
    assert_eq!(take(1, &mut answers).await[0].answer, Answer::Done);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_late_call_is_dropped_is_unknown() {
    let (_participant, lane, mut answers) = lane(Slots::new(2, 1).unwrap());
    lane.send(attempts(1, Operation::Prepare, "panic dropped"));
    let answered = take(1, &mut answers).await;
    assert_eq!(answered[0].answer, Answer::unknown("the participant panicked: dropped"));
    lane.send(attempts(1, Operation::Prepare, ""));
    assert_eq!(take(1, &mut answers).await[0].answer, Answer::Done);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_tells_what_was_sent_from_what_never_left() {
    let (participant, lane, mut answers) = lane(Slots::new(4, 2).unwrap());
    let started = Instant::now();
    lane.send(attempts(5, Operation::Prepare, "hang"));
    let answered = take(5, &mut answers).await;
    assert_eq!(started.elapsed().as_secs(), TIMEOUT.as_secs());
    assert!(answered.iter().all(|a| matches!(a.answer, Answer::Unknown { .. })));
    assert_eq!(answered.iter().filter(|a| a.sent).count(), 2);
    assert!(answered.iter().all(|a| a.branch == BRANCH));
    assert_eq!(participant.0.seen.load(SeqCst), 2, "what never left was seen");
    // The slots are free again.
    lane.send(attempts(1, Operation::Prepare, ""));
    assert_eq!(take(1, &mut answers).await[0].answer, Answer::Done);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_not_called_more_often_because_more_waits() {
    let (participant, lane, _answers) = lane(Slots::new(2, 1).unwrap());
    let pause = TIMEOUT / 500;
    for number in 0..1_000 {
        lane.send(vec![attempt(number, Operation::Abort, "hang")]);
        tokio::time::sleep(pause).await;
    }
    // In two time-outs each slot has at most four calls, which hold it for at least a half each.
    let seen = participant.0.seen.load(SeqCst);
    assert!(seen <= 2 * 4, "{seen} calls were made");
}

#[tokio::test(start_paused = true)]
async fn of_those_that_wait_the_nearest_deadline_goes_first() {
    let (participant, lane, mut answers) = lane(Slots::new(2, 1).unwrap());
    lane.send(attempts(1, Operation::Prepare, "gate"));
    let mut hurried = attempt(7, Operation::Prepare, "");
    hurried.timeout = TIMEOUT / 2;
    lane.send(vec![
        attempt(5, Operation::Prepare, ""),
        attempt(6, Operation::Prepare, ""),
        hurried,
    ]);
    tokio::time::advance(TIMEOUT / 8).await;
    participant.0.gate.add_permits(1);
    let order =
        take(4, &mut answers).await.iter().map(|a| a.transaction.ordinal()).collect::<Vec<_>>();
    let ordinal = |number| attempt(number, Operation::Prepare, "").call.transaction.ordinal();
    assert_eq!(order, [ordinal(0), ordinal(7), ordinal(5), ordinal(6)]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_left_alone_is_called_for_no_transaction() {
    let (participant, lane, mut answers) = lane(Slots::default());
    let started = Instant::now();
    lane.send(attempts(1, Operation::Prepare, "busy"));
    take(1, &mut answers).await;
    lane.send(attempts(10, Operation::Commit, ""));
    tokio::time::sleep(BUSY - Duration::from_millis(1)).await;
    assert_eq!(participant.0.seen.load(SeqCst), 1, "it was called meanwhile");
    assert!(take(10, &mut answers).await.iter().all(|answered| answered.answer == Answer::Done));
    assert_eq!(started.elapsed().as_secs(), BUSY.as_secs());
    // An attempt that times out meanwhile never left, and no participant is left alone for days.
    lane.send(attempts(1, Operation::Prepare, "busy for days"));
    take(1, &mut answers).await;
    let mut patient = attempt(1, Operation::Commit, "");
    patient.timeout = 3 * LONGEST_PAUSE;
    lane.send(vec![attempt(2, Operation::Commit, ""), patient]);
    assert!(!take(1, &mut answers).await[0].sent);
    assert_eq!(take(1, &mut answers).await[0].answer, Answer::Done);
    assert_eq!(started.elapsed().as_secs(), (BUSY + LONGEST_PAUSE).as_secs());
}

#[tokio::test(start_paused = true)]
async fn calls_leave_no_faster_than_the_rate_and_the_second_phase_first() {
    const RATE: u32 = 200;
    let (participant, lane, mut answers) = lane(Slots::default().with_calls_per_second(RATE));
    lane.send(attempts(u64::from(RATE), Operation::Prepare, ""));
    for half_seconds in 1..=2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = participant.0.seen.load(SeqCst);
        let due = half_seconds * RATE as usize / 2;
        assert!((due..due + 5).contains(&seen), "{seen} calls, not {due}");
    }
    take(RATE as usize, &mut answers).await;
    lane.send(attempts(50, Operation::Prepare, ""));
    lane.send(attempts(50, Operation::Commit, ""));
    let answered = take(100, &mut answers).await;
    let early = answered[..50].iter().filter(|answered| answered.operation.is_first_phase());
    // A burst of two had left before the commits came.
    assert!(early.count() <= 2, "prepares went before commits");
}

#[tokio::test]
async fn answers_that_are_ready_together_come_together() {
    let (_participant, lane, mut answers) = lane(Slots::default());
    lane.send(attempts(100, Operation::Commit, ""));
    assert!(answers.recv().await.unwrap().len() > 10);
}

#[tokio::test]
async fn dropping_the_lane_drops_its_calls() {
    let (participant, lane, mut answers) = lane(Slots::new(4, 1).unwrap());
    lane.send(attempts(10, Operation::Prepare, "hang"));
    while participant.0.seen.load(SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    lane.send(attempts(3, Operation::Commit, ""));
    drop(lane);
    assert_eq!(answers.recv().await, None);
    assert_eq!(participant.0.seen.load(SeqCst), 3, "a call left after the lane was dropped");
    // Only this test still holds the participant: the task and its calls are gone.
    assert_eq!(Arc::strong_count(&participant.0), 1);
}

/// `cargo test --release -p wholly --lib -- --ignored --nocapture throughput`
#[tokio::test]
#[ignore = "prints a measurement; takes seconds"]
async fn throughput() {
    struct Nothing;
    impl Endpoint for Nothing {
        fn call(&self, _call: Call) -> AnswerFuture<'_> {
            Box::pin(std::future::ready(Answer::Done))
        }
    }
    const ROUNDS: usize = 1_000;
    let (answers, mut answered) = mpsc::unbounded_channel();
    let lane =
        Lane::start(Arc::new(Nothing), Slots::default(), answers, Arc::default(), Clock::system());
    let mut batches = 0;
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let batch = attempts(1_000, Operation::Prepare, "");
        let started = std::time::Instant::now();
        lane.send(batch);
        let mut count = 0;
        while count < 1_000 {
            count += answered.recv().await.unwrap().len();
            batches += 1;
        }
        spent += started.elapsed();
    }
    let calls = (ROUNDS * 1_000) as f64;
    println!(
        "{:.0} calls/s, {:.0} a batch",
        calls / spent.as_secs_f64(),
        calls / f64::from(batches)
    );
    assert!(batches > 0);
}
