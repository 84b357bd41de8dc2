//! From inputs to records, and the other functions of the pattern's face.

use std::fmt;
use std::time::Duration;

use super::graph::{Side, StepSet};
use super::record::{Reason, Record, Resolution, StepIndex};
use super::{Definition, Progress, Retry, Step, Transaction};
use crate::protocol::{
    Answered, BrokenInvariant, Effect, Input, Inquiry, Now, Protocol, Request, TIMELESS,
};
use crate::view::{Part, View};
use crate::wire::{Answer, Operation, cut, what_came_back};
use crate::{LogId, Pattern, Payload, StepName, Timestamp};

impl Protocol for Transaction {
    type Record = Record;
    type Resolution = Resolution;
    type CancelError = CancelError;
    type ResolveError = ResolveError;

    fn apply(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        self.fold(record)
    }

    fn decide(&self, input: &Input, now: Now<'_>) -> Vec<Record> {
        match input {
            Input::Time => Vec::new(),
            Input::Restarted => self.decide_restart(),
            Input::Answered(answered) => self.decide_answer(answered, now),
        }
    }

    fn consequence(&self, now: Now<'_>) -> Option<Record> {
        if self.settled {
            return None;
        }
        let mut steps = (0..).zip(&self.steps);
        if self.turned_back.is_some() {
            return self.all_over().then_some(Record::Settled);
        }
        if let Some(record) = steps.find_map(|(index, step)| self.demanded_by(index, step)) {
            return Some(record);
        }
        if self.all_completed() {
            return Some(Record::Settled);
        }
        (now.at >= self.deadline && self.may_turn_back())
            .then(|| Record::TurnedBack(Reason::Deadline { last_answers: now.recorded() }))
    }

    fn forces(&self, record: &Record) -> bool {
        match record {
            Record::Started(_)
            | Record::TurnedBack(_)
            | Record::Resolved(..)
            | Record::Released(..)
            | Record::Settled => true,
            // Once it turned back, an output only helps its compensation.
            Record::Completed(step, _) => {
                self.turned_back.is_none()
                    && self.graph.step(*step).is_some_and(|(_, node)| node.output_is_forced)
            }
            _ => false,
        }
    }

    fn part_count(&self) -> StepIndex {
        // INVARIANT: a definition has few steps.
        StepIndex::try_from(self.steps.len()).unwrap_or(StepIndex::MAX)
    }

    fn outstanding(&self, index: StepIndex) -> Option<Operation> {
        let step = self.find(index).filter(|_| !self.settled)?;
        if self.turned_back.is_none() {
            return matches!(step.progress, Progress::Begun { .. }).then_some(Operation::Action);
        }
        let undone = self.is_over(index) || !self.has_its_turn_back(index);
        (!undone).then_some(Operation::Compensation)
    }

    fn request(&self, effect: Effect) -> Option<Request> {
        let (definition, node) = self.graph.step(effect.branch)?;
        let step = self.find(effect.branch)?;
        let (operation_name, payload) = match effect.operation {
            Operation::Compensation => (node.compensation.clone()?, step.to_take_back()?),
            _ => (node.action.clone(), step.payload()?.clone()),
        };
        let is_action = effect.operation == Operation::Action;
        Some(Request {
            target: self.definition().target(definition),
            branch: definition.name.clone().into(),
            operation_name: Some(operation_name),
            payload,
            expires: (is_action && node.side != Side::After).then_some(self.deadline),
            useless_once_expired: node.side == Side::Before,
            timeout: definition.timeout_millis.map(Duration::from_millis),
        })
    }

    fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Vec<Record>, CancelError> {
        if self.turned_back.is_some() {
            return Ok(Vec::new());
        }
        if self.settled {
            return Err(CancelError::Completed);
        }
        if !self.may_turn_back() {
            return Err(CancelError::PivotMayHaveLeft);
        }
        let reason = Reason::Cancelled { reason: cut(reason.to_owned()) };
        Ok(self.record(vec![Record::TurnedBack(reason)], now)?)
    }

    fn resolve(
        &mut self,
        index: StepIndex,
        ended: Resolution,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Record>, ResolveError> {
        let step = self.find(index).ok_or(ResolveError::NoSuchStep)?;
        if self.settled || (self.turned_back.is_some() && self.is_over(index)) {
            return Err(ResolveError::Over);
        }
        // Time alone is about to say so.
        if now >= self.deadline && self.may_turn_back() {
            return Err(ResolveError::TurnedBack);
        }
        let turned_back = match self.turned_back {
            Some(_) if ended != Resolution::Compensated => return Err(ResolveError::TurnedBack),
            Some(_) => None,
            None => self.resolved_forward(index, step, &ended, reason)?,
        };
        let resolved = Record::Resolved(index, ended, cut(reason.to_owned()));
        Ok(self.record(std::iter::once(resolved).chain(turned_back).collect(), now)?)
    }

    fn resolve_quarantined(
        &mut self,
        index: StepIndex,
        ended: Resolution,
        reason: &str,
    ) -> Result<Vec<Record>, ResolveError> {
        let mut next = self.clone();
        // A saga that turns back takes back the steps that the original may have asked.
        let lost = match ended {
            Resolution::Compensated => next.decide_restart(),
            Resolution::Completed(_) => Vec::new(),
        };
        let mut records = next.record(lost, TIMELESS)?;
        records.extend(next.resolve(index, ended, reason, TIMELESS)?);
        *self = next;
        Ok(records)
    }

    fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Record>, BrokenInvariant> {
        let mut records = vec![Record::Released(log, cut(reason.to_owned()))];
        // The saga may still turn back.
        records.extend(self.decide_restart());
        records.iter().try_for_each(|record| self.apply(record))?;
        Ok(records)
    }

    fn inquiry(&self) -> Inquiry {
        Inquiry::NeverInDoubt
    }

    fn released(&self) -> Option<LogId> {
        self.released
    }

    fn turns_back_at(&self) -> Option<Timestamp> {
        self.may_turn_back().then_some(self.deadline)
    }

    fn retry(&self, step: StepIndex) -> Option<&Retry> {
        self.graph.step(step)?.0.retry.as_ref()
    }

    fn memory_bytes(&self) -> usize {
        let steps = self.steps.iter().map(Step::memory_bytes);
        self.graph.memory_bytes() + self.input.as_str().len() + steps.sum::<usize>()
    }

    fn is_settled(&self) -> bool {
        self.settled
    }

    fn is_stuck(&self) -> bool {
        self.steps.iter().any(|step| step.stuck.is_some())
    }

    fn view(&self) -> View<'_> {
        let Definition { name, version, .. } = self.definition();
        View {
            pattern: Pattern::Saga,
            name,
            state: self.state(),
            settled: self.settled,
            stuck: self.is_stuck(),
            reason: self.reason().map(|reason| reason as &dyn fmt::Display),
            deadline: self.deadline,
            version: Some(*version),
            input: Some(&self.input),
            trace: self.trace.as_ref(),
        }
    }

    fn part(&self, index: StepIndex) -> Option<Part<'_>> {
        let (definition, _) = self.graph.step(index)?;
        let step = self.find(index)?;
        Some(Part {
            name: definition.name.clone().into(),
            target: self.definition().target(definition),
            state: self.step_state(step),
            stuck: step.stuck(),
            payload: step.payload(),
            output: step.output(),
            pivot: definition.pivot,
        })
    }
}

impl Transaction {
    /// Checks that a step of a running saga can end so; returns the record if it turns back.
    fn resolved_forward(
        &self,
        index: StepIndex,
        step: &Step,
        ended: &Resolution,
        reason: &str,
    ) -> Result<Option<Record>, ResolveError> {
        match (&step.progress, ended) {
            (Progress::Waiting, _) => Err(ResolveError::NotBegun),
            (
                Progress::Begun { .. } | Progress::Unresolved { .. },
                Resolution::Completed(output),
            ) => self.is_readable(index, output).map(|()| None),
            (Progress::Begun { .. } | Progress::Unresolved { .. }, Resolution::Compensated) => {
                if self.node(index).side == Side::After {
                    return Err(ResolveError::NoWayBack);
                }
                let (step, reason) = (self.step_name(index), cut(reason.to_owned()));
                Ok(Some(Record::TurnedBack(Reason::Resolved { step, reason })))
            }
            _ => Err(ResolveError::Over),
        }
    }

    /// Checks that later steps find in an output the parts that they read. Once an operator's word
    /// is recorded, no other can be given.
    fn is_readable(&self, index: StepIndex, output: &Payload) -> Result<(), ResolveError> {
        self.graph.steps().try_for_each(|(reader, node)| {
            node.template.reads(index, output).map_err(|why| ResolveError::Unreadable {
                reader: reader.name.clone(),
                why: why.to_string(),
            })
        })
    }

    /// The record that one step's refusal, or its missing payload, demands of a running saga.
    fn demanded_by(&self, index: StepIndex, step: &Step) -> Option<Record> {
        match &step.progress {
            Progress::Refused { reason, .. } => {
                let (step, reason) = (self.step_name(index), reason.clone());
                Some(Record::TurnedBack(Reason::Refused { step, reason }))
            }
            Progress::Unresolved { reason } if self.node(index).side == Side::After => {
                step.stuck.is_none().then(|| Record::Stuck(index, cut(reason.clone())))
            }
            Progress::Unresolved { reason } => {
                let (step, reason) = (self.step_name(index), cut(reason.clone()));
                Some(Record::TurnedBack(Reason::Unresolved { step, reason }))
            }
            _ => None,
        }
    }

    fn decide_restart(&self) -> Vec<Record> {
        // A step that had begun may have been asked in the earlier run. Once the saga turned back
        // it is taken back in any case.
        if self.turned_back.is_some() {
            return Vec::new();
        }
        let lost = |step: &StepIndex| self.steps[usize::from(*step)].lost;
        self.possibly_asked().filter(|step| !lost(step)).map(Record::Lost).collect()
    }

    /// The steps, not known to be done, that an earlier incarnation may have asked: those that have
    /// begun, and those after them, as far as no output between is forced.
    fn possibly_asked(&self) -> impl Iterator<Item = StepIndex> {
        let is_asked_once_it_can_be = |step: &StepIndex| {
            let progress = &self.steps[usize::from(*step)].progress;
            matches!(progress, Progress::Waiting | Progress::Begun { .. })
                && self.fill(*step).is_ok()
        };
        let steps = (0..).take(self.steps.len()).filter(is_asked_once_it_can_be);
        let steps = steps.fold(StepSet::default(), StepSet::with);
        let may_be_done = move |step: StepIndex| {
            let unforced = steps.has(step) && !self.node(step).output_is_forced;
            unforced || self.known_output(step).is_some()
        };
        steps.iter().filter(move |step| self.node(*step).ancestors.iter().all(may_be_done))
    }

    fn decide_answer(&self, answered: &Answered, now: Now<'_>) -> Vec<Record> {
        let index = answered.branch;
        let Some(step) = self.find(index).filter(|_| !self.settled) else { return Vec::new() };
        match answered.operation {
            Operation::Action if matches!(step.progress, Progress::Begun { .. }) => {
                let mut records = self.decide_action(index, step, answered);
                // INVARIANT: no pivot begins after the deadline.
                let done = matches!(records[..], [Record::Completed(..)]);
                if done && now.at >= self.deadline && self.may_turn_back() {
                    let last_answers = now.recorded();
                    records.insert(0, Record::TurnedBack(Reason::Deadline { last_answers }));
                }
                records
            }
            // One not outstanding was asked in an earlier incarnation; its answer is ignored.
            Operation::Compensation if self.outstanding(index) == Some(Operation::Compensation) => {
                match answered.answer {
                    Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly => {
                        vec![Record::Compensated(index)]
                    }
                    _ => stuck(index, step, answered).into_iter().collect(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn decide_action(&self, index: StepIndex, step: &Step, answered: &Answered) -> Vec<Record> {
        let running = self.turned_back.is_none();
        let side = self.node(index).side;
        match &answered.answer {
            Answer::Done | Answer::ReadOnly => vec![Record::Completed(index, Payload::null())],
            Answer::DoneWith { output } => vec![Record::Completed(index, output.clone())],
            Answer::Refused { reason } if running && side != Side::After => {
                vec![Record::Refused(index, reason.clone())]
            }
            // After a lost attempt it is taken back all the same.
            Answer::Refused { reason } if !running && !step.lost => {
                vec![Record::Refused(index, reason.clone())]
            }
            // The attempt may have been done: it is taken back.
            _ if !running => Vec::new(),
            _ => self.decide_unanswered(index, step, side, answered),
        }
    }

    /// No answer to the action of a running saga, or a refusal that is not obeyed.
    fn decide_unanswered(
        &self,
        index: StepIndex,
        step: &Step,
        side: Side,
        answered: &Answered,
    ) -> Vec<Record> {
        let refused = matches!(answered.answer, Answer::Refused { .. });
        let mut records = Vec::new();
        // Pending, too: the attempt is still under way when the next one is answered.
        if !step.lost && !refused {
            records.push(Record::Lost(index));
        }
        let limit =
            self.definition().steps[usize::from(index)].retry.as_ref().and_then(|r| r.tries);
        if side == Side::Before && limit.is_some_and(|limit| answered.tries >= limit) {
            let (step, reason) = (self.step_name(index), cut(what_came_back(&answered.answer)));
            records.push(Record::TurnedBack(Reason::Exhausted { step, reason }));
        } else if side != Side::Before || matches!(answered.answer, Answer::Stuck { .. }) {
            records.extend(stuck(index, step, answered));
        }
        records
    }
}

/// The record that calls an operator to an operation that can only be asked again: after many
/// tries, or at once where asking cannot mend it. It is asked again all the same.
fn stuck(index: StepIndex, step: &Step, answered: &Answered) -> Option<Record> {
    let at_once = match (&answered.answer, answered.operation) {
        (Answer::Stuck { .. }, _) => true,
        (Answer::Refused { .. }, operation) => operation == Operation::Action,
        _ => false,
    };
    ((answered.exhausted || at_once) && step.stuck.is_none())
        .then(|| Record::Stuck(index, cut(what_came_back(&answered.answer))))
}

/// The reason that a saga cannot be turned back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// Every step is done.
    #[error("the saga is completed; there is no way back")]
    Completed,
    /// Its pivot may be done.
    #[error("the saga's pivot is done or may be; wait for its end")]
    PivotMayHaveLeft,
    /// A law was broken.
    #[error(transparent)]
    BrokenInvariant(#[from] BrokenInvariant),
}

/// The reason that a step cannot be resolved by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The saga has no such step.
    #[error("the saga has no such step")]
    NoSuchStep,
    /// The step has ended.
    #[error("the step is over; there is nothing to resolve")]
    Over,
    /// The step has not had its turn.
    #[error("the step waits for others; resolve those, or abort the saga")]
    NotBegun,
    /// A compensation was resolved as completed.
    #[error("the saga turned back; its steps can only be resolved as compensated")]
    TurnedBack,
    /// A step after the pivot was resolved as compensated.
    #[error("the step comes after the pivot, so there is no way back; resolve it as completed")]
    NoWayBack,
    /// A later step reads a part that the output lacks.
    #[error("with this output the step {reader:?} could not go on: {why}; give the output it had")]
    Unreadable {
        /// The later step.
        reader: StepName,
        /// The missing part.
        why: String,
    },
    /// A law was broken.
    #[error(transparent)]
    BrokenInvariant(#[from] BrokenInvariant),
}
