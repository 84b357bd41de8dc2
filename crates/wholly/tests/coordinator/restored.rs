//! What a restored copy of a log holds, and how an operator lets it go on.

use wholly::Operation::{Abort, Action, Commit, Compensation, Prepare};
use wholly::test::{Act, Standing, StepStanding};
use wholly::{
    CancelError, Decision, DecisionError, Filter, Graph, LogId, Resolution, ResolveError, State,
    StepName,
};

use super::sagas::graph;
use super::*;

const COPY: LogId = LogId::from_bits(77);
const COPY_OF_THE_COPY: LogId = LogId::from_bits(78);

fn decision(decision: Decision) -> Result<Option<Decision>, DecisionError> {
    Ok(Some(decision))
}

/// A shop whose log has one that is undecided and one that is committed at nobody yet, and a copy
/// of the log at that moment; the original then goes on with both.
struct Restored {
    shop: Shop,
    undecided: TransactionId,
    committed: TransactionId,
    calls: usize,
}

impl Restored {
    async fn open() -> Self {
        let mut shop = Shop::open().await;
        shop.orders.always(Commit, Act::LoseRequest);
        shop.payments.always(Commit, Act::LoseRequest);
        let committed = order(&shop.coordinator()).submit().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        shop.payments.always(Prepare, Act::Hang);
        let undecided = order(&shop.coordinator()).submit().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let copy = shop.harness.log().restored(COPY);
        shop.harness.go_on_with(copy).await;
        // Whatever was on its way has arrived.
        tokio::time::sleep(Duration::from_secs(60)).await;
        shop.orders.behave();
        shop.payments.behave();
        shop.start().await;
        let calls = shop.orders.received().len() + shop.payments.received().len();
        Self { shop, undecided, committed, calls }
    }

    /// How many calls there were since the copy was opened.
    fn calls(&self) -> usize {
        self.shop.orders.received().len() + self.shop.payments.received().len() - self.calls
    }

    async fn assert_held(&self, id: TransactionId, state: State) {
        let snapshot = self.shop.snapshot(id).await;
        assert_eq!((snapshot.state, snapshot.settled, snapshot.stuck), (Some(state), false, true));
        assert!(snapshot.quarantined.unwrap().contains("restored copy"));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_and_nothing_decided_for_what_the_copy_had_in_doubt() {
    let mut restored = Restored::open().await;
    for _ in 0..2 {
        // Past every deadline, and past a restart.
        tokio::time::sleep(LONG).await;
        restored.assert_held(restored.undecided, State::Init).await;
        restored.assert_held(restored.committed, State::Committed).await;
        let coordinator = restored.shop.coordinator();
        assert_eq!(coordinator.decision(restored.undecided).await.unwrap(), None);
        let unsettled = coordinator.outcome(restored.undecided, LONG).await.unwrap();
        assert_eq!(two_phase(unsettled), Outcome::Unsettled(restored.undecided));
        assert_eq!(restored.calls(), 0);
        restored.shop.restart().await;
    }
    // New ones go on, under the new identity.
    let outcome = order(&restored.shop.coordinator()).execute().await.unwrap();
    assert!(committed(&outcome));
    assert_eq!(outcome.id().log(), COPY);
    restored.shop.harness.assert_all_or_nothing(outcome.id()).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_what_is_held() {
    let restored = Restored::open().await;
    let began = tokio::time::Instant::now();
    let grace = Duration::from_secs(60);
    restored.shop.coordinator().shutdown(grace).await;
    assert!(began.elapsed() < grace, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_released_goes_on_with_its_old_id() {
    let mut restored = Restored::open().await;
    let (undecided, committed_one) = (restored.undecided, restored.committed);
    let coordinator = restored.shop.coordinator();
    let held = coordinator.retry(committed_one).await;
    assert!(matches!(held, Err(ResolveError::Restored { .. })), "{held:?}");
    assert_eq!(restored.calls(), 0);

    coordinator.release(committed_one, "the original is lost").await.unwrap();
    assert!(committed(&restored.shop.outcome(committed_one).await));
    assert_eq!(restored.shop.payments.standing(committed_one), Some(Standing::Committed));
    restored.assert_held(undecided, State::Init).await;
    let snapshot = restored.shop.snapshot(committed_one).await;
    let history = serde_json::to_string(&snapshot.history).unwrap();
    let word = format!(r#"{{"released":["{COPY}","the original is lost"]}}"#);
    assert!(history.contains(&word), "{history}");

    // As after a restart: what is undecided aborts.
    coordinator.release(undecided, "the original is lost").await.unwrap();
    assert_eq!(reason(restored.shop.outcome(undecided).await), AbortReason::Restarted);
    for id in [undecided, committed_one] {
        restored.shop.harness.assert_all_or_nothing(id).await;
    }
    let settled = coordinator.release(undecided, "again").await;
    assert!(matches!(settled, Err(ResolveError::NotInFlight { .. })), "{settled:?}");
    restored.shop.restart().await;
    assert!(committed(&restored.shop.outcome(committed_one).await));
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_a_restart_and_not_another_copy() {
    let mut restored = Restored::open().await;
    let id = restored.committed;
    restored.shop.payments.always(Commit, Act::LoseRequest);
    restored.shop.coordinator().release(id, "the original is lost").await.unwrap();
    let calls = restored.calls();
    restored.shop.restart().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(restored.calls() > calls, "it goes on after a restart");

    let again = restored.shop.harness.log().restored(COPY_OF_THE_COPY);
    restored.shop.harness.go_on_with(again).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    restored.shop.payments.behave();
    let calls = restored.calls();
    restored.shop.start().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(restored.calls(), calls, "a copy of the copy holds it again");
    restored.assert_held(id, State::Committed).await;
    restored.assert_held(restored.undecided, State::Init).await;
    restored.shop.coordinator().release(id, "both are lost").await.unwrap();
    assert!(committed(&restored.shop.outcome(id).await));
}

#[tokio::test(start_paused = true)]
async fn a_person_may_abort_it() {
    let restored = Restored::open().await;
    let coordinator = restored.shop.coordinator();
    let refused = coordinator.abort(restored.committed, "no").await;
    assert!(matches!(refused, Err(CancelError::Committed { .. })), "{refused:?}");
    restored.assert_held(restored.committed, State::Committed).await;
    assert_eq!(restored.calls(), 0);

    coordinator.abort(restored.undecided, "nobody has it").await.unwrap();
    let reason = reason(restored.shop.outcome(restored.undecided).await);
    assert_eq!(reason, AbortReason::Cancelled { reason: "nobody has it".to_owned() });
    restored.shop.harness.assert_all_or_nothing(restored.undecided).await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_saw_it_committed_says_so_and_the_others_commit_when_released() {
    let restored = Restored::open().await;
    let (id, coordinator) = (restored.undecided, restored.shop.coordinator());
    let no_such = coordinator.resolve(id, name("nobody"), Decision::Committed, "seen").await;
    assert!(matches!(no_such, Err(ResolveError::NoSuchBranch { .. })), "{no_such:?}");
    assert_eq!(coordinator.decision(id).await.unwrap(), None);

    coordinator.resolve(id, name("payments"), Decision::Committed, "seen there").await.unwrap();
    assert_eq!(coordinator.decision(id).await.unwrap(), decision(Decision::Committed).unwrap());
    restored.assert_held(id, State::Committed).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(restored.calls(), 0);
    coordinator.release(id, "the original is lost").await.unwrap();
    assert!(committed(&restored.shop.outcome(id).await));
    assert_eq!(restored.shop.orders.standing(id), Some(Standing::Committed));
}

#[tokio::test(start_paused = true)]
async fn a_person_may_end_every_branch_without_a_call() {
    let mut restored = Restored::open().await;
    let id = restored.undecided;
    for participant in ["orders", "payments"] {
        let coordinator = restored.shop.restart().await;
        let aborted = Decision::Aborted;
        coordinator.resolve(id, name(participant), aborted, "rolled back").await.unwrap();
    }
    let reason = reason(restored.shop.outcome(id).await);
    assert_eq!(reason, AbortReason::Resolved { reason: "rolled back".to_owned() });
    assert_eq!(restored.calls(), 0);
    for _ in 0..2 {
        let snapshot = restored.shop.snapshot(id).await;
        assert!(snapshot.settled && !snapshot.stuck && snapshot.quarantined.is_none());
        let coordinator = restored.shop.coordinator();
        let stuck = Filter { stuck: Some(true), ..Filter::default() };
        assert!(!coordinator.list(&stuck, None, 9).await.unwrap().ids().contains(&id));
        assert!(!coordinator.stuck().borrow().contains_key(&id));
        restored.shop.restart().await;
    }
}

fn name(participant: &str) -> wholly::BranchName {
    wholly::BranchName::new(participant).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_key_joins_what_is_held() {
    let mut shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let id = order(&shop.coordinator()).key("order 1").submit().await.unwrap();
    let copy = shop.harness.log().restored(COPY);
    shop.harness.go_on_with(copy).await;
    shop.payments.behave();
    shop.start().await;
    assert_eq!(order(&shop.coordinator()).key("order 1").submit().await.unwrap(), id);
    assert_eq!(shop.coordinator().list(&Filter::default(), None, 9).await.unwrap().ids(), [id]);
}

/// Nobody is given an output.
fn sale() -> std::sync::Arc<Graph> {
    graph(
        r#"{"name": "sale", "version": 1, "steps": [
            {"name": "take", "participant": "orders", "compensation": "put-back"},
            {"name": "charge", "participant": "payments", "compensation": "refund"},
            {"name": "confirm", "participant": "orders", "compensation": "deny"}]}"#,
    )
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_held_resolved_and_released() {
    let mut shop = Shop::open().await;
    shop.payments.always(Action, Act::Hang);
    let id = shop.coordinator().saga(sale()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let copy = shop.harness.log().restored(COPY);
    shop.harness.go_on_with(copy).await;
    shop.payments.behave();
    let coordinator = shop.start().await;
    let calls = |shop: &Shop| {
        let of = |who: &Scripted| who.count(Action) + who.count(Compensation);
        of(&shop.orders) + of(&shop.payments)
    };
    let before = calls(&shop);
    tokio::time::sleep(LONG).await;
    assert_eq!((shop.snapshot(id).await.state, calls(&shop)), (Some(State::Running), before));
    // Time stands still for it: long after its deadline an operator says how a step ended.
    let charge = StepName::new("charge").unwrap();
    let charged = Resolution::Completed(wholly::Payload::null());
    coordinator.resolve(id, charge, charged, "seen there").await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!((shop.snapshot(id).await.state, calls(&shop)), (Some(State::Running), before));
    // Released, its deadline has passed: it is taken back.
    coordinator.release(id, "the original is lost").await.unwrap();
    coordinator.outcome(id, LONG).await.unwrap();
    assert_eq!(shop.snapshot(id).await.state, Some(State::Compensated));
    assert_eq!((shop.orders.count("put-back"), shop.payments.count("refund")), (1, 1));
    assert!(matches!(coordinator.decision(id).await, Err(DecisionError::Saga { .. })));
    assert_eq!(shop.payments.count(Abort), 0);
}

/// The copy holds only that it started; the original had asked each of its steps.
#[tokio::test(start_paused = true)]
async fn what_turns_a_held_saga_back_takes_back_what_the_copy_does_not_know() {
    for by_hand in [false, true] {
        let mut shop = Shop::open().await;
        shop.orders.nth("confirm", 0, Act::LoseAnswer);
        let id = shop.coordinator().saga(sale()).submit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let copy = shop.harness.log().restored(COPY);
        shop.harness.go_on_with(copy).await;
        let standing = |shop: &Shop| {
            let steps = ["take", "confirm"].map(|step| shop.orders.step(id, step));
            (steps, shop.payments.step(id, "charge"))
        };
        let done = Some(StepStanding::Completed);
        assert_eq!(standing(&shop), ([done, done], done));
        let coordinator = shop.start().await;
        if by_hand {
            let take = StepName::new("take").unwrap();
            coordinator.resolve(id, take, Resolution::Compensated, "put back").await.unwrap();
            coordinator.release(id, "the original is lost").await.unwrap();
        } else {
            coordinator.abort(id, "the original is lost").await.unwrap();
        }
        coordinator.outcome(id, LONG).await.unwrap();
        assert_eq!(shop.snapshot(id).await.state, Some(State::Compensated));
        let back = Some(StepStanding::Compensated);
        let take = if by_hand { done } else { back };
        assert_eq!(standing(&shop), ([take, back], back));
    }
}
