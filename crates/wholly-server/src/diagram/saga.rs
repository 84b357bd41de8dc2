//! The pictures of a saga.
//!
//! One step fails at a time. A payload that does not resolve has no picture: it is a refusal
//! without a call.

use std::sync::Arc;

use wholly_core::saga::{
    Definition, Graph, Node, Side, Started, StepDefinition, StepIndex, Transaction,
};
use wholly_core::wire::Operation;
use wholly_core::{BrokenInvariant, Effect, Payload};

use super::picture::{DEADLINE, Made, Script, section};

/// All pictures of a saga.
///
/// # Errors
/// When the state machine breaks a law.
pub fn document(graph: &Graph) -> Result<String, BrokenInvariant> {
    let Definition { name, version, .. } = graph.definition();
    let saga = wholly_core::Transaction::Saga(Transaction::start(&Started {
        key: None,
        trace: None,
        deadline: DEADLINE,
        saga: Arc::new(without_payloads(graph)),
        input: Payload::null(),
    }));
    let mut document = format!("# {name}, version {version}\n");
    document += &section("Every step is done", &saga, None)?;
    for (index, (step, node)) in (0..).zip(graph.steps()) {
        let name = match node.side {
            Side::Before => step.name.to_string(),
            Side::Pivot => format!("{}, the pivot,", step.name),
            Side::After => format!("{}, after the pivot,", step.name),
        };
        for (way, script) in ways(index, step, node) {
            document += &section(&format!("{name} {way}"), &saga, Some(script))?;
        }
    }
    Ok(document)
}

/// The ways in which a step fails, each as it reads after the step's name.
fn ways(branch: StepIndex, step: &StepDefinition, node: &Node) -> Vec<(&'static str, Script)> {
    let asked = Effect { branch, operation: Operation::Action };
    let script = |answers: &[Made]| Script {
        asked,
        again: asked_again(step, node),
        answers: answers.iter().copied().collect(),
    };
    let lost = Made::Lost { tries: 1 };
    let mut ways = vec![("is refused", script(&[Made::Refused]))];
    // After the pivot it would be the same picture.
    if node.side != Side::After {
        ways.push(("is not answered", script(&[lost])));
    }
    // Without a compensation, nothing tells it from a refusal at the first attempt.
    if node.compensation.is_some() {
        ways.push(("is not answered, then refused", script(&[lost, Made::Refused])));
    }
    if let Some(tries) = step.retry.as_ref().and_then(|retry| retry.tries) {
        ways.push(("is not answered at any try", script(&[Made::Lost { tries }])));
    }
    ways
}

/// The note of the reason for another call: a call without an answer may have been done, and a
/// step after the pivot has to be.
fn asked_again(step: &StepDefinition, node: &Node) -> String {
    let name = &step.name;
    match node.side {
        Side::After => format!("no way back: {name} is asked until it is done"),
        Side::Pivot => format!("{name} may be done: it is asked until it answers"),
        Side::Before => format!("{name} may be done: it is asked again"),
    }
}

/// The same saga, with payloads that need no real input and no real outputs.
fn without_payloads(graph: &Graph) -> Graph {
    let mut definition = graph.definition().clone();
    for step in &mut definition.steps {
        step.payload = None;
    }
    // Only references were taken away, and a graph stays valid without them.
    Graph::new(definition).unwrap_or_else(|_| graph.clone())
}
