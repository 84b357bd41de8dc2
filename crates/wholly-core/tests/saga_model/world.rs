//! One saga, its coordinator, its log, its participants, and the network between them.

use std::time::Duration;

use wholly_core::saga::{CancelError, Resolution, ResolveError, Started, StepIndex, Transaction};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{Answered, Effect, Input, Payload, Timestamp};
use wholly_core::{PartState, Protocol as _, State};

use crate::bug::Bug;
use crate::log::Log;
use crate::network::{self, Faults, Network, Slot};
use crate::participant::{Participant, Says, output, refused};
use crate::scenario::Scenario;
use crate::shape::{Kind, TRIES, graph};

const START: Timestamp = Timestamp::from_millis(1_000);
const DEADLINE: Timestamp = Timestamp::from_millis(2_000);

/// Everything there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub live: Transaction,
    pub log: Log,
    /// Without the strays that would change nothing.
    pub network: Network,
    pub participants: Vec<Participant>,
    /// Per step, how often its action was tried in this incarnation, where its tries are counted.
    pub tries: Vec<u8>,
    /// The state that a client could see: that the saga turned back, or its end.
    pub shown: Option<State>,
    /// True if a compensation was asked for, in this incarnation or an earlier one.
    pub turned: bool,
    pub deadline_passed: bool,
    /// The faults that may still happen.
    pub left: Faults,
    /// The law that the core found broken.
    pub broken: Option<&'static str>,
    /// The properties that an event has broken.
    pub misdeeds: Vec<&'static str>,
}

/// The events of a saga alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The call arrives, and is refused for now, where a refusal is not obeyed.
    RefuseInVain(StepIndex),
    /// An operator says how a step ended.
    Resolve(StepIndex, Ends),
}

pub type Action = network::Action<Says, Own>;

/// An operator's word for how a step ended.
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
            network: Network::to(steps),
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

    /// True if something forced is not durable yet, so that nothing may leave.
    fn is_held(&self, scenario: &Scenario) -> bool {
        scenario.bug != Some(Bug::EffectsBeforeSync) && self.must_sync()
    }

    /// The effects that the coordinator may send now.
    pub fn sendable(&self, scenario: &Scenario) -> Vec<Effect> {
        if self.is_held(scenario) || self.broken.is_some() {
            return Vec::new();
        }
        let mut effects = scenario.sends(self);
        effects.retain(|effect| self.network.is_idle(effect.branch));
        effects
    }

    /// A step's output, as far as the coordinator knows it.
    pub fn output(&self, step: StepIndex) -> Option<&Payload> {
        known_output(&self.live, step)
    }

    pub fn step_states(&self) -> impl Iterator<Item = PartState> + '_ {
        self.live.steps().map(|(_, step)| self.live.step_state(step))
    }

    /// True if an action of this step that is on its way could still have its effect.
    pub fn may_still_run(&self, scenario: &Scenario, step: StepIndex) -> bool {
        let action = Effect { branch: step, operation: Operation::Action };
        self.participants[usize::from(step)].is_free(scenario.memory)
            && (self.network.strays.contains(&action) || self.network.asked(step) == Some(action))
    }

    pub fn apply(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Send(step) => self.send(scenario, step),
            Action::Deliver(step, says) => {
                if let Some(call) = self.network.asked(step) {
                    let answer = self.handle(scenario, call, says);
                    self.network.answer(step, answer);
                }
            }
            Action::Postpone(step) => {
                self.left.pendings -= 1;
                self.network.double(step);
                self.network.answer(step, Answer::pending(None));
            }
            Action::Duplicate(step) => {
                self.left.duplicates -= 1;
                self.network.double(step);
            }
            Action::DeliverStray(effect, says) => {
                self.network.stray_arrived(effect);
                self.handle(scenario, effect, says);
            }
            Action::Own(Own::RefuseInVain(step)) => {
                self.left.refusals -= 1;
                self.network.answer(step, refused());
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
            Action::Own(Own::Resolve(step, ends)) => self.resolve(scenario, step, ends),
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
            self.network.set(step, Slot::Answered(effect.operation, Answer::Done));
            return;
        }
        self.witness_send(scenario, effect);
        self.turned |= effect.operation == Operation::Compensation;
        if effect.operation == Operation::Action && scenario.kind(step) == Kind::FewTries {
            self.tries[index] = TRIES.min(self.tries[index] + 1);
        }
        self.network.set(step, Slot::Asked(effect.operation));
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

    fn forget_strays(&mut self, scenario: &Scenario) {
        let participants = &self.participants;
        self.network.strays.retain(|stray| {
            let participant = &participants[usize::from(stray.branch)];
            participant.may_change(stray.operation, scenario.memory)
        });
    }

    fn receive(&mut self, scenario: &Scenario, step: StepIndex) {
        let Slot::Answered(operation, answer) = self.network.take(step) else { return };
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
        self.network.double(step);
        let slot = self.network.take(step);
        let (Slot::Asked(operation) | Slot::Answered(operation, _)) = slot else { return };
        let Some(answer) = scenario.hears_of_time_out(operation) else { return };
        // The last time-out stands for the many after which an operator should know.
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
