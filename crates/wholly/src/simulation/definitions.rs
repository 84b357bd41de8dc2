//! Sagas at random: lists, diamonds, wide and deep graphs; and the payloads of their steps.

use std::sync::Arc;

use serde_json::{Value, json};
use wholly_core::saga::{Definition, Graph, Node, Side, StepDefinition, StepIndex};
use wholly_core::{Name, Payload, Target};

use crate::engine::Random;

/// The names of the sagas; each may have steps that the program does itself.
const SHAPES: [&str; 4] = ["list", "diamond", "wide", "deep"];

/// The program as it is called for the steps in its code.
pub fn program() -> impl Iterator<Item = Target> {
    SHAPES.map(|shape| Target::Code { saga: Name::new(shape).unwrap(), version: 1 }).into_iter()
}

/// A saga over these participants.
pub fn saga(random: &mut Random, participants: &[&str]) -> Arc<Graph> {
    let mut below = |limit: u64| random.next() % limit;
    let shape = SHAPES[below(4) as usize];
    let after = edges(shape, &mut below);
    // If that step cannot be the pivot, there is none.
    let pivot = below(2 * after.len() as u64) as usize;
    let behind = behind(&after, pivot);
    let mut steps = Vec::new();
    for (index, before) in after.iter().enumerate() {
        let mut step = json!({"name": name(index), "after": before});
        match below(participants.len() as u64 + 1) as usize {
            who if who < participants.len() => step["participant"] = json!(participants[who]),
            _ => {}
        }
        let retriable = behind.contains(&index);
        if !retriable {
            step["compensation"] = match below(6) {
                0 => json!(false),
                _ => json!(format!("undo-{}", name(index))),
            };
        }
        if below(2) == 0 {
            step["action"] = json!(format!("do-{}", name(index)));
        }
        step["pivot"] = json!(index == pivot);
        if let Some(payload) = payload(&mut below, before, retriable) {
            step["payload"] = payload;
        }
        if below(3) == 0 {
            step["timeout_millis"] = json!(50 + below(1_500));
        }
        if below(3) == 0 {
            step["retry"] =
                json!({"first_millis": 1 + below(300), "factor": 1.5, "cap_millis": 600});
            if !retriable && index != pivot && below(2) == 0 {
                step["retry"]["tries"] = json!(1 + below(3));
            }
        }
        steps.push(step);
    }
    let deadline = [300, 1_500, 4_000, 15_000][below(4) as usize];
    let mut definition =
        json!({"name": shape, "version": 1, "deadline_millis": deadline, "steps": steps});
    parse(&definition).unwrap_or_else(|| {
        for step in definition["steps"].as_array_mut().unwrap() {
            step["pivot"] = json!(false);
            if step.get("compensation").is_none() {
                step["compensation"] = json!(format!("undo-{}", step["name"].as_str().unwrap()));
            }
        }
        parse(&definition).expect("without a pivot nothing is wrong with it")
    })
}

fn parse(definition: &Value) -> Option<Arc<Graph>> {
    let definition: Definition = serde_json::from_value(definition.clone()).unwrap();
    Graph::new(definition).ok().map(Arc::new)
}

fn name(index: usize) -> String {
    char::from(b'a' + u8::try_from(index).unwrap()).to_string()
}

/// The names of the steps that each comes after.
fn edges(shape: &str, below: &mut impl FnMut(u64) -> u64) -> Vec<Vec<String>> {
    let edges: Vec<Vec<usize>> = match shape {
        "list" => {
            (0..1 + below(4) as usize).map(|n| n.checked_sub(1).into_iter().collect()).collect()
        }
        "diamond" => vec![vec![], vec![0], vec![0], vec![1, 2]],
        "wide" => {
            let width = 3 + below(3) as usize;
            let join = (below(2) == 0).then(|| (0..width).collect());
            std::iter::repeat_n(vec![], width).chain(join).collect()
        }
        // Two lists that touch twice.
        _ => vec![vec![], vec![0], vec![1], vec![0], vec![1, 3], vec![2, 4], vec![5]],
    };
    edges.into_iter().map(|before| before.into_iter().map(name).collect()).collect()
}

/// The steps that come after the pivot, directly or not.
fn behind(after: &[Vec<String>], pivot: usize) -> Vec<usize> {
    let mut behind = Vec::new();
    for (index, before) in after.iter().enumerate() {
        let is_behind = |other: &usize| before.contains(&name(*other));
        if is_behind(&pivot) || behind.iter().any(is_behind) {
            behind.push(index);
        }
    }
    behind
}

/// The payload of a step. It uses a value that may be absent only if that turns the saga back.
fn payload(
    below: &mut impl FnMut(u64) -> u64,
    before: &[String],
    retriable: bool,
) -> Option<Value> {
    let whole = |step: &String| (step.clone(), json!({"$from": format!("/steps/{step}")}));
    let token = |step: &String| (step.clone(), json!({"$from": format!("/steps/{step}/token")}));
    match below(4) {
        0 => None,
        1 if !retriable => {
            Some(json!({"tokens": before.iter().map(token).collect::<serde_json::Map<_, _>>()}))
        }
        _ => Some(json!({
            "input": {"$from": "/input"},
            "outputs": before.iter().map(whole).collect::<serde_json::Map<_, _>>(),
            "as it is": {"$literal": {"$from": "x"}},
        })),
    }
}

/// The payload that this step's action must be given, from the true outputs of those before it;
/// `None` if one is absent.
pub fn expected(
    graph: &Graph,
    step: StepIndex,
    input: &Payload,
    output: impl Fn(StepIndex) -> Option<Payload>,
) -> Option<Value> {
    let (definition, node) = graph.step(step)?;
    let value = |payload: &Payload| payload.to::<Value>().ok();
    let Some(template) = &definition.payload else { return value(input) };
    let mut outputs = serde_json::Map::new();
    for earlier in node.after.iter() {
        let (definition, _) = graph.step(earlier)?;
        outputs.insert(definition.name.as_str().to_owned(), value(&output(earlier)?)?);
    }
    Some(match value(template)?.get("tokens") {
        Some(_) => {
            let outputs = outputs.into_iter();
            let token =
                |(step, output): (String, Value)| Some((step, output.get("token")?.clone()));
            json!({"tokens": outputs.map(token).collect::<Option<serde_json::Map<_, _>>>()?})
        }
        None => json!({
            "input": value(input)?,
            "outputs": outputs,
            "as it is": {"$from": "x"},
        }),
    })
}

/// True if a step's completion must be durable before its successors are asked: one of them is
/// given its output, or it or one of them is the pivot.
pub fn must_be_durable(graph: &Graph, step: StepIndex) -> bool {
    let is_pivot = |(definition, _): (&StepDefinition, &Node)| definition.pivot;
    let mut later = graph.steps().filter(|(_, node)| node.after.has(step));
    graph.step(step).is_some_and(is_pivot)
        || later
            .any(|(definition, node)| definition.payload.is_some() || is_pivot((definition, node)))
}

/// True if the step was defined to have no compensation.
pub fn needs_none(graph: &Graph, step: StepIndex) -> bool {
    graph.step(step).is_some_and(|(_, node)| node.compensation.is_none())
}

/// True if the step is retried until it is done.
pub fn is_retriable(graph: &Graph, step: StepIndex) -> bool {
    graph.step(step).is_some_and(|(_, node)| node.side == Side::After)
}
