//! The saga, orchestrated: this page is its specification.
//!
//! A [`Transaction`] is a value, as a [two-phase transaction](crate::two_phase) is: an input becomes
//! [records](Record), a record changes the value, and the value alone says what is outstanding.
//!
//! The saga is Garcia-Molina's and Salem's (*Sagas*, 1987): a change in steps, each of which is
//! durable by itself, and each with a compensation that takes back what it did. The pivot, and the
//! retriable steps behind it, are those of Mehrotra, Rastogi, Korth and Silberschatz (*A
//! transaction model for multidatabase systems*, 1992). There is no isolation: others see a step
//! before the saga has ended.
//!
//! # The graph
//!
//! The steps of a [`Definition`] run in its order, or each after those that it names, and then
//! independent ones at once. At most one is the *pivot*; every other comes before it or after it.
//!
//! | a step | may be refused | is taken back | its compensation |
//! |---|---|---|---|
//! | before the pivot, or where there is none | yes: the saga turns back | when the saga turns back | one, or the word that it needs none |
//! | the pivot | yes: the saga turns back | only if it was refused after a lost attempt | the same |
//! | after the pivot (*retriable*) | no: it is stuck, and asked again | never | none |
//!
//! # States
//!
//! | saga | meaning |
//! |---|---|
//! | `running` | steps are asked for; each as soon as all that it comes after are done |
//! | `completed` | every step is done |
//! | `compensating` | turned back: what was done, or may have been, is taken back in reverse order |
//! | `compensated` | all of it is |
//!
//! | step | meaning |
//! |---|---|
//! | `pending` | not asked yet, or not answered: it may have been done |
//! | `completed` | done |
//! | `failed` | refused. After a lost attempt it is taken back all the same |
//! | `compensated` | taken back, or in a saga that turned back: done, and it needs no compensation |
//!
//! *Settled* (nothing is left to do) and *stuck* (an operator is needed) stand beside the state.
//!
//! A step *may have been done* from the moment when all that it comes after are done, whether or
//! not a call has left: a restart cannot tell. Nor can it tell whether a step was done whose output
//! was not forced (below); so the steps after such a step may have been done, too. A step is taken
//! back if it is done, or may have been and was not refused at its only attempt. A step is *over*,
//! once the saga has turned back, if it is taken back or nothing of it needs to be.
//!
//! # What is forced
//!
//! | record | forced | why |
//! |---|---|---|
//! | `started` | yes | else nobody would remember to take back what was done |
//! | `completed` | where a later step's payload is made of the output | else that one would be asked twice, with different payloads |
//! | `completed` | of the pivot, and where the pivot comes directly after it | else a restart could not tell whether there is a way back |
//! | `completed` | of another step: no | a restart asks it again, and counts what comes after it as lost |
//! | `refused`, `lost` | no | a restart counts what is unanswered as lost |
//! | `turned_back` | yes | else a restart would run on after a compensation has left |
//! | `compensated` | no | asking a participant again does no harm |
//! | `stuck` | no | seen again when asked again |
//! | `resolved`, `released` | yes | an operator's word is not asked for twice |
//! | `settled` | yes | else a restart after the deadline would turn back what was answered as completed |
//!
//! # Inputs
//!
//! The effect of an input, by the saga's state. An input that the table leaves out changes nothing.
//!
//! | input | `running` | `compensating` |
//! |---|---|---|
//! | done, to an action | `completed`; with the last one `settled` | `completed`: its output is known to its compensation |
//! | refused, to an action | up to the pivot `refused`, `turned_back`; after it `stuck`, and asked again | `refused`, unless an attempt was lost: the step is over |
//! | unknown or pending, to an action | `lost` the first time; asked again. At its last try `turned_back`. From the pivot on `stuck` after many tries | |
//! | done, to a compensation | | `compensated`; with the last one `settled` |
//! | anything else, to a compensation | | asked again; `stuck` after many tries |
//! | a payload that does not resolve | up to the pivot `turned_back`; after it `stuck` | |
//! | time, after the deadline | `turned_back`, unless the pivot may have left. An action that is done by then only gives its output to its compensation | |
//! | restart | `lost` for each step that may have been done; asked again, each in its turn | asked again |
//! | cancel | `turned_back`, unless the pivot may have left: an error | the same answer |
//! | resolve as completed | `resolved`, as if it were done; an error where a later step reads from its output what is not in it | an error |
//! | resolve as compensated | up to the pivot `resolved`, `turned_back`; after it an error | `resolved`; with the last one `settled` |
//!
//! # What a restored copy holds
//!
//! As with [two phases](crate::two_phase): an unsettled saga in a copy of the log is *quarantined*.
//! No input reaches it, not even time and the restart, until an operator says `released`; then it
//! goes on as after a restart. An operator may resolve its steps meanwhile, and time stands still
//! for it; a word that turns it back comes after `lost` for each step that may have been done.
//!
//! # Laws
//!
//! INVARIANT: no step is asked before all that it comes after are done.
//! INVARIANT: once the pivot may have left, only its own answer turns the saga back.
//! INVARIANT: unknown is never a refusal; only a refusal, the deadline, a cancel, exhausted tries
//! and a payload that does not resolve turn a saga back.
//! INVARIANT: a step is compensated only when every step that comes after it is over.
//! INVARIANT: what turned back never runs a step again.
//! INVARIANT: a saga is settled when every step is done, or when it turned back and every step is
//! over; and then nothing follows.
//!
//! [`apply`](crate::Protocol::apply) asserts them: a record that breaks one is a
//! [`BrokenInvariant`](crate::BrokenInvariant), and its saga is quarantined.

mod apply;
mod decide;
mod definition;
mod graph;
mod problem;
mod proposal;
mod record;
pub mod reference;

pub use decide::{CancelError, ResolveError};
pub use definition::{Compensation, Definition, Factor, Retry, StepDefinition};
pub use graph::{Graph, Node, Side, StepSet};
pub use problem::{InvalidDefinition, Problem, Segment};
pub use proposal::Proposal;
pub use record::{Reason, Record, Resolution, Started, StepIndex};

use std::sync::Arc;

use crate::wire::compensation_payload;
use crate::{LogId, PartState, Payload, State, StepName, Timestamp, TraceContext};

/// A saga: the value of its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    graph: Arc<Graph>,
    input: Payload,
    deadline: Timestamp,
    trace: Option<Arc<TraceContext>>,
    turned_back: Option<Reason>,
    settled: bool,
    released: Option<LogId>,
    steps: Vec<Step>,
}

/// One step and its progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    progress: Progress,
    /// An attempt at the action went unanswered or is pending, or a restart could not tell whether
    /// there was one: it may still take effect.
    lost: bool,
    stuck: Option<String>,
}

/// A step's progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Progress {
    /// Not all that it comes after are known to be done. Where it is `lost`, an earlier incarnation
    /// may have known more, and have asked it.
    Waiting,
    /// It may have been done, with this payload.
    Begun {
        payload: Payload,
    },
    /// It has its turn, but no payload: it was never asked.
    Unresolved {
        reason: String,
    },
    Completed {
        payload: Payload,
        output: Payload,
    },
    /// Refused. Not done, unless an earlier attempt was lost.
    Refused {
        payload: Payload,
        reason: String,
    },
    /// Taken back, or never done.
    Compensated,
}

impl Transaction {
    /// The saga that this record starts.
    pub fn start(started: &Started) -> Self {
        let waiting = Step { progress: Progress::Waiting, lost: false, stuck: None };
        let mut saga = Self {
            graph: started.saga.clone(),
            input: started.input.clone(),
            deadline: started.deadline,
            trace: started.trace.clone(),
            turned_back: None,
            settled: false,
            released: None,
            steps: vec![waiting; started.saga.steps().len()],
        };
        saga.begin_ready();
        saga
    }

    /// True if every step that comes after this one, directly or not, is over.
    fn has_its_turn_back(&self, index: StepIndex) -> bool {
        let mut others = (0..).zip(self.graph.nodes());
        others.all(|(other, node)| !node.ancestors.has(index) || self.is_over(other))
    }

    /// True if nothing of a step is left to be taken back, in a saga that turned back.
    fn is_over(&self, index: StepIndex) -> bool {
        let Some(step) = self.steps.get(usize::from(index)) else { return true };
        match step.progress {
            Progress::Waiting | Progress::Unresolved { .. } | Progress::Compensated => true,
            Progress::Refused { .. } if !step.lost => true,
            _ => self.node(index).compensation.is_none(),
        }
    }

    /// Its definition, as it was when it started.
    pub fn definition(&self) -> &Definition {
        self.graph.definition()
    }

    /// Its state.
    pub fn state(&self) -> State {
        match (&self.turned_back, self.settled) {
            (None, false) => State::Running,
            (None, true) => State::Completed,
            (Some(_), false) => State::Compensating,
            (Some(_), true) => State::Compensated,
        }
    }

    /// The reason why it turned back, if it did.
    pub fn reason(&self) -> Option<&Reason> {
        self.turned_back.as_ref()
    }

    /// Its steps, in the definition's order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&StepDefinition, &Step)> {
        self.definition().steps.iter().zip(&self.steps)
    }

    /// A step's state.
    pub fn step_state(&self, step: &Step) -> PartState {
        match step.progress {
            Progress::Waiting | Progress::Begun { .. } | Progress::Unresolved { .. } => {
                PartState::Pending
            }
            // It needs no compensation, or waits for it until the saga has settled.
            Progress::Completed { .. } if self.state() == State::Compensated => {
                PartState::Compensated
            }
            Progress::Completed { .. } => PartState::Completed,
            Progress::Refused { .. } => PartState::Failed,
            Progress::Compensated => PartState::Compensated,
        }
    }

    /// Once the pivot may have left, only its own answer turns the saga.
    fn may_turn_back(&self) -> bool {
        let may_have_left = |step: &Step| {
            matches!(step.progress, Progress::Begun { .. } | Progress::Completed { .. })
        };
        let mut pivots = self.graph.steps().zip(&self.steps);
        self.turned_back.is_none()
            && !self.settled
            && !pivots.any(|((_, node), step)| node.side == Side::Pivot && may_have_left(step))
    }

    fn all_completed(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.progress, Progress::Completed { .. }))
    }

    fn all_over(&self) -> bool {
        (0..).zip(&self.steps).all(|(index, _)| self.is_over(index))
    }

    fn node(&self, index: StepIndex) -> &Node {
        // INVARIANT: only indices of its own steps are asked for.
        &self.graph.nodes()[usize::from(index)]
    }

    fn find(&self, step: StepIndex) -> Option<&Step> {
        self.steps.get(usize::from(step))
    }

    fn known_output(&self, step: StepIndex) -> Option<&Payload> {
        self.find(step).and_then(Step::output)
    }

    fn step_name(&self, step: StepIndex) -> StepName {
        self.definition().steps[usize::from(step)].name.clone()
    }
}

impl Step {
    /// The reason why it needs an operator, if it does.
    pub fn stuck(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// The payload of its action, once that is known.
    pub fn payload(&self) -> Option<&Payload> {
        match &self.progress {
            Progress::Begun { payload }
            | Progress::Completed { payload, .. }
            | Progress::Refused { payload, .. } => Some(payload),
            Progress::Waiting | Progress::Unresolved { .. } | Progress::Compensated => None,
        }
    }

    /// Its output, while it is known to be done.
    pub fn output(&self) -> Option<&Payload> {
        match &self.progress {
            Progress::Completed { output, .. } => Some(output),
            _ => None,
        }
    }

    fn memory_bytes(&self) -> usize {
        let length = |payload: Option<&Payload>| payload.map_or(0, |text| text.as_str().len());
        length(self.payload()) + length(self.output())
    }

    fn to_take_back(&self) -> Option<Payload> {
        Some(compensation_payload(self.payload()?, self.output()))
    }
}

#[cfg(test)]
mod tests;
