//! One saga, its coordinator, its log, its participants, and what lies between them.

use std::time::Duration;

use wholly_core::saga::{CancelError, Resolution, ResolveError, Started, StepIndex, Transaction};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{Answered, Effect, Input, Payload, Timestamp};
use wholly_core::{PartState, Protocol as _, State};

use crate::bug::Bug;
use crate::log::Log;
use crate::participant::{Participant, Says, output, refused};
use crate::scenario::{Faults, Scenario};
use crate::shape::{Kind, TRIES, graph};

const START: Timestamp = Timestamp::from_millis(1_000);
const DEADLINE: Timestamp = Timestamp::from_millis(2_000);

/// Everything there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub live: Transaction,
    pub log: Log,
    /// The one attempt at each step that is waited for.
    pub slots: Vec<Slot>,
    /// Calls nobody waits for any more, sorted: they may arrive, in any order, or never. Those that
    /// would change nothing are left out.
    pub strays: Vec<Effect>,
    pub participants: Vec<Participant>,
    /// Per step, how often its action was tried in this incarnation, where its tries are counted.
    pub tries: Vec<u8>,
    /// What a client could see: that the saga turned back, or its end.
    pub shown: Option<State>,
    /// A compensation was asked for, in this incarnation or an earlier one.
    pub turned: bool,
    pub deadline_passed: bool,
    /// What may still go wrong.
    pub left: Faults,
    /// The law that the core found broken.
    pub broken: Option<&'static str>,
    /// The properties that something which happened has broken.
    pub misdeeds: Vec<&'static str>,
}

/// The attempt at a step that is waited for: at most one, as in the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    Idle,
    /// The call is on its way.
    Asked(Operation),
    /// The answer is on its way.
    Answered(Operation, Answer),
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The coordinator asks a step what is outstanding.
    Send(StepIndex),
    /// The call arrives.
    Deliver(StepIndex, Says),
    /// The call arrives, and the participant asks for patience while it is at it.
    Postpone(StepIndex),
    /// The call arrives, and is refused for now, where a refusal is not obeyed.
    RefuseInVain(StepIndex),
    /// The call is doubled on its way.
    Duplicate(StepIndex),
    /// A call that nobody waits for arrives.
    DeliverStray(Effect, Says),
    /// The answer arrives.
    Receive(StepIndex),
    /// The coordinator waits no longer: the call is late, or the answer is lost (with the
    /// participant's crash, too), or nobody was there.
    TimeOut(StepIndex),
    /// The log is synced.
    Sync,
    /// The deadline passes.
    Deadline,
    /// The client cancels the saga.
    Cancel,
    /// An operator says how a step ended.
    Resolve(StepIndex, Ends),
    /// The coordinator crashes, keeps so many batches that were not synced, and restarts.
    Crash { kept: usize },
}

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Completed,
    Compensated,
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let live = Transaction::start(&Started {
            key: None,
            trace: None,
            deadline: START + Duration::from_secs(1),
            saga: graph(scenario.shape),
            input: Payload::null(),
        });
        let steps = scenario.shape.len();
        Self {
            log: Log {
                durable: (scenario.faults.crashes > 0).then(|| live.clone()),
                tail: Vec::new(),
            },
            live,
            slots: vec![Slot::Idle; steps],
            strays: Vec::new(),
            participants: vec![Participant::NEW; steps],
            tries: vec![0; steps],
            shown: None,
            turned: false,
            deadline_passed: false,
            left: scenario.faults,
            broken: None,
            misdeeds: Vec::new(),
        }
    }

    /// Whether something forced is not durable yet, so that nothing may leave.
    fn is_held(&self, scenario: &Scenario) -> bool {
        scenario.bug != Some(Bug::EffectsBeforeSync) && self.must_sync()
    }

    /// What the coordinator may send now.
    pub fn sendable(&self, scenario: &Scenario) -> Vec<Effect> {
        if self.is_held(scenario) || self.broken.is_some() {
            return Vec::new();
        }
        let mut effects = scenario.sends(self);
        effects.retain(|effect| self.slots[usize::from(effect.branch)] == Slot::Idle);
        effects
    }

    /// A step's output, as far as the coordinator knows it.
    pub fn output(&self, step: StepIndex) -> Option<&Payload> {
        known_output(&self.live, step)
    }

    pub fn step_states(&self) -> impl Iterator<Item = PartState> + '_ {
        self.live.steps().map(|(_, step)| self.live.step_state(step))
    }

    /// Whether an action of this step that is on its way could still have its effect.
    pub fn may_still_run(&self, scenario: &Scenario, step: StepIndex) -> bool {
        let action = Effect { branch: step, operation: Operation::Action };
        self.participants[usize::from(step)].is_free(scenario.memory)
            && (self.strays.contains(&action)
                || self.slots[usize::from(step)] == Slot::Asked(Operation::Action))
    }

    pub fn apply(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Send(step) => self.send(scenario, step),
            Action::Deliver(step, says) => {
                if let Slot::Asked(operation) = self.slots[usize::from(step)] {
                    let answer = self.handle(scenario, Effect { branch: step, operation }, says);
                    self.slots[usize::from(step)] = Slot::Answered(operation, answer);
                }
            }
            Action::Postpone(step) => {
                self.left.pendings -= 1;
                self.double(step);
                self.answer(step, Answer::pending(None));
            }
            Action::RefuseInVain(step) => {
                self.left.refusals -= 1;
                self.answer(step, refused());
            }
            Action::Duplicate(step) => {
                self.left.duplicates -= 1;
                self.double(step);
            }
            Action::DeliverStray(effect, says) => {
                if let Some(found) = self.strays.iter().position(|stray| *stray == effect) {
                    self.strays.remove(found);
                }
                self.handle(scenario, effect, says);
            }
            Action::Receive(step) => self.receive(scenario, step),
            Action::TimeOut(step) => self.time_out(scenario, step),
            Action::Sync => self.sync(scenario),
            Action::Deadline => self.pass_deadline(scenario),
            Action::Cancel => {
                self.left.cancels -= 1;
                match self.live.cancel("cancelled", self.now()) {
                    Ok(records) => self.append(scenario, records),
                    Err(CancelError::BrokenInvariant(broken)) => self.broken = Some(broken.law),
                    Err(_) => {}
                }
            }
            Action::Resolve(step, ends) => self.resolve(scenario, step, ends),
            Action::Crash { kept } => self.crash(scenario, kept),
        }
        self.show(scenario);
        self.forget_strays(scenario);
    }

    fn send(&mut self, scenario: &Scenario, step: StepIndex) {
        let sendable = self.sendable(scenario);
        let Some(&effect) = sendable.iter().find(|effect| effect.branch == step) else { return };
        let index = usize::from(step);
        if scenario.leaves_out(self, effect) {
            self.slots[index] = Slot::Answered(effect.operation, Answer::Done);
            return;
        }
        self.witness_send(scenario, effect);
        self.turned |= effect.operation == Operation::Compensation;
        if effect.operation == Operation::Action && scenario.kind(step) == Kind::FewTries {
            self.tries[index] = TRIES.min(self.tries[index] + 1);
        }
        self.slots[index] = Slot::Asked(effect.operation);
    }

    fn handle(&mut self, scenario: &Scenario, call: Effect, says: Says) -> Answer {
        let Effect { branch: step, operation } = scenario.reaches(self, call);
        let participant = &mut self.participants[usize::from(step)];
        let before = participant.undone;
        let answer = participant.handle(step, operation, says, scenario.memory);
        if participant.undone > before {
            self.witness_undone(scenario, step);
        }
        answer
    }

    pub fn double(&mut self, step: StepIndex) {
        if let Slot::Asked(operation) = self.slots[usize::from(step)] {
            self.stray(Effect { branch: step, operation });
        }
    }

    fn answer(&mut self, step: StepIndex, answer: Answer) {
        let slot = &mut self.slots[usize::from(step)];
        if let Slot::Asked(operation) = *slot {
            *slot = Slot::Answered(operation, answer);
        }
    }

    fn stray(&mut self, effect: Effect) {
        self.strays.push(effect);
        self.strays.sort_by_key(|stray| (stray.branch, stray.operation));
    }

    fn forget_strays(&mut self, scenario: &Scenario) {
        let participants = &self.participants;
        self.strays.retain(|stray| {
            let participant = &participants[usize::from(stray.branch)];
            participant.may_change(stray.operation, scenario.memory)
        });
    }

    fn receive(&mut self, scenario: &Scenario, step: StepIndex) {
        let slot = std::mem::replace(&mut self.slots[usize::from(step)], Slot::Idle);
        let Slot::Answered(operation, answer) = slot else { return };
        let conclusive = match answer {
            Answer::Pending { .. } => false,
            Answer::Refused { .. } => scenario.obeys_refusal(step, operation),
            _ => true,
        };
        let before = self.live.clone();
        for answer in scenario.hears(operation, answer) {
            self.answered(scenario, Effect { branch: step, operation }, answer, false);
        }
        self.witness_answer(Effect { branch: step, operation }, conclusive, &before);
    }

    fn time_out(&mut self, scenario: &Scenario, step: StepIndex) {
        self.left.time_outs -= 1;
        self.double(step);
        let slot = std::mem::replace(&mut self.slots[usize::from(step)], Slot::Idle);
        let (Slot::Asked(operation) | Slot::Answered(operation, _)) = slot else { return };
        let Some(answer) = scenario.hears_of_time_out(operation) else { return };
        // The last one that there is stands for the many after which an operator should know.
        let exhausted = self.left.time_outs == 0;
        self.answered(scenario, Effect { branch: step, operation }, answer, exhausted);
    }

    fn answered(&mut self, scenario: &Scenario, to: Effect, answer: Answer, exhausted: bool) {
        let Effect { branch, operation } = to;
        let tries = u32::from(self.tries[usize::from(branch)]);
        let answered = Answered { branch, operation, answer, tries, exhausted };
        self.step(scenario, &Input::Answered(answered));
    }

    fn pass_deadline(&mut self, scenario: &Scenario) {
        self.deadline_passed = true;
        if let Some((effect, answer)) = scenario.hears_at_deadline(self) {
            self.answered(scenario, effect, answer, false);
        }
        self.step(scenario, &Input::Time);
    }

    fn resolve(&mut self, scenario: &Scenario, step: StepIndex, ends: Ends) {
        self.left.resolves -= 1;
        let ended = match ends {
            Ends::Completed => Resolution::Completed(output(step)),
            Ends::Compensated => Resolution::Compensated,
        };
        match self.live.resolve(step, ended, "by hand", self.now()) {
            Ok(records) => self.append(scenario, records),
            Err(ResolveError::BrokenInvariant(broken)) => self.broken = Some(broken.law),
            Err(_) => {}
        }
    }

    pub fn step(&mut self, scenario: &Scenario, input: &Input) {
        match self.live.step(input, self.now()) {
            Ok(records) => self.append(scenario, records),
            Err(broken) => self.broken = Some(broken.law),
        }
    }

    fn show(&mut self, scenario: &Scenario) {
        let ended = matches!(self.shown, Some(State::Completed | State::Compensated));
        if !ended && !self.is_held(scenario) && self.live.state() != State::Running {
            self.shown = Some(self.live.state());
        }
    }

    fn now(&self) -> Timestamp {
        if self.deadline_passed { DEADLINE } else { START }
    }
}

/// A step's output, as far as this value knows it.
pub fn known_output(saga: &Transaction, step: StepIndex) -> Option<&Payload> {
    saga.steps().nth(usize::from(step)).and_then(|(_, step)| step.output())
}
