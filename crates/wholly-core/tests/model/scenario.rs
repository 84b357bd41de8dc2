//! The explored configurations: a transaction, its participants, and the bounds of its faults.

use stateright::{Model, Property};
use wholly_core::Protocol as _;
use wholly_core::two_phase::Decision;
use wholly_core::{BranchIndex, Effect};

use crate::bug::Bug;
use crate::check::Told;
use crate::network::Faults;
use crate::participant::{Holds, Memory, Says};
use crate::properties;
use crate::world::{Action, Own, World};

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
    /// The sights that must be seen, so that the properties are not true of nothing.
    pub sights: &'static [&'static str],
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
        let choices = |request| self.choices(world, request);
        actions.extend(world.network.actions(world.left, choices));
        for branch in (0..).take(self.branches) {
            self.heuristic_actions(world, branch, actions);
        }
        if world.must_sync(self) {
            actions.push(Action::Sync);
        }
        actions.extend(world.left.actions(world.log.tail.len(), world.deadline_passed));
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
        let strays: Vec<_> = world.network.strays.iter().map(|s| (s.branch, s.operation)).collect();
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
    fn heuristic_actions(&self, world: &World, branch: BranchIndex, actions: &mut Vec<Action>) {
        let holds = world.participants[usize::from(branch)].holds;
        for decision in [Decision::Committed, Decision::Aborted] {
            if world.left.heuristics > 0 && holds == Holds::Prepared {
                actions.push(Action::Own(Own::Heuristic(branch, decision)));
            }
            // An operator looks at the participant, and says what is there.
            if world.waits_for_a_person(branch) && holds == Holds::Heuristic(decision) {
                actions.push(Action::Own(Own::Resolve(branch, decision)));
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
