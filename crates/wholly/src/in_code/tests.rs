use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use wholly_core::saga::{Compensation, Factor, Side, StepIndex};
use wholly_core::wire::{Answer, Call, Operation, REASON_LIMIT, compensation_payload};
use wholly_core::{LogId, Payload, Timestamp, TransactionId};

use super::*;
use crate::Slots;
use crate::clock::Clock;
use crate::participant::Endpoint;
use crate::participant::{Attempt, Lane};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    amount: u64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Receipt {
    number: u64,
}

/// A saga as a coordinator has it: its graph to make the calls, and the code to answer them.
struct Program {
    graph: Graph,
    code: Code,
}

impl Program {
    fn of<I>(saga: Saga<I>) -> Self {
        let (graph, code) = saga.check().unwrap();
        Self { graph, code }
    }

    async fn act(&self, step: &str, input: &str, outputs: &[(&str, &str)]) -> Answer {
        self.code.call(self.action(step, input, outputs)).await
    }

    async fn undo(&self, step: &str, input: &str, output: Option<&str>) -> Answer {
        self.code.call(self.compensation(step, input, output)).await
    }

    fn action(&self, step: &str, input: &str, outputs: &[(&str, &str)]) -> Call {
        let outputs: HashMap<usize, Payload> =
            outputs.iter().map(|(step, output)| (self.index(step), json(output))).collect();
        let (_, node) = self.graph.steps().nth(self.index(step)).unwrap();
        let output = |index: StepIndex| outputs.get(&usize::from(index));
        let payload = node.template.fill(usize::MAX, &json(input), output).unwrap();
        let expires = (node.side != Side::After).then_some(Timestamp::from_millis(9));
        let operation_name = Some(node.action.clone());
        Call { expires, operation_name, ..call(step, Operation::Action, payload) }
    }

    fn compensation(&self, step: &str, input: &str, output: Option<&str>) -> Call {
        let (_, node) = self.graph.steps().nth(self.index(step)).unwrap();
        let payload = self.action(step, input, &[]).payload;
        let payload = compensation_payload(&payload, output.map(json).as_ref());
        Call {
            operation_name: node.compensation.clone(),
            ..call(step, Operation::Compensation, payload)
        }
    }

    fn index(&self, step: &str) -> usize {
        self.graph.steps().position(|(definition, _)| definition.name.as_str() == step).unwrap()
    }
}

fn call(step: &str, operation: Operation, payload: Payload) -> Call {
    let transaction = TransactionId::mint(0, Timestamp::from_millis(1), 0, LogId::from_bits(7));
    Call::new(transaction, step.parse().unwrap(), operation, payload)
}

fn json(text: &str) -> Payload {
    Payload::parse(text).unwrap()
}

fn done_with(output: &str) -> Answer {
    Answer::DoneWith { output: json(output) }
}

fn stuck(answer: Answer) -> String {
    match answer {
        Answer::Stuck { reason } => reason,
        other => panic!("not stuck: {other:?}"),
    }
}

const ORDER: &str = r#"{"item":"item1","amount":5}"#;

async fn reserve(cx: Step<Order>) -> Result<u32, StepError> {
    match &*cx.input.item {
        "item1" => Ok(12),
        item => Err(StepError::refused(format!("no {item}"))),
    }
}

async fn release(_: Step<Order>, _: Option<u32>) -> Result<(), StepError> {
    Ok(())
}

/// A saga of one step, which does this.
fn one<O, A>(does: impl Fn(Step<Order>) -> A + Send + Sync + 'static) -> Program
where
    O: Serialize,
    A: Future<Output = Result<O, StepError>> + Send + 'static,
{
    Program::of(Saga::new("one", 1).step(step("it", does).needs_no_undo()))
}

/// A saga of one step, which is undone like this.
fn undone<O, A>(undo: impl Fn(Step<Order>, Option<O>) -> A + Send + Sync + 'static) -> Program
where
    O: Serialize + serde::de::DeserializeOwned + 'static,
    A: Future<Output = Result<(), StepError>> + Send + 'static,
{
    let never = async |_: Step<Order>| -> Result<O, StepError> { Err(StepError::unknown("never")) };
    Program::of(Saga::new("one", 1).step(step("it", never).undo(undo)))
}

#[tokio::test]
async fn a_step_is_given_the_input_and_puts_out_its_output() {
    let program = Program::of(Saga::new("buy", 1).step(step("reserve", reserve).undo(release)));
    assert_eq!(program.act("reserve", ORDER, &[]).await, done_with("12"));
    let refused = program.act("reserve", r#"{"item":"item9","amount":5}"#, &[]).await;
    assert_eq!(refused, Answer::refused("no item9"));
    assert_eq!(program.undo("reserve", ORDER, Some("12")).await, Answer::Done);
}

#[tokio::test]
async fn a_closure_may_hold_what_it_needs() {
    let shelves = Arc::new(AtomicU32::new(0));
    let program = one({
        let shelves = shelves.clone();
        move |_| {
            let shelves = shelves.clone();
            async move { Ok(shelves.fetch_add(1, SeqCst)) }
        }
    });
    program.act("it", ORDER, &[]).await;
    assert_eq!(program.act("it", ORDER, &[]).await, done_with("1"));
    assert_eq!(shelves.load(SeqCst), 2);
}

#[tokio::test]
async fn a_step_knows_its_call() {
    let program = one(async |cx| {
        Ok((cx.name().to_owned(), cx.idempotency_key().to_owned(), cx.transaction, cx.expires))
    });
    let call = program.action("it", ORDER, &[]);
    let key = format!("{}/it/it", call.transaction);
    let seen = Payload::of(&("it", key, call.transaction, 9)).unwrap();
    assert_eq!(program.code.call(call).await, Answer::DoneWith { output: seen });
}

#[tokio::test]
async fn a_later_step_reads_earlier_outputs_as_their_types() {
    let saga = Saga::new("buy", 1)
        .step(step("reserve", reserve).undo(release))
        .step(step("pay", async |_| Ok(Receipt { number: 7 })).needs_no_undo())
        .step(step("gift", async |_| Ok(true)).after(["reserve"]).needs_no_undo())
        .step(
            step("confirm", async |cx: Step<Order>| {
                let (shelf, receipt): (u32, Receipt) = (cx.output("reserve")?, cx.output("pay")?);
                Ok((shelf, receipt, cx.input.amount))
            })
            .after(["pay"])
            .needs_no_undo(),
        )
        .step(step("wrong", async |cx| cx.output::<u32>("gift")).after(["pay"]).needs_no_undo())
        .step(step("typed", async |cx| cx.output::<bool>("pay")).after(["pay"]).needs_no_undo());
    let program = Program::of(saga);
    let outputs = [("reserve", "12"), ("pay", r#"{"number":7}"#), ("gift", "true")];
    let confirmed = program.act("confirm", ORDER, &outputs).await;
    assert_eq!(confirmed, done_with(r#"[12,{"number":7},5]"#));
    let reason = stuck(program.act("wrong", ORDER, &outputs).await);
    assert!(reason.contains(r#""wrong" cannot see the output of "gift""#), "{reason}");
    let reason = stuck(program.act("typed", ORDER, &outputs).await);
    assert!(reason.contains(r#"the output of the step "pay" is not what"#), "{reason}");
}

#[tokio::test]
async fn every_kind_of_error_is_its_own_answer() {
    let failing = |error: fn() -> StepError| one(move |_| async move { Err::<(), _>(error()) });
    let answer = failing(|| StepError::refused("no")).act("it", ORDER, &[]).await;
    assert_eq!(answer, Answer::refused("no"));
    let answer = failing(|| StepError::stuck("an operator")).act("it", ORDER, &[]).await;
    assert_eq!(answer, Answer::Stuck { reason: "an operator".into() });
    let answer = failing(|| StepError::stuck("é".repeat(600))).act("it", ORDER, &[]).await;
    assert_eq!(stuck(answer).len(), REASON_LIMIT);
    let answer = failing(|| StepError::unknown("maybe")).act("it", ORDER, &[]).await;
    assert_eq!(answer, Answer::unknown("maybe"));
    let answer = one(async |_| Ok("x".parse::<u32>()?)).act("it", ORDER, &[]).await;
    assert_eq!(answer, Answer::unknown("invalid digit found in string"));
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Away(&'static str, #[source] Option<Box<Away>>);
    let away = |what, cause: Option<Away>| Away(what, cause.map(Box::new));
    let away = away("no receipt", Some(away("the gateway is away", Some(away("timed out", None)))));
    let told = StepError::from(away).to_string();
    assert_eq!(told, "unknown: no receipt: the gateway is away: timed out");
}

#[tokio::test]
async fn an_undo_knows_what_is_known_and_no_more() {
    let program = undone(async |cx: Step<Order>, receipt: Option<Receipt>| {
        let key = format!("{}/it/it-undo", cx.transaction);
        assert_eq!((cx.idempotency_key(), cx.input.amount, cx.expires), (&*key, 5, None));
        match receipt {
            Some(Receipt { number: 7 }) => Ok(()),
            Some(_) => Err(StepError::stuck("another")),
            None => Err(StepError::unknown("none")),
        }
    });
    assert_eq!(program.undo("it", ORDER, Some(r#"{"number":7}"#)).await, Answer::Done);
    assert_eq!(program.undo("it", ORDER, None).await, Answer::unknown("none"));
    // An unreadable output is not taken for an unknown one.
    let reason = stuck(program.undo("it", ORDER, Some("7")).await);
    assert!(reason.contains("the step's own output is not what"), "{reason}");
}

#[tokio::test]
async fn a_known_output_of_nothing_is_known() {
    let program = undone(async |_, done: Option<()>| match done {
        Some(()) => Ok(()),
        None => Err(StepError::unknown("none")),
    });
    assert_eq!(program.undo("it", ORDER, Some("null")).await, Answer::Done);
    assert_eq!(program.undo("it", ORDER, None).await, Answer::unknown("none"));
    assert_eq!(one(async |_| Ok(())).act("it", ORDER, &[]).await, Answer::Done);
}

#[tokio::test]
async fn an_undo_reads_what_its_action_read() {
    let undo = async |cx: Step<Order>, _: Option<()>| match cx.output::<u32>("reserve")? {
        12 => Ok(()),
        other => Err(StepError::stuck(other.to_string())),
    };
    let saga = Saga::new("buy", 1)
        .step(step("reserve", reserve).undo(release))
        .step(step("pay", async |_| Ok(())).undo(undo));
    let program = Program::of(saga);
    let action = program.action("pay", ORDER, &[("reserve", "12")]);
    let payload = compensation_payload(&action.payload, None);
    assert_eq!(
        program.code.call(call("pay", Operation::Compensation, payload)).await,
        Answer::Done
    );
}

#[tokio::test]
async fn a_refusal_of_an_undo_is_unknown() {
    let program = undone(async |_, _: Option<()>| Err(StepError::refused("no")));
    let answer = program.undo("it", ORDER, None).await;
    assert_eq!(answer, Answer::unknown("an undo cannot be refused, and this was: no"));
}

#[tokio::test]
async fn an_input_that_cannot_be_read_is_stuck_and_no_handler_sees_it() {
    let saga = step("it", async |_: Step<Order>| -> Result<(), StepError> { panic!("seen") })
        .undo(async |_, _| panic!("seen"));
    let program = Program::of(Saga::new("one", 1).step(saga));
    let older = r#"{"item":"item1"}"#;
    for answer in [program.act("it", older, &[]).await, program.undo("it", older, None).await] {
        let reason = stuck(answer);
        assert!(reason.contains("the saga's input is not what"), "{reason}");
        assert!(reason.contains("missing field `amount`"), "{reason}");
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_kept_is_stuck() {
    let long = one(async |_| Ok("x".repeat(Payload::LIMIT)));
    let reason = stuck(long.act("it", ORDER, &[]).await);
    assert!(reason.contains("it was done, but its output cannot be kept"), "{reason}");
    assert!(reason.contains("65538 bytes"), "{reason}");
    let no_json = one(async |_| Ok(HashMap::from([((1, 2), 3)])));
    let reason = stuck(no_json.act("it", ORDER, &[]).await);
    assert!(reason.contains("it was done, but its output cannot be kept"), "{reason}");
}

#[tokio::test]
async fn what_the_program_does_not_know_is_stuck() {
    let program = one(async |_| Ok(()));
    let payload = program.action("it", ORDER, &[]).payload;
    for (step, operation) in [
        ("gone", Operation::Action),
        ("gone", Operation::Compensation),
        ("it", Operation::Compensation),
        ("it", Operation::Prepare),
    ] {
        let reason = stuck(program.code.call(call(step, operation, payload.clone())).await);
        let no = format!("no {operation} for the step {step:?}");
        assert!(reason.contains(&no), "{reason}");
    }
    // As when the coordinator gave less than a handler reads.
    let bare = call("it", Operation::Action, json(ORDER));
    let reason = stuck(program.code.call(bare).await);
    assert!(reason.contains("the step's payload is not what"), "{reason}");
}

#[tokio::test]
async fn a_panic_is_unknown() {
    let panics_late = async |_: Step<Order>| -> Result<(), StepError> {
        tokio::task::yield_now().await;
        panic!("late")
    };
    let panics_at_once =
        |_: Step<Order>, _: Option<()>| -> std::future::Ready<_> { panic!("at once") };
    let saga = Saga::new("one", 1).step(step("it", panics_late).undo(panics_at_once));
    let program = Program::of(saga);
    let (action, undo) =
        (program.action("it", ORDER, &[]), program.compensation("it", ORDER, None));
    let (answers, mut answered) = mpsc::unbounded_channel();
    let lane = Lane::start(
        Arc::new(program.code),
        Slots::default(),
        answers,
        Arc::default(),
        Clock::system(),
    );
    for (call, message) in [(action, "late"), (undo, "at once")] {
        lane.send(vec![Attempt { branch: 0, call, timeout: Duration::from_secs(9) }]);
        let answer = &answered.recv().await.unwrap()[0].answer;
        assert_eq!(*answer, Answer::unknown(format!("the participant panicked: {message}")));
    }
}

#[test]
fn a_saga_becomes_a_definition() {
    let retry = Retry::default()
        .first(Duration::from_millis(50))
        .factor(1.5)
        .cap(Duration::from_secs(1))
        .tries(3);
    let saga = Saga::new("create order", 2)
        .deadline(Duration::from_secs(60))
        .step(step("reserve", reserve).undo(release).retry(retry))
        .step(step("prepare-it", reserve).after([]).needs_no_undo())
        .step(step("pay", reserve).undo(release).after(["reserve", "prepare-it"]).pivot())
        .step(step("confirm", reserve).timeout(Duration::from_secs(2)));
    let (graph, _) = saga.check().unwrap();
    let definition = graph.definition();
    assert_eq!((definition.name.as_str(), definition.version), ("create order", 2));
    assert_eq!(definition.deadline_millis, Some(60_000));
    let [reserve, prepare, pay, confirm] = &definition.steps[..] else { unreachable!() };
    assert_eq!((&reserve.participant, &reserve.action, &reserve.after), (&None, &None, &None));
    assert_eq!(reserve.compensation, Some(Compensation::By("reserve-undo".parse().unwrap())));
    let retry = reserve.retry.as_ref().unwrap();
    assert_eq!(
        (retry.first_millis, retry.cap_millis, retry.tries),
        (Some(50), Some(1_000), Some(3))
    );
    assert_eq!(retry.factor.map(Factor::hundredths), Some(150));
    assert_eq!(
        (&prepare.compensation, &prepare.after),
        (&Some(Compensation::NotNeeded), &Some(vec![]))
    );
    assert_eq!((pay.pivot, pay.after.as_ref().map(Vec::len)), (true, Some(2)));
    assert_eq!((&confirm.compensation, confirm.timeout_millis), (&None, Some(2_000)));
}

#[test]
fn what_is_wrong_with_a_saga_is_told_and_never_a_panic() {
    fn problem(saga: Saga<Order>, pointer: &str, what: &str) {
        let problems = saga.parse().err().unwrap().problems;
        let found = problems.iter().any(|p| p.pointer() == pointer && p.what.contains(what));
        assert!(found, "{problems:?}");
    }
    let saga = || Saga::new("buy", 1);
    let reserving = |name| step(name, reserve).undo(release);
    problem(saga(), "/steps", "at least one step");
    problem(Saga::new("", 1).step(reserving("a")), "/name", "empty");
    problem(Saga::new("buy", 0).step(reserving("a")), "/version", "out of range");
    problem(saga().step(reserving("a b")), "/steps/0/name", "' '");
    let long = step(&"a".repeat(60), reserve).undo(release);
    problem(saga().step(long), "/steps/0/compensation", "65 bytes");
    problem(saga().step(reserving("a")).step(reserving("a")), "/steps/1/name", "already");
    problem(saga().step(reserving("a").after(["B"])), "/steps/0/after", "'B'");
    problem(saga().step(reserving("a").after(["b"])), "/steps/0/after/0", "no step");
    let circle = saga().step(reserving("a").after(["b"])).step(reserving("b"));
    problem(circle, "/steps/0", "circle");
    problem(saga().step(step("a", reserve)), "/steps/0", "taken back");
    let after_pivot = saga().step(reserving("a").pivot()).step(reserving("b"));
    problem(after_pivot, "/steps/1/compensation", "after the pivot");
    let factor = saga().step(reserving("a").retry(Retry::default().factor(f64::NAN)));
    problem(factor, "/steps/0/retry/factor", "out of range");
    let hasty = saga().step(reserving("a").timeout(Duration::from_micros(999)));
    problem(hasty, "/steps/0/timeout_millis", "0 ms");
    let for_ever = saga().step(reserving("a").timeout(Duration::MAX));
    problem(for_ever, "/steps/0/timeout_millis", "out of range");
    problem(
        saga().deadline(Duration::MAX).step(reserving("a")),
        "/deadline_millis",
        "out of range",
    );
    // One problem does not hide another.
    let twice = saga().step(reserving("A")).step(reserving("b").after(["C"])).parse();
    assert_eq!(twice.err().unwrap().problems.len(), 2);
}
