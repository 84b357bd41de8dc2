//! What is explored: a transaction, its participants, and how much may go wrong.

use stateright::{Model, Property};
use wholly_core::Protocol as _;
use wholly_core::two_phase::Decision;
use wholly_core::{BranchIndex, Effect};

use crate::bug::Bug;
use crate::check::Told;
use crate::participant::{Holds, Memory, Says};
use crate::properties;
use crate::world::{Action, Slot, World};

/// A configuration of the model.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub branches: usize,
    pub one_phase: bool,
    pub memory: Memory,
    /// The votes that participants choose from.
    pub says: &'static [Says],
    pub faults: Faults,
    pub bug: Option<Bug>,
    /// What must be seen to happen, so that the properties are not true of nothing.
    pub sights: &'static [&'static str],
}

/// How often something may still go wrong: these bounds make the model finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A request is late or lost, or its answer lost; of all attempts together.
    pub time_outs: u8,
    /// Crashes of the coordinator.
    pub crashes: u8,
    /// Requests doubled on their way.
    pub duplicates: u8,
    /// Requests that are answered with "pending", and done later.
    pub pendings: u8,
    /// Branches that end on their own.
    pub heuristics: u8,
    pub cancels: u8,
    /// Whether the deadline may pass.
    pub deadline: bool,
}

impl Model for Scenario {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let sendable = world.sendable(self);
        actions.extend(sendable.iter().map(|effect| Action::Send(effect.branch)));
        for (branch, slot) in (0..).zip(&world.slots) {
            self.attempt_actions(world, branch, slot, actions);
            self.heuristic_actions(world, branch, actions);
        }
        for (index, stray) in world.strays.iter().enumerate() {
            if index == 0 || world.strays[index - 1] != *stray {
                let says = self.choices(world, *stray);
                actions.extend(says.iter().map(|says| Action::DeliverStray(*stray, *says)));
            }
        }
        if world.must_sync(self) {
            actions.push(Action::Sync);
        }
        if world.left.deadline && !world.deadline_passed {
            actions.push(Action::Deadline);
        }
        if world.left.cancels > 0 {
            actions.push(Action::Cancel);
        }
        if world.left.crashes > 0 {
            actions.extend((0..=world.log.tail.len()).map(|kept| Action::Crash { kept }));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.apply(self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::laws();
        let sights = properties::sights();
        properties.extend(sights.into_iter().filter(|sight| self.sights.contains(&sight.name)));
        properties
    }
}

impl Told for Scenario {
    fn tell(world: &World) -> String {
        let holds: Vec<_> = world.participants.iter().map(|p| p.holds).collect();
        let strays: Vec<_> = world.strays.iter().map(|s| (s.branch, s.operation)).collect();
        format!(
            "{}, settled: {}, shown: {:?}, {holds:?}, strays: {strays:?}{}",
            world.live.state().as_str(),
            world.live.is_settled(),
            world.shown,
            world.broken.map(|law| format!(", BROKEN: {law}")).unwrap_or_default(),
        )
    }
}

impl Scenario {
    fn attempt_actions(
        &self,
        world: &World,
        branch: BranchIndex,
        slot: &Slot,
        actions: &mut Vec<Action>,
    ) {
        match *slot {
            Slot::Idle => return,
            Slot::Asked(operation) => {
                let says = self.choices(world, Effect { branch, operation });
                actions.extend(says.iter().map(|says| Action::Deliver(branch, *says)));
                if world.left.pendings > 0 {
                    actions.push(Action::Postpone(branch));
                }
                if world.left.duplicates > 0 {
                    actions.push(Action::Duplicate(branch));
                }
            }
            Slot::Answered(..) => actions.push(Action::Receive(branch)),
        }
        if world.left.time_outs > 0 {
            actions.push(Action::TimeOut(branch));
        }
    }

    fn heuristic_actions(&self, world: &World, branch: BranchIndex, actions: &mut Vec<Action>) {
        let holds = world.participants[usize::from(branch)].holds;
        for decision in [Decision::Committed, Decision::Aborted] {
            if world.left.heuristics > 0 && holds == Holds::Prepared {
                actions.push(Action::Heuristic(branch, decision));
            }
            // An operator looks at the participant, and says what is there.
            if world.waits_for_a_person(branch) && holds == Holds::Heuristic(decision) {
                actions.push(Action::Resolve(branch, decision));
            }
        }
    }

    fn choices(&self, world: &World, request: Effect) -> &'static [Says] {
        let participant = &world.participants[usize::from(request.branch)];
        match participant.is_free(request.operation, self.memory) {
            true => self.says,
            // It is not asked.
            false => &[Says::Yes],
        }
    }
}
