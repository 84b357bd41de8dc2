//! The explored graphs, and the facts about them that the properties need.
//!
//! The order of the steps is worked out here once more, so that the properties do not take the
//! core's word for it.

use std::sync::Arc;

use wholly_core::Payload;
use wholly_core::saga::{Graph, StepIndex};

use crate::participant::output;

/// A saga's steps; step 0 is `a`, step 1 `b` and so on.
pub type Shape = &'static [Place];

/// A step's place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub after: &'static [StepIndex],
    /// The predecessors whose outputs it is given.
    pub reads: &'static [StepIndex],
    pub kind: Kind,
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has a compensation.
    Undo,
    /// The same, and it is tried only [`TRIES`] times.
    FewTries,
    /// It needs no compensation.
    Free,
    /// It has a compensation, and once it is done there is no way back.
    Pivot,
    /// It comes after the pivot.
    Retriable,
}

pub const TRIES: u8 = 2;

use Kind::{FewTries, Free, Pivot, Retriable, Undo};

const fn place(kind: Kind, after: &'static [StepIndex]) -> Place {
    Place { after, reads: after, kind }
}

/// A place that is given these outputs only: those of the others need not be forced.
const fn reading(reads: &'static [StepIndex], place: Place) -> Place {
    Place { reads, ..place }
}

pub const LIST: Shape = &[place(Undo, &[]), place(Undo, &[0]), place(Undo, &[1])];
pub const DIAMOND: Shape =
    &[place(Undo, &[]), place(Undo, &[0]), place(Undo, &[0]), place(Undo, &[1, 2])];
/// Without a pivot, and two ends.
pub const FORK: Shape = &[place(Undo, &[]), place(Undo, &[0]), place(Undo, &[0])];
pub const PIVOT: Shape = &[place(Undo, &[]), place(Pivot, &[0]), place(Retriable, &[1])];
/// Two steps join before the pivot, and two come after it at once.
pub const WIDE_PIVOT: Shape = &[
    place(Undo, &[]),
    place(Undo, &[]),
    place(Pivot, &[0, 1]),
    place(Retriable, &[2]),
    place(Retriable, &[2]),
];
pub const FREE_MIDDLE: Shape = &[place(Undo, &[]), place(Free, &[0]), place(Undo, &[1])];
/// Nobody waits for an output to be durable.
pub const UNREAD_LIST: Shape =
    &[place(Undo, &[]), reading(&[], place(Undo, &[0])), reading(&[], place(Undo, &[1]))];
/// The first output is waited for, and read only two steps later.
pub const READ_LATER: Shape =
    &[place(Undo, &[]), reading(&[], place(Undo, &[0])), reading(&[0], place(Undo, &[1]))];
/// The last step comes after one that is waited for and after one that is not.
pub const HALF_READ: Shape =
    &[place(Undo, &[]), place(Undo, &[]), reading(&[0], place(Undo, &[0, 1]))];
/// The end of the second is waited for, because the pivot comes next.
pub const UNREAD_PIVOT: Shape = &[
    place(Undo, &[]),
    reading(&[], place(Undo, &[0])),
    reading(&[], place(Pivot, &[1])),
    reading(&[], place(Retriable, &[2])),
    reading(&[], place(Retriable, &[3])),
];
pub const FEW_TRIES: Shape = &[place(Undo, &[]), place(FewTries, &[0])];

/// The shape as the core takes it. Each step's payload is the outputs that it reads.
pub fn graph(shape: Shape) -> Arc<Graph> {
    let steps: Vec<String> =
        (0..).zip(shape).map(|(step, place)| definition(step, place)).collect();
    let text = format!(r#"{{"name":"s","version":1,"steps":[{}]}}"#, steps.join(","));
    let definition = serde_json::from_str(&text).expect("a definition");
    Arc::new(Graph::new(definition).expect("a sound one"))
}

fn definition(step: StepIndex, place: &Place) -> String {
    let names: Vec<String> = place.after.iter().map(|step| format!("{:?}", name(*step))).collect();
    let read: Vec<String> =
        place.reads.iter().map(|step| format!(r#"{{"$from":"/steps/{}"}}"#, name(*step))).collect();
    let said = match place.kind {
        Undo => r#","compensation":"undo""#,
        FewTries => r#","compensation":"undo","retry":{"tries":2}"#,
        Free => r#","compensation":false"#,
        Pivot => r#","compensation":"undo","pivot":true"#,
        Retriable => "",
    };
    format!(
        r#"{{"name":"{}","participant":"p","after":[{}],"payload":[{}]{said}}}"#,
        name(step),
        names.join(","),
        read.join(","),
    )
}

fn name(step: StepIndex) -> String {
    char::from(b'a' + u8::try_from(step).expect("few steps")).to_string()
}

/// The expected payload of a step's action.
pub fn payload(shape: Shape, step: StepIndex) -> String {
    let outputs = shape[usize::from(step)].reads.iter().map(|step| output(*step));
    let outputs: Vec<String> = outputs.map(|output: Payload| output.as_str().to_owned()).collect();
    format!("[{}]", outputs.join(","))
}

/// True if `later` comes after `earlier`, directly or not.
pub fn comes_after(shape: Shape, later: StepIndex, earlier: StepIndex) -> bool {
    let mut after = shape[usize::from(later)].after.iter();
    after.any(|step| *step == earlier || comes_after(shape, *step, earlier))
}

pub fn steps(shape: Shape) -> std::ops::Range<StepIndex> {
    0..shape.len() as StepIndex
}

pub fn pivot(shape: Shape) -> Option<usize> {
    shape.iter().position(|place| place.kind == Pivot)
}
