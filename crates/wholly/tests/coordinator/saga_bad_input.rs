//! What is wrong with a saga is refused, turned back or held, with a clear word, and harms no other.

use std::sync::Arc;

use serde_json::{Value, json};
use wholly::test::{Act, StepStanding};
use wholly::{
    Answer, Call, Definition, Graph, InvalidDefinition, InvalidProposal, Operation, Payload,
    Reason, SagaOutcome, State, SubmitError,
};

use super::answers::answers;
use super::log_failures::append;
use super::sagas::turned_back;
use super::*;

fn checked(definition: Value) -> Result<Arc<Graph>, InvalidDefinition> {
    let definition: Definition = serde_json::from_value(definition).unwrap();
    Graph::new(definition).map(Arc::new)
}

fn graph(steps: Value) -> Arc<Graph> {
    checked(json!({"name": "s", "version": 1, "steps": steps})).unwrap()
}

/// A list of so many steps.
fn long(steps: usize) -> Value {
    let step =
        |n| json!({"name": format!("s{n}"), "participant": "orders", "compensation": "undo"});
    json!({"name": "long", "version": 1, "steps": (0..steps).map(step).collect::<Vec<_>>()})
}

#[tokio::test(start_paused = true)]
async fn as_many_steps_run_as_there_may_be_and_more_are_refused() {
    let shop = Shop::open().await;
    let saga = checked(long(Graph::STEP_LIMIT)).unwrap();
    let outcome = shop.coordinator().saga(saga.clone()).execute().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
    assert_eq!(shop.orders.received().len(), 128);
    shop.harness.assert_all_or_nothing(outcome.id()).await;
    // The last one, which turns back all the others.
    shop.orders.always("s127", Act::Refuse);
    let outcome = shop.coordinator().saga(saga).execute().await.unwrap();
    shop.harness.assert_all_or_nothing(outcome.id()).await;
    assert_eq!(shop.orders.count("undo"), 127);
    for steps in [129, 10_000] {
        let refused = checked(long(steps)).unwrap_err().to_string();
        assert!(refused.contains("128"), "{refused}");
        assert!(refused.len() < 1_000, "{} bytes", refused.len());
    }
}

/// Does a step with an output of as many bytes as it is told.
fn talk(call: Call) -> Answer {
    if call.operation != Operation::Action {
        return Answer::Done;
    }
    let bytes: usize = call.payload.to().unwrap();
    // The quotes count.
    match Payload::of(&"x".repeat(bytes - 2)) {
        Ok(output) => Answer::DoneWith { output },
        Err(why) => Answer::unknown(why.to_string()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_too_long_is_unknown_and_turns_back_by_the_deadline() {
    let mut shop = Shop::closed();
    let talkative = shop.harness.participant("talkative", answers(talk));
    let coordinator = shop.start().await;
    let saga = graph(json!([
        {"name": "talk", "participant": "talkative", "compensation": "hush"},
        {"name": "listen", "participant": "orders", "compensation": "forget",
         "payload": {"$from": "/steps/talk"}},
    ]));
    let run = |bytes: usize| coordinator.saga(saga.clone()).input(&bytes).execute();
    let longest = run(Payload::LIMIT).await.unwrap();
    assert!(matches!(longest, SagaOutcome::Completed(_)), "{longest:?}");
    let heard = shop.orders.received().pop().unwrap().call;
    assert_eq!(heard.payload.as_str().len(), Payload::LIMIT);
    let id = run(Payload::LIMIT + 1).await.unwrap();
    assert!(matches!(turned_back(id), Reason::Deadline { .. }));
    assert_eq!(talkative.count("hush"), 1, "it may have been done");
    assert_eq!(shop.orders.count("listen"), 1, "only the first time");
}

#[tokio::test(start_paused = true)]
async fn a_compensation_is_given_an_input_and_an_output_as_long_as_may_be() {
    let mut shop = Shop::closed();
    let half = "x".repeat(Payload::LIMIT - 2);
    shop.orders.output("take", &half);
    shop.payments.always("charge", Act::Refuse);
    let coordinator = shop.start().await;
    let saga = graph(json!([
        {"name": "take", "participant": "orders", "compensation": "put-back"},
        {"name": "charge", "participant": "payments", "compensation": "refund"},
    ]));
    let id = coordinator.saga(saga).input(&half).execute().await.unwrap().id();
    let given = shop.orders.received().pop().unwrap().call.payload;
    assert_eq!(given.to::<Value>().unwrap(), json!({"input": half, "output": half}));
    assert!(given.as_str().len() > 2 * Payload::LIMIT);
    shop.harness.assert_all_or_nothing(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_nests_too_deep_is_refused() {
    let nested = |levels: usize| {
        let payload = (0..levels).fold(json!({"$from": "/input"}), |inner, _| json!([inner]));
        let step = json!({"name": "a", "participant": "orders", "compensation": "undo",
                          "payload": payload});
        json!({"name": "deep", "version": 1, "steps": [step]})
    };
    let refused = checked(nested(101)).unwrap_err().to_string();
    assert!(refused.contains("100 levels deep"), "{refused}");
    // As a client sends it: deeper than its reader bears.
    let payload = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = nested(0).to_string().replace(r#"{"$from":"/input"}"#, &payload);
    assert!(serde_json::from_str::<Definition>(&text).is_err());
    let shop = Shop::open().await;
    let deep = shop.coordinator().saga(checked(nested(99)).unwrap()).input(&7).execute().await;
    assert!(matches!(deep, Ok(SagaOutcome::Completed(_))), "{deep:?}");
    let given = shop.orders.received().pop().unwrap().call.payload;
    assert_eq!(given.as_str(), format!("{}7{}", "[".repeat(99), "]".repeat(99)));
}

/// What an output makes too long is found when the output is there.
fn growing(last: Value) -> Arc<Graph> {
    let twice = json!([{"$from": "/steps/take"}, {"$from": "/steps/take"}]);
    let mut steps = json!([
        {"name": "take", "participant": "orders", "compensation": "put-back"},
        {"name": "charge", "participant": "payments", "payload": twice},
    ]);
    steps[1].as_object_mut().unwrap().extend(last.as_object().unwrap().clone());
    graph(steps)
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_outgrows_the_limit_turns_back_with_the_reason() {
    let shop = Shop::open().await;
    shop.orders.output("take", &"x".repeat(40_000));
    let saga = growing(json!({"compensation": "refund"}));
    let outcome = shop.coordinator().saga(saga).execute().await.unwrap();
    let id = outcome.id();
    let reason = turned_back(outcome);
    assert!(matches!(&reason, Reason::Unresolved { step, .. } if step.as_str() == "charge"));
    assert!(reason.to_string().contains("longer than the limit, 65536 bytes"), "{reason}");
    assert_eq!(shop.orders.step(id, "take"), Some(StepStanding::Compensated));
    assert_eq!(shop.payments.received(), []);
    shop.harness.assert_all_or_nothing(id).await;
    // What the input alone makes too long is refused when it is submitted.
    let twice = json!([{"$from": "/input"}, {"$from": "/input"}]);
    let saga = graph(json!([{"name": "a", "participant": "orders", "compensation": false,
                             "payload": twice}]));
    let refused = shop.coordinator().saga(saga).input(&"x".repeat(40_000)).execute().await;
    let Err(SubmitError::Invalid(InvalidProposal::Input { why })) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("longer than the limit, 65536 bytes"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_outgrows_the_limit_past_the_pivot_is_stuck() {
    let mut shop = Shop::open().await;
    shop.orders.output("take", &"x".repeat(40_000));
    let mut definition = growing(json!({"compensation": "refund"})).definition().clone();
    definition.steps[0].pivot = true;
    definition.steps[1].compensation = None;
    let saga = Arc::new(Graph::new(definition).unwrap());
    let outcome = shop.coordinator().saga(saga).execute().await.unwrap();
    let id = outcome.id();
    assert_eq!(outcome, SagaOutcome::Unsettled(id));
    for _ in 0..2 {
        let snapshot = shop.snapshot(id).await;
        assert_eq!((snapshot.state, snapshot.stuck), (Some(State::Running), true));
        let why = snapshot.steps[1].stuck.clone().unwrap();
        assert!(why.contains("longer than the limit, 65536 bytes"), "{why}");
        shop.restart().await;
    }
    assert_eq!(shop.orders.count("take"), 1);
    assert_eq!(shop.payments.received(), []);
}

#[tokio::test(start_paused = true)]
async fn a_running_saga_keeps_its_own_definition() {
    let mut shop = Shop::open().await;
    shop.orders.always("take", Act::Hang);
    let definition = |then: &str| {
        graph(json!([
            {"name": "take", "participant": "orders", "compensation": "put-back"},
            {"name": then, "participant": "payments", "compensation": "refund"},
        ]))
    };
    let old = shop.coordinator().saga(definition("charge")).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.orders.behave();
    // The definition is nowhere but in the log, and another has its name and version.
    let coordinator = shop.restart().await;
    let new = coordinator.saga(definition("invoice")).submit().await.unwrap();
    for (id, asked, not_asked) in [(old, "charge", "invoice"), (new, "invoice", "charge")] {
        assert!(coordinator.outcome(id, LONG).await.unwrap().unwrap().is_settled());
        assert_eq!(shop.payments.step(id, asked), Some(StepStanding::Completed));
        assert_eq!(shop.payments.step(id, not_asked), None);
        shop.harness.assert_all_or_nothing(id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_cannot_be_read_is_set_aside_and_the_others_go_on() {
    let mut shop = Shop::closed();
    let started = |steps: &str| {
        format!(
            r#"[1,{{"started":{{"deadline":1,"input":1,"saga":{{"name":"s","version":1,"steps":[{steps}]}}}}}}]"#
        )
    };
    let step = r#"{"name":"a","participant":"orders","compensation":"undo"}"#;
    let corrupt = [
        // A definition that makes no sense, no step at all, and one that is cut off.
        started(r#"{"name":"a","participant":"orders","compensation":"undo","after":["a"]}"#),
        started(""),
        started(step)[..60].to_owned(),
        // Records that its laws forbid, of no such step, and unheard of.
        started(step) + r#",[2,{"compensated":0}]"#,
        started(step) + r#",[2,{"completed":[7,null]}]"#,
        started(step) + r#",[2,"settled"]"#,
        started(step) + r#",[2,{"unheard of":0}]"#,
    ];
    let corrupt: Vec<_> = (1..)
        .zip(corrupt)
        .map(|(n, records)| append(&shop, &[(n, &format!(r#"{{"v":1,"s":[{records}]}}"#))])[0])
        .collect();
    let sound = format!(r#"{{"v":1,"s":[{}]}}"#, started(step));
    let sound = append(&shop, &[(100, &sound)])[0];
    let coordinator = shop.start().await;
    // It turned back by its deadline, and its step may have been done.
    let outcome = coordinator.outcome(sound, LONG).await.unwrap().unwrap();
    assert!(outcome.is_settled(), "{:#?}", shop.snapshot(sound).await);
    assert_eq!(shop.orders.step(sound, "a"), Some(StepStanding::Empty));
    let fresh = coordinator.saga(checked(long(3)).unwrap()).execute().await.unwrap();
    assert!(matches!(fresh, SagaOutcome::Completed(_)), "{fresh:?}");
    for id in corrupt {
        let snapshot = shop.snapshot(id).await;
        assert!(snapshot.quarantined.is_some() && snapshot.stuck && !snapshot.settled);
        let outcome = coordinator.outcome(id, Duration::from_secs(1)).await.unwrap();
        assert_eq!(outcome, Some(AnyOutcome::Quarantined(id)));
        assert_eq!(shop.orders.step(id, "a"), None, "nothing is asked for it");
    }
}

#[tokio::test(start_paused = true)]
async fn many_sagas_at_once_all_end() {
    let mut shop = Shop::open().await;
    for n in 0..5_000 {
        match n % 5 {
            0 => shop.payments.nth("charge", n, Act::Refuse),
            1 => shop.payments.nth("charge", n, Act::LoseAnswer),
            _ => &shop.payments,
        };
    }
    let saga = graph(json!([
        {"name": "take", "participant": "orders", "compensation": "put-back"},
        {"name": "charge", "participant": "payments", "compensation": "refund", "pivot": true},
        {"name": "confirm", "participant": "orders"},
    ]));
    let coordinator = shop.coordinator();
    let all = (0..5_000).map(|n| coordinator.saga(saga.clone()).input(&n).submit());
    let ids = futures_util::future::try_join_all(all).await.unwrap();
    // Many of them are half done by now.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let coordinator = shop.restart().await;
    let mut completed = 0;
    for id in ids {
        let outcome = coordinator.outcome(id, LONG).await.unwrap().unwrap();
        assert!(outcome.is_settled(), "{outcome:?}");
        completed += usize::from(matches!(outcome, AnyOutcome::Saga(SagaOutcome::Completed(_))));
    }
    assert!((1..5_000).contains(&completed), "{completed} completed");
    shop.harness.assert_all_or_nothing_everywhere().await;
}
