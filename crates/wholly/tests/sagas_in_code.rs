//! Sagas in code, through the coordinator, on virtual time.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

#[path = "common/warnings.rs"]
mod warnings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use warnings::Warnings;
use wholly::test::{Harness, Unsynced};
use wholly::{
    Coordinator, MemoryLog, Reason, Saga, SagaError, SagaOutcome, Step, StepError, SubmitError,
    step,
};

#[derive(Serialize, Deserialize)]
struct Order {
    id: String,
    amount: u64,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Receipt {
    number: u64,
}

fn order(amount: u64) -> Order {
    Order { id: "ORD001".into(), amount }
}

/// What was called, in its order, and what is charged by key.
#[derive(Default)]
struct Shop {
    calls: Vec<String>,
    charged: BTreeMap<String, u64>,
    /// The gateway is away for so many calls.
    away: u32,
}

type Shared = Arc<Mutex<Shop>>;

#[derive(Debug, thiserror::Error)]
#[error("the gateway is away")]
struct Away;

impl Shop {
    fn charge(&mut self, key: &str, amount: u64) -> Result<Receipt, Away> {
        if self.away > 0 {
            self.away -= 1;
            return Err(Away);
        }
        self.charged.insert(key.to_owned(), amount);
        Ok(Receipt { number: 7 })
    }
}

async fn charge(cx: Step<Order>, shop: Shared) -> Result<Receipt, StepError> {
    let mut shop = shop.lock().unwrap();
    shop.calls.push(format!("{} {}", cx.name(), cx.output::<u32>("reserve")?));
    if cx.input.amount > 1_000 {
        return Err(StepError::refused("declined"));
    }
    Ok(shop.charge(cx.idempotency_key(), cx.input.amount)?)
}

/// Reserve, pay, confirm; the confirmation is refused where the order is of nothing.
fn create_order(shop: &Shared) -> Saga<Order> {
    let log = |what: &'static str| {
        let shop = shop.clone();
        move |seen: String| shop.lock().unwrap().calls.push(format!("{what} {seen}"))
    };
    let (reserved, released, refunded) = (log("reserve"), log("release"), log("refund"));
    let (confirmed, shop) = (log("confirm"), shop.clone());
    Saga::new("create order", 1)
        .step(
            step("reserve", move |cx: Step<Order>| {
                reserved(cx.input.id);
                async { Ok(12_u32) }
            })
            .undo(move |_, shelf| {
                released(format!("{shelf:?}"));
                async { Ok(()) }
            }),
        )
        .step(step("pay", move |cx| charge(cx, shop.clone())).undo(move |_, receipt| {
            refunded(format!("{receipt:?}"));
            async { Ok(()) }
        }))
        .step(
            step("confirm", move |cx: Step<Order>| {
                confirmed(cx.input.id);
                let nothing = cx.input.amount == 0;
                async move { if nothing { Err(StepError::refused("nothing")) } else { Ok(()) } }
            })
            .needs_no_undo(),
        )
}

fn refused(step: &str, reason: &str) -> Reason {
    Reason::Refused { step: step.parse().unwrap(), reason: reason.into() }
}

#[tokio::test(start_paused = true)]
async fn it_runs_to_its_end_and_unknown_is_asked_again() {
    let (mut harness, shop) = (Harness::new(), Shared::default());
    shop.lock().unwrap().away = 3;
    let orders = harness.saga(create_order(&shop)).unwrap();
    harness.start().await.unwrap();
    let outcome = orders.start(&order(50)).key("ORD001").execute().await.unwrap();
    let SagaOutcome::Completed(done) = outcome else { panic!("{outcome:?}") };
    assert_eq!(done.output("pay"), Some(Receipt { number: 7 }));
    let shop = shop.lock().unwrap();
    let pay = "pay 12";
    assert_eq!(shop.calls, ["reserve ORD001", pay, pay, pay, pay, "confirm ORD001"]);
    let key = format!("{}/pay/pay", done.id);
    assert_eq!(shop.charged, BTreeMap::from([(key, 50)]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_turns_it_back_with_what_is_known() {
    let (mut harness, shop) = (Harness::new(), Shared::default());
    let orders = harness.saga(create_order(&shop)).unwrap();
    harness.start().await.unwrap();
    let outcome = orders.start(&order(2_000)).execute().await.unwrap();
    let SagaOutcome::Compensated(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why.reason, refused("pay", "declined"));
    let calls = std::mem::take(&mut shop.lock().unwrap().calls);
    assert_eq!(calls, ["reserve ORD001", "pay 12", "release Some(12)"]);

    let outcome = orders.start(&order(0)).execute().await.unwrap();
    let SagaOutcome::Compensated(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why.reason, refused("confirm", "nothing"));
    let receipt = "refund Some(Receipt { number: 7 })";
    assert_eq!(shop.lock().unwrap().calls[3..], [receipt, "release Some(12)"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_undoes_what_is_unknown() {
    let (mut harness, shop) = (Harness::new(), Shared::default());
    shop.lock().unwrap().away = u32::MAX;
    let orders = harness.saga(create_order(&shop)).unwrap();
    harness.start().await.unwrap();
    let paying = orders.start(&order(50)).deadline(Duration::from_secs(3));
    let outcome = paying.execute().await.unwrap();
    let SagaOutcome::Compensated(why) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(why.reason, Reason::Deadline { .. }), "{}", why.reason);
    let calls = &shop.lock().unwrap().calls;
    assert!(calls.ends_with(&["refund None".into(), "release Some(12)".into()]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_after_a_restart_with_the_code_of_then() {
    let (mut harness, shop) = (Harness::new(), Shared::default());
    shop.lock().unwrap().away = u32::MAX;
    let orders = harness.saga(create_order(&shop)).unwrap();
    harness.start().await.unwrap();
    let paying = orders.start(&order(50)).deadline(Duration::from_secs(600));
    let id = paying.submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    harness.crash(Unsynced::Lost).await;

    let (after, later) = (Shared::default(), Duration::from_secs(60));
    harness.saga(create_order(&after)).unwrap();
    let coordinator = harness.start().await.unwrap();
    let outcome = coordinator.outcome(id, later).await.unwrap().unwrap();
    assert!(outcome.is_settled(), "{outcome:?}");
    let calls = std::mem::take(&mut after.lock().unwrap().calls);
    assert_eq!(calls, ["pay 12", "confirm ORD001"]);
    // The handle of before is that of the coordinator that runs now.
    let again = orders.start(&order(50)).execute().await.unwrap();
    assert!(matches!(again, SagaOutcome::Completed(_)), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_code_is_not_here_is_held_and_shown() {
    let (mut harness, shop) = (Harness::new(), Shared::default());
    shop.lock().unwrap().away = u32::MAX;
    let orders = harness.saga(create_order(&shop)).unwrap();
    harness.start().await.unwrap();
    let id = orders.start(&order(50)).submit().await.unwrap();
    harness.crash(Unsynced::Kept).await;

    // As a program that has lost the saga.
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let without = Coordinator::builder(harness.log().clone()).start().await.unwrap();
    let snapshot = without.get(id).await.unwrap().unwrap();
    let held: Vec<String> = snapshot.awaiting.iter().map(ToString::to_string).collect();
    assert_eq!(held, [r#"the saga "create order" version 1"#]);
    assert!(!snapshot.settled);
    assert_eq!(
        warnings.said(),
        [
            r#"transactions in the log that await the saga "create order" version 1, which is not registered: 1"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_input_is_stuck_at_once_until_the_code_can_read_it() {
    #[derive(Serialize, Deserialize)]
    struct Newer {
        currency: String,
    }
    let mut harness = Harness::new();
    let never = async |_: Step<Order>| -> Result<(), StepError> { Err(StepError::unknown("no")) };
    let orders = harness.saga(Saga::new("pay", 1).step(step("pay", never).pivot().needs_no_undo()));
    harness.start().await.unwrap();
    let id = orders.unwrap().start(&order(50)).submit().await.unwrap();
    harness.crash(Unsynced::Kept).await;

    let newer = async |_: Step<Newer>| Ok(());
    harness.saga(Saga::new("pay", 1).step(step("pay", newer).pivot().needs_no_undo())).unwrap();
    let coordinator = harness.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let snapshot = coordinator.get(id).await.unwrap().unwrap();
    let stuck = snapshot.steps[0].stuck.clone().unwrap_or_default();
    assert!(snapshot.stuck && stuck.contains("missing field `currency`"), "{snapshot:#?}");
    harness.crash(Unsynced::Kept).await;

    let mended = async |_: Step<Order>| Ok(());
    harness.saga(Saga::new("pay", 1).step(step("pay", mended).pivot().needs_no_undo())).unwrap();
    harness.start().await.unwrap();
    harness.settle().await;
}

#[tokio::test]
async fn a_handle_is_of_use_once_the_coordinator_has_started() {
    let shop = Shared::default();
    let mut builder = Coordinator::builder(MemoryLog::default());
    let orders = builder.saga(create_order(&shop)).unwrap();
    let early = orders.start(&order(50)).submit().await;
    assert!(matches!(early, Err(SubmitError::NotStarted { version: 1, .. })), "{early:?}");
    let early = orders.start(&order(50)).execute().await;
    assert!(matches!(early, Err(SubmitError::NotStarted { .. })), "{early:?}");
    let _coordinator = builder.start().await.unwrap();
    // It is its own: a task may have it.
    let outcome = tokio::spawn(orders.clone().start(&order(50)).execute()).await.unwrap().unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
}

#[test]
fn what_cannot_be_registered_is_an_error() {
    let shop = Shared::default();
    let mut builder = Coordinator::builder(MemoryLog::default());
    builder.saga(create_order(&shop)).unwrap();
    let twice = builder.saga(create_order(&shop)).err().unwrap();
    assert!(matches!(twice, SagaError::Twice { version: 1, .. }), "{twice}");
    let lacking = Saga::new("lacking", 2).step(step("pay", async |_: Step<()>| Ok(())));
    let lacking = builder.saga(lacking).err().unwrap();
    assert!(matches!(lacking, SagaError::Invalid { version: 2, .. }), "{lacking}");
    assert!(lacking.to_string().contains("`needs_no_undo`"), "{lacking}");
}
