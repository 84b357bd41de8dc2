//! A definition that makes sense, and the graph that follows from it.

mod check;

use serde::{Deserialize, Serialize, Serializer};

use super::StepIndex;
use super::definition::{Definition, StepDefinition};
use super::problem::{InvalidDefinition, Problem, Problems, Segment, at};
use super::reference::Template;
use crate::{OperationName, Payload};

/// A checked definition: the steps, and their order.
///
/// INVARIANT: it has no cycle, at most one pivot, and every other step comes before the pivot or
/// after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Definition")]
pub struct Graph {
    definition: Definition,
    nodes: Vec<Node>,
    /// The definition as JSON: every saga that starts is written with it.
    text: Payload,
}

/// A step's place in the graph, and the operations asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The steps that it directly comes after.
    pub after: StepSet,
    /// All steps that it comes after, directly or not: the ones its payload may refer to.
    pub ancestors: StepSet,
    /// Its side of the pivot.
    pub side: Side,
    /// The operation that does it.
    pub action: OperationName,
    /// The operation that takes it back; `None` where it needs none.
    pub compensation: Option<OperationName>,
    /// The payload of its action.
    pub template: Template,
    /// True if its completion must be durable before the steps after it are asked: a later payload
    /// is made of its output, it is the pivot, or the pivot comes directly after it.
    pub output_is_forced: bool,
}

/// A step's side of the pivot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// It can be taken back: it comes before the pivot, or there is none.
    Before,
    /// It is the pivot.
    Pivot,
    /// It comes after the pivot, and is tried until it is done.
    After,
}

impl Graph {
    /// The most steps that a saga may have.
    pub const STEP_LIMIT: usize = 128;
    /// The greatest version.
    pub const VERSION_LIMIT: u32 = i32::MAX as u32;

    /// Checks a definition.
    ///
    /// # Errors
    /// All problems of the definition, each with its place.
    pub fn new(definition: Definition) -> Result<Self, InvalidDefinition> {
        let mut problems = Problems::default();
        let nodes = check::nodes(&definition, &mut problems);
        let text = Payload::composed_of(&definition);
        let text = text.inspect_err(|error| problems.add(Vec::new(), || error.to_string()));
        problems.into_result()?;
        Ok(Self { definition, nodes, text: text.unwrap_or_else(|_| Payload::null()) })
    }

    /// The definition as it was written.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// About how many bytes of memory it takes: the text, the definition, and the templates.
    pub fn memory_bytes(&self) -> usize {
        3 * self.text.as_str().len()
    }

    /// Each step's definition and place, in the definition's order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&StepDefinition, &Node)> {
        self.definition.steps.iter().zip(&self.nodes)
    }

    /// Each step's place, in the definition's order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A step's definition and place.
    pub fn step(&self, step: StepIndex) -> Option<(&StepDefinition, &Node)> {
        let index = usize::from(step);
        Some((self.definition.steps.get(index)?, self.nodes.get(index)?))
    }

    /// Checks that a saga with this input can fill its payloads, as far as that is known before
    /// there are outputs.
    ///
    /// # Errors
    /// The first payload that takes a missing part of the input, or grows too long.
    pub fn accepts(&self, input: &Payload) -> Result<(), Problem> {
        for (place, (step, node)) in self.steps().enumerate() {
            node.template.accepts(step.payload_limit(), input).map_err(|why| Problem {
                at: at!("steps", place, "payload"),
                what: format!("this input does not suit the step {:?}: {why}", step.name),
            })?;
        }
        Ok(())
    }
}

impl TryFrom<Definition> for Graph {
    type Error = InvalidDefinition;

    fn try_from(definition: Definition) -> Result<Self, InvalidDefinition> {
        Self::new(definition)
    }
}

/// Serializes as its definition.
impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// Some of a saga's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StepSet(u128);

impl StepSet {
    /// The set with one step more.
    #[must_use]
    pub const fn with(self, step: StepIndex) -> Self {
        Self(self.0 | 1 << step)
    }

    /// True if the step is in it.
    pub const fn has(self, step: StepIndex) -> bool {
        self.0 >> step & 1 == 1
    }

    /// The steps that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its steps, ascending.
    pub fn iter(self) -> impl Iterator<Item = StepIndex> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let step = left.trailing_zeros();
            // There are 128 bits, so that the number of a step fits.
            (left != 0).then(|| {
                left &= left - 1;
                step as StepIndex
            })
        })
    }
}

#[cfg(test)]
mod tests;
