//! The sagas that are measured: so many steps, in a graph of some kind.

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;
use serde_json::json;
use wholly::{Saga, Step, StepError, step};
use wholly_core::saga::{Compensation, Definition, Graph, StepDefinition};
use wholly_core::{Name, OperationName, ParticipantName, Payload, StepName};

use super::error::BenchError;
use super::participants::REFUSED;

/// The options of a saga.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Shape {
    /// The number of steps of a saga.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=128))]
    steps: u16,
    /// The order of the steps.
    #[arg(long, value_enum, default_value_t = ShapeKind::List)]
    graph: ShapeKind,
    /// Each step is given the outputs of those before it, so that they are forced.
    #[arg(long)]
    outputs_read: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum ShapeKind {
    /// Each step after the one before it.
    List,
    /// All but the first and the last at once.
    Diamond,
    /// All at once.
    Wide,
}

impl Shape {
    /// The saga, whose steps take turns among these participants; of the last one the action is
    /// refused if so wanted.
    pub fn graph(self, participants: &[String], is_refused: bool) -> Result<Graph, BenchError> {
        let mut steps: Vec<StepDefinition> = Vec::new();
        let mut before = 0..0;
        for layer in self.layers() {
            // A plain list needs not be said.
            let earlier: Vec<_> = steps[before].iter().map(|step| step.name.clone()).collect();
            let payload = (self.outputs_read && !earlier.is_empty())
                .then(|| Payload::of(&json!([{"$from": "/input"}, {"$from": "/steps"}])))
                .transpose()?;
            let after = (self.graph != ShapeKind::List).then_some(earlier);
            for nth in layer.clone() {
                let is_last = nth + 1 == usize::from(self.steps);
                let action = (is_refused && is_last).then(|| OperationName::new(REFUSED));
                steps.push(StepDefinition {
                    name: StepName::new(format!("step-{}", nth + 1))?,
                    participant: Some(ParticipantName::new(
                        &*participants[nth % participants.len()],
                    )?),
                    action: action.transpose()?,
                    compensation: Some(Compensation::By(OperationName::new("undo")?)),
                    payload: payload.clone(),
                    after: after.clone(),
                    pivot: false,
                    timeout_millis: None,
                    retry: None,
                });
            }
            before = layer;
        }
        let name = Name::new("bench")?;
        Ok(Graph::new(Definition { name, version: 1, deadline_millis: None, steps })?)
    }

    /// The same saga in code, whose steps do nothing; its version tells whether it is refused.
    pub fn in_code(self, is_refused: bool) -> Saga<String> {
        let name = |nth: usize| format!("step-{}", nth + 1);
        let mut saga = Saga::new("bench", if is_refused { 2 } else { 1 });
        let mut before = 0..0;
        for layer in self.layers() {
            let after: Vec<_> = before.map(name).collect();
            for nth in layer.clone() {
                let is_last = nth + 1 == usize::from(self.steps);
                let action = move |_: Step<String>| {
                    std::future::ready(match is_refused && is_last {
                        true => Err(StepError::refused("it was to be")),
                        false => Ok(()),
                    })
                };
                let undo = |_: Step<String>, _: Option<()>| std::future::ready(Ok(()));
                let after = after.iter().map(String::as_str);
                saga = saga.step(step(&name(nth), action).undo(undo).after(after));
            }
            before = layer;
        }
        saga
    }

    /// The number of batches that a saga waits for: its start and its end are forced, and what each layer
    /// leaves to the next where that one is given it. In code it may read it.
    pub fn forced(self, in_code: bool) -> usize {
        match in_code || self.outputs_read {
            true => self.layers().len() + 1,
            false => 2,
        }
    }

    /// The steps by their places: those of a layer at once, each after all of the layer before.
    pub fn layers(self) -> Vec<Range<usize>> {
        let steps = usize::from(self.steps);
        let borders: Vec<usize> = match self.graph {
            ShapeKind::List => (0..=steps).collect(),
            ShapeKind::Diamond => vec![0, 1, steps.saturating_sub(1).max(1), steps],
            ShapeKind::Wide => vec![0, steps],
        };
        let layers = borders.windows(2).map(|borders| borders[0]..borders[1]);
        layers.filter(|layer| !layer.is_empty()).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps;
        match self.graph {
            ShapeKind::List => write!(f, "{steps} steps in a list")?,
            ShapeKind::Diamond => write!(f, "{steps} steps in a diamond")?,
            ShapeKind::Wide => write!(f, "{steps} steps at once")?,
        }
        f.write_str(if self.outputs_read { " that read outputs" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_in_one_layer() {
        let sizes = |graph, steps| {
            let layers = Shape { steps, graph, outputs_read: false }.layers();
            assert!(layers.iter().cloned().flatten().eq(0..usize::from(steps)));
            layers.iter().map(Range::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(ShapeKind::List, 3), [1, 1, 1]);
        assert_eq!(sizes(ShapeKind::Diamond, 5), [1, 3, 1]);
        assert_eq!(sizes(ShapeKind::Diamond, 2), [1, 1]);
        assert_eq!(sizes(ShapeKind::Diamond, 1), [1]);
        assert_eq!(sizes(ShapeKind::Wide, 3), [3]);
    }

    #[test]
    fn a_layer_comes_after_the_one_before() {
        let participants = ["one".to_owned(), "two".to_owned()];
        for graph in [ShapeKind::List, ShapeKind::Diamond, ShapeKind::Wide] {
            let shape = Shape { steps: 5, graph, outputs_read: false };
            let graph = shape.graph(&participants, true).unwrap();
            let mut before = 0..0;
            for layer in shape.layers() {
                for step in layer.clone() {
                    let after = graph.nodes()[step].after.iter().map(usize::from);
                    assert!(after.eq(before.clone()), "{step} of {shape}");
                }
                before = layer;
            }
            assert_eq!(graph.nodes()[4].action.as_str(), REFUSED);
        }
    }

    #[test]
    fn what_is_read_is_forced() {
        for graph in [ShapeKind::List, ShapeKind::Diamond, ShapeKind::Wide] {
            for outputs_read in [false, true] {
                let shape = Shape { steps: 5, graph, outputs_read };
                let graph = shape.graph(&["one".to_owned()], false).unwrap();
                let is_forced = |layer: &Range<usize>| {
                    graph.nodes()[layer.clone()].iter().all(|node| node.output_is_forced)
                };
                let forced = shape.layers().iter().filter(|layer| is_forced(layer)).count();
                assert_eq!(shape.forced(false), forced + 2, "{shape}");
            }
        }
    }
}
