//! `fail_each_step`: what it tries, that a right saga passes it, and that a wrong one does not.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wholly::test::fail_each_step;
use wholly::{Saga, SagaOutcome, SagaStep, Step, StepError, step};

/// What each step's effect is, by its own key: how often it is there; `None` once it is undone for
/// good.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<BTreeMap<String, Option<u32>>>>);

/// How a step of the saga is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// What is done twice has its effect twice.
    NotIdempotent,
    /// Unknown is taken for not done.
    ForgetsTheUnknown,
    /// What arrives after its undo is done all the same.
    DoneAfterItsUndo,
    /// It is undone by halves.
    NeverUndone,
}

impl Effects {
    fn of(&self, step: &str) -> u32 {
        self.0.lock().unwrap().get(step).copied().flatten().unwrap_or(0)
    }

    fn total(&self) -> u32 {
        self.0.lock().unwrap().values().flatten().sum()
    }

    fn step(&self, name: &'static str, wrong: Wrong) -> SagaStep<u32, u32> {
        let done = self.clone();
        step(name, move |cx: Step<u32>| {
            let effect = &mut *done.0.lock().unwrap();
            if let Some(times) = effect.entry(name.to_owned()).or_insert(Some(0)) {
                *times = if wrong == Wrong::NotIdempotent { *times + 1 } else { 1 };
            }
            async move {
                // So that a crash finds it half-way.
                tokio::time::sleep(Duration::from_millis(2)).await;
                Ok(cx.input)
            }
        })
    }

    fn undone(&self, name: &'static str, wrong: Wrong) -> SagaStep<u32, u32> {
        let effects = self.clone();
        self.step(name, wrong).undo(move |cx, known| {
            let effects = effects.clone();
            async move {
                assert!(known.is_none_or(|output| output == cx.input));
                match (wrong, known) {
                    (Wrong::ForgetsTheUnknown, None) => Ok(()),
                    (Wrong::NeverUndone, _) => Err(StepError::unknown("it is gone")),
                    (Wrong::DoneAfterItsUndo, _) => {
                        effects.0.lock().unwrap().remove(name);
                        Ok(())
                    }
                    _ => {
                        effects.0.lock().unwrap().insert(name.to_owned(), None);
                        Ok(())
                    }
                }
            }
        })
    }
}

const STEPS: [&str; 5] = ["create", "reserve", "price", "pay", "confirm"];

/// Two steps at once, a pivot after both, and one that is tried until it is done.
fn diamond(effects: &Effects, wrong: Wrong) -> Saga<u32> {
    Saga::new("diamond", 1)
        .step(effects.undone("create", Wrong::Nothing))
        .step(effects.undone("reserve", wrong).after(["create"]))
        .step(effects.undone("price", Wrong::Nothing).after(["create"]))
        .step(effects.undone("pay", Wrong::Nothing).after(["reserve", "price"]).pivot())
        .step(effects.step("confirm", Wrong::Nothing))
}

fn all_or_nothing(outcome: &SagaOutcome, effects: &Effects) {
    for step in STEPS {
        let right = u32::from(matches!(outcome, SagaOutcome::Completed(_)));
        assert_eq!(effects.of(step), right, "the effect of {step:?}, {outcome:?}");
    }
}

async fn diamond_with(wrong: Wrong) -> usize {
    let make = || {
        let effects = Effects::default();
        (diamond(&effects, wrong), effects)
    };
    fail_each_step(make, &7, async |outcome, effects| all_or_nothing(outcome, effects)).await
}

/// What the run that fails says.
async fn failure_of(wrong: Wrong) -> String {
    let failing = tokio::spawn(diamond_with(wrong));
    let panic = failing.await.unwrap_err().into_panic();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_right_saga_passes_and_everything_was_tried() {
    let reasons = RefCell::new(BTreeSet::new());
    let make = || {
        let effects = Effects::default();
        (diamond(&effects, Wrong::Nothing), effects)
    };
    let runs = fail_each_step(make, &7, async |outcome, effects| {
        all_or_nothing(outcome, effects);
        let reason = match outcome {
            SagaOutcome::Compensated(why) => why.reason.to_string(),
            _ => "completed".to_owned(),
        };
        reasons.borrow_mut().insert(reason);
    });
    let runs = runs.await;
    // 1 without a fault, 10 or 11 of each action, 5 or 10 of each compensation, crashes at every
    // record.
    assert!(runs > 90 * 10, "{runs}");
    let reasons = reasons.into_inner();
    let refused: Vec<_> =
        STEPS[..4].iter().map(|step| reasons.iter().any(|r| r.contains(step))).collect();
    assert_eq!(refused, [true; 4], "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("deadline")), "{reasons:?}");
    assert!(reasons.contains("completed"));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_is_refused_by_itself_passes() {
    let make = || {
        let effects = Effects::default();
        let refused = async |_: Step<u32>| -> Result<(), _> { Err(StepError::refused("no")) };
        let saga = Saga::new("refused", 1)
            .step(effects.undone("reserve", Wrong::Nothing))
            .step(step("pay", refused).undo(async |_, _| Ok(())));
        (saga, effects)
    };
    fail_each_step(make, &7, async |outcome, effects: &Effects| {
        assert!(matches!(outcome, SagaOutcome::Compensated(_)), "{outcome:?}");
        assert_eq!(effects.total(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_done_twice_is_found() {
    let said = failure_of(Wrong::NotIdempotent).await;
    assert!(said.contains("the effect of \"reserve\""), "{said}");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_forgets_the_unknown_is_found() {
    let said = failure_of(Wrong::ForgetsTheUnknown).await;
    let way = "the action of the step \"reserve\" is done, its answer is lost, then it is refused";
    assert!(said.starts_with(way), "{said}");
    assert!(said.contains("the effect of \"reserve\""), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_done_after_its_undo_is_found() {
    let said = failure_of(Wrong::DoneAfterItsUndo).await;
    let way = "the action of the step \"reserve\" is under way until its compensation is done";
    assert!(said.starts_with(way), "{said}");
    assert!(said.contains("the effect of \"reserve\""), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_never_settles_is_found() {
    let said = failure_of(Wrong::NeverUndone).await;
    assert!(said.contains("not settled after"), "{said}");
    assert!(said.contains("the step reserve is stuck: it is gone"), "{said}");
}
