//! One transaction, its coordinator, its log, its participants, and the network between them.

use std::time::Duration;

use wholly_core::Protocol as _;
use wholly_core::two_phase::{Decision, Record, Started, StartedBranch, Transaction};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{
    Answered, BranchIndex, Effect, Input, Name, ParticipantName, Payload, Timestamp,
};

use crate::bug::Bug;
use crate::network::{self, Faults, Network, Slot};
use crate::participant::{Holds, Participant, Says};
use crate::scenario::Scenario;

const START: Timestamp = Timestamp::from_millis(1_000);
const DEADLINE: Timestamp = Timestamp::from_millis(2_000);

/// Everything there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub live: Transaction,
    pub log: Log,
    pub network: Network,
    pub participants: Vec<Participant>,
    /// The first decision that a client or a participant could see.
    pub shown: Option<Decision>,
    pub deadline_passed: bool,
    /// The faults that may still happen.
    pub left: Faults,
    /// The law that the core found broken.
    pub broken: Option<&'static str>,
    /// True if an outstanding call was answered and the coordinator is where it was before.
    pub in_vain: bool,
    /// Per branch, for planted bugs only: an attempt at the second phase timed out.
    pub given_up: Vec<bool>,
}

/// The log and the value that survive a crash.
///
/// Records are appended in order, so that syncing one makes those before it durable. Durable
/// records are kept as the value that they replay to: their order does not matter any more. After
/// the last crash nothing is read again, and only records still to be synced are kept: worlds that
/// differ only in what is never read are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    pub durable: Option<Transaction>,
    /// Written and not synced: a crash leaves any prefix.
    pub tail: Vec<Record>,
}

/// The events of two phases alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// A participant in doubt ends its branch on its own.
    Heuristic(BranchIndex, Decision),
    /// An operator says how a branch ended.
    Resolve(BranchIndex, Decision),
}

pub type Action = network::Action<Says, Own>;

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let live = Transaction::start(&started(scenario));
        Self {
            log: Log {
                durable: (scenario.faults.crashes > 0).then(|| live.clone()),
                tail: Vec::new(),
            },
            live,
            network: Network::to(scenario.branches),
            participants: vec![Participant::NEW; scenario.branches],
            shown: None,
            deadline_passed: false,
            left: scenario.faults,
            broken: None,
            in_vain: false,
            given_up: vec![false; scenario.branches],
        }
    }

    /// True if something forced is not durable yet, so that nothing may leave.
    pub fn is_held(&self, scenario: &Scenario) -> bool {
        scenario.bug != Some(Bug::EffectsBeforeSync) && self.must_sync(scenario)
    }

    pub fn must_sync(&self, scenario: &Scenario) -> bool {
        self.log.tail.iter().any(|record| scenario.forces(&self.live, record))
    }

    /// The effects that the coordinator may send now.
    pub fn sendable(&self, scenario: &Scenario) -> Vec<Effect> {
        if self.is_held(scenario) || self.broken.is_some() {
            return Vec::new();
        }
        let effects = self.live.effects().filter(|effect| self.network.is_idle(effect.branch));
        effects.filter_map(|effect| scenario.sends(self, effect)).collect()
    }

    pub fn apply(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Send(branch) => self.send(scenario, branch),
            Action::Deliver(branch, says) => {
                if let Some(effect) = self.network.asked(branch) {
                    let answer = self.handle(scenario, effect, says);
                    self.network.answer(branch, answer);
                }
            }
            Action::Postpone(branch) => {
                self.left.pendings -= 1;
                self.network.double(branch);
                self.network.answer(branch, Answer::pending(None));
            }
            Action::Duplicate(branch) => {
                self.left.duplicates -= 1;
                self.network.double(branch);
            }
            Action::DeliverStray(effect, says) => {
                self.network.stray_arrived(effect);
                self.handle(scenario, effect, says);
            }
            Action::Receive(branch) => self.receive(scenario, branch),
            Action::TimeOut(branch) => self.time_out(scenario, branch),
            Action::Sync => self.sync(),
            Action::Deadline => {
                self.deadline_passed = true;
                self.step(scenario, &Input::Time);
            }
            Action::Cancel => {
                self.left.cancels -= 1;
                let now = self.now();
                if let Ok(records) = self.live.cancel("cancelled", now) {
                    self.append(scenario, records);
                }
            }
            Action::Crash { kept } => self.crash(scenario, kept),
            Action::Own(Own::Heuristic(branch, decision)) => {
                self.left.heuristics -= 1;
                self.participants[usize::from(branch)].holds = Holds::Heuristic(decision);
            }
            Action::Own(Own::Resolve(branch, decision)) => {
                let now = self.now();
                if let Ok(records) = self.live.resolve(branch, decision, "by hand", now) {
                    self.append(scenario, records);
                }
            }
        }
        self.show(scenario);
    }

    fn send(&mut self, scenario: &Scenario, branch: BranchIndex) {
        let sendable = self.sendable(scenario);
        if let Some(effect) = sendable.iter().find(|effect| effect.branch == branch) {
            self.network.set(branch, Slot::Asked(effect.operation));
        }
    }

    fn handle(&mut self, scenario: &Scenario, effect: Effect, says: Says) -> Answer {
        let participant = &mut self.participants[usize::from(effect.branch)];
        participant.handle(effect.operation, says, scenario.memory)
    }

    fn receive(&mut self, scenario: &Scenario, branch: BranchIndex) {
        let Slot::Answered(operation, answer) = self.network.take(branch) else { return };
        let conclusive = !matches!(answer, Answer::Pending { .. });
        let before = self.live.clone();
        for (branch, answer) in scenario.hears(self, branch, operation, answer) {
            self.step(scenario, &answered(branch, operation, answer, false));
        }
        let asks_again = self.live.effects().any(|effect| effect == Effect { branch, operation });
        self.in_vain |= conclusive && asks_again && before == self.live;
    }

    fn time_out(&mut self, scenario: &Scenario, branch: BranchIndex) {
        self.left.time_outs -= 1;
        self.network.double(branch);
        let slot = self.network.take(branch);
        let (Slot::Asked(operation) | Slot::Answered(operation, _)) = slot else { return };
        if scenario.gives_up(operation) {
            self.given_up[usize::from(branch)] = true;
        }
        let Some(answer) = scenario.hears_of_time_out(operation) else { return };
        // The last time-out stands for the many after which an operator should know.
        let exhausted = self.left.time_outs == 0;
        self.step(scenario, &answered(branch, operation, answer, exhausted));
    }

    fn sync(&mut self) {
        for record in std::mem::take(&mut self.log.tail) {
            self.keep(&record);
        }
    }

    fn keep(&mut self, record: &Record) {
        if let Some(Err(broken)) = self.log.durable.as_mut().map(|value| value.apply(record)) {
            self.broken = Some(broken.law);
        }
    }

    fn crash(&mut self, scenario: &Scenario, kept: usize) {
        self.log.tail.truncate(kept);
        if scenario.bug == Some(Bug::GapInLog) && !self.log.tail.is_empty() {
            self.log.tail.remove(0);
        }
        // Opening the log makes durable all that it returns.
        self.sync();
        self.left.crashes -= 1;
        let again = self.left.crashes > 0;
        let Some(replayed) = self.log.durable.take() else { return };
        self.log.durable = again.then(|| replayed.clone());
        self.live = replayed;
        self.given_up.fill(false);
        self.network.forget_attempts();
        if scenario.bug != Some(Bug::RestartNotTold) {
            self.step(scenario, &Input::Restarted);
        }
    }

    fn step(&mut self, scenario: &Scenario, input: &Input) {
        let now = self.now();
        match self.live.step(input, now) {
            Ok(records) => self.append(scenario, records),
            Err(broken) => self.broken = Some(broken.law),
        }
    }

    fn append(&mut self, scenario: &Scenario, mut records: Vec<Record>) {
        if self.left.crashes == 0 {
            records.retain(|record| scenario.forces(&self.live, record));
        }
        self.log.tail.extend(records);
    }

    fn show(&mut self, scenario: &Scenario) {
        if self.shown.is_none() && !self.is_held(scenario) {
            self.shown = self.live.decision();
        }
    }

    fn now(&self) -> Timestamp {
        if self.deadline_passed { DEADLINE } else { START }
    }
}

fn answered(branch: BranchIndex, operation: Operation, answer: Answer, exhausted: bool) -> Input {
    Input::Answered(Answered { branch, operation, answer, tries: 1, exhausted })
}

fn started(scenario: &Scenario) -> Started {
    let branch = |index: usize| StartedBranch {
        participant: ParticipantName::new(format!("p{index}")).expect("a short name"),
        payload: Payload::parse("{}").expect("a JSON document"),
    };
    Started {
        name: Name::new("model").expect("a short name"),
        key: None,
        trace: None,
        deadline: START + Duration::from_secs(1),
        one_phase: scenario.one_phase,
        branches: (0..scenario.branches).map(branch).collect(),
    }
}
