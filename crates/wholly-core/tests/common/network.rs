//! The network between a coordinator and its participants, and its faults.

use wholly_core::wire::{Answer, Operation};
use wholly_core::{BranchIndex, Effect};

/// The number of times that each fault may still happen: these bounds make a model finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A call is late or lost, or its answer lost; of all attempts together.
    pub time_outs: u8,
    /// Crashes of the coordinator.
    pub crashes: u8,
    /// Calls doubled on their way.
    pub duplicates: u8,
    /// Calls that are answered with "pending", and done later.
    pub pendings: u8,
    pub cancels: u8,
    /// True if the deadline may pass.
    pub deadline: bool,
    /// Branches of a transaction in two phases that end on their own.
    pub heuristics: u8,
    /// Refusals in a saga that are not obeyed, of a compensation and after the pivot.
    pub refusals: u8,
    /// Steps of a saga that an operator ends.
    pub resolves: u8,
}

pub const NONE: Faults = Faults {
    time_outs: 0,
    crashes: 0,
    duplicates: 0,
    pendings: 0,
    cancels: 0,
    deadline: false,
    heuristics: 0,
    refusals: 0,
    resolves: 0,
};

/// The events of a model. `Says` is a participant's answer where it is free, `Own` an event of one
/// pattern alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<Says, Own> {
    /// The coordinator asks a branch or step for its outstanding operation.
    Send(BranchIndex),
    /// The call arrives.
    Deliver(BranchIndex, Says),
    /// The call arrives, and the participant asks for patience while it is at it.
    Postpone(BranchIndex),
    /// The call is doubled on its way.
    Duplicate(BranchIndex),
    /// A call that nobody waits for arrives.
    DeliverStray(Effect, Says),
    /// The answer arrives.
    Receive(BranchIndex),
    /// The coordinator waits no longer: the call is late, or the answer is lost (with the
    /// participant's crash, too), or nobody was there.
    TimeOut(BranchIndex),
    /// The log is synced.
    Sync,
    /// The deadline passes.
    Deadline,
    /// The client takes the transaction back.
    Cancel,
    /// The coordinator crashes, keeps so much of the unsynced records, and restarts.
    Crash {
        kept: usize,
    },
    Own(Own),
}

/// The attempt at a branch or step that is waited for: at most one, as in the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    Idle,
    /// The call is on its way.
    Asked(Operation),
    /// The answer is on its way.
    Answered(Operation, Answer),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The one attempt at each branch or step that is waited for.
    pub slots: Vec<Slot>,
    /// Calls nobody waits for any more, sorted: they may arrive, in any order, or never.
    pub strays: Vec<Effect>,
}

impl Network {
    pub fn to(parts: usize) -> Self {
        Self { slots: vec![Slot::Idle; parts], strays: Vec::new() }
    }

    /// The actions that are possible on the network.
    pub fn actions<Says: Copy + 'static, Own>(
        &self,
        left: Faults,
        choices: impl Fn(Effect) -> &'static [Says],
    ) -> Vec<Action<Says, Own>> {
        let mut actions = Vec::new();
        for (branch, slot) in (0..).zip(&self.slots) {
            match *slot {
                Slot::Idle => continue,
                Slot::Asked(operation) => {
                    let says = choices(Effect { branch, operation }).iter();
                    actions.extend(says.map(|says| Action::Deliver(branch, *says)));
                    actions.extend((left.pendings > 0).then_some(Action::Postpone(branch)));
                    actions.extend((left.duplicates > 0).then_some(Action::Duplicate(branch)));
                }
                Slot::Answered(..) => actions.push(Action::Receive(branch)),
            }
            actions.extend((left.time_outs > 0).then_some(Action::TimeOut(branch)));
        }
        for same in self.strays.chunk_by(Effect::eq) {
            let says = choices(same[0]).iter();
            actions.extend(says.map(|says| Action::DeliverStray(same[0], *says)));
        }
        actions
    }

    pub fn is_idle(&self, branch: BranchIndex) -> bool {
        self.slots[usize::from(branch)] == Slot::Idle
    }

    pub fn set(&mut self, branch: BranchIndex, slot: Slot) {
        self.slots[usize::from(branch)] = slot;
    }

    pub fn take(&mut self, branch: BranchIndex) -> Slot {
        std::mem::replace(&mut self.slots[usize::from(branch)], Slot::Idle)
    }

    /// The call that is on its way.
    pub fn asked(&self, branch: BranchIndex) -> Option<Effect> {
        match self.slots[usize::from(branch)] {
            Slot::Asked(operation) => Some(Effect { branch, operation }),
            Slot::Idle | Slot::Answered(..) => None,
        }
    }

    /// The call that is on its way has arrived and is answered.
    pub fn answer(&mut self, branch: BranchIndex, answer: Answer) {
        if let Some(Effect { operation, .. }) = self.asked(branch) {
            self.set(branch, Slot::Answered(operation, answer));
        }
    }

    /// The call that is on its way may arrive, whether or not it is waited for.
    pub fn double(&mut self, branch: BranchIndex) {
        self.strays.extend(self.asked(branch));
        self.strays.sort_by_key(|stray| (stray.branch, stray.operation));
    }

    pub fn stray_arrived(&mut self, effect: Effect) {
        if let Some(found) = self.strays.iter().position(|stray| *stray == effect) {
            self.strays.remove(found);
        }
    }

    /// A new process has new connections: no answer comes back on the old ones.
    pub fn forget_attempts(&mut self) {
        for branch in (0..).take(self.slots.len()) {
            self.double(branch);
        }
        self.slots.fill(Slot::Idle);
    }
}

impl Faults {
    /// The actions of the coordinator, which has so much that is not synced.
    pub fn actions<Says, Own>(
        self,
        unsynced: usize,
        deadline_passed: bool,
    ) -> Vec<Action<Says, Own>> {
        let mut actions = Vec::new();
        actions.extend((self.deadline && !deadline_passed).then_some(Action::Deadline));
        actions.extend((self.cancels > 0).then_some(Action::Cancel));
        if self.crashes > 0 {
            actions.extend((0..=unsynced).map(|kept| Action::Crash { kept }));
        }
        actions
    }
}
