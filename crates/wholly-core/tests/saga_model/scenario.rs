//! The explored configurations: a saga, its participants, and the bounds of its faults.

use stateright::{Model, Property};
use wholly_core::Effect;
use wholly_core::Protocol as _;
use wholly_core::saga::StepIndex;
use wholly_core::wire::Operation;

use crate::bug::Bug;
use crate::check::Told;
use crate::network::Faults;
use crate::participant::{Memory, Says};
use crate::properties;
use crate::shape::{Kind, Shape, steps};
use crate::world::{Action, Ends, Own, World};

/// A configuration of the model.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub shape: Shape,
    pub memory: Memory,
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
        let choices = |call| self.choices(world, call);
        actions.extend(world.network.actions(world.left, choices));
        if world.must_sync() {
            actions.push(Action::Sync);
        }
        self.own_actions(world, actions);
        let over = world.live.is_settled();
        let left = Faults {
            deadline: world.left.deadline && !over,
            cancels: if over { 0 } else { world.left.cancels },
            ..world.left
        };
        actions.extend(left.actions(world.log.tail.len(), world.deadline_passed));
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
        let steps: Vec<_> = world.step_states().collect();
        let rows: Vec<_> = world.participants.iter().map(|p| (p.row, p.ran, p.undone)).collect();
        let strays: Vec<_> = world.network.strays.iter().map(|s| (s.branch, s.operation)).collect();
        format!(
            "{}: {steps:?}, settled: {}, to be synced: {}, shown: {:?}, {rows:?}, strays: \
             {strays:?}{}",
            world.live.state().as_str(),
            world.live.is_settled(),
            world.must_sync(),
            world.shown,
            world.broken.map(|law| format!(", BROKEN: {law}")).unwrap_or_default(),
        )
    }
}

impl Scenario {
    fn own_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for step in steps(self.shape) {
            let asked = world.network.asked(step).map(|call| call.operation);
            let in_vain = asked.is_some_and(|operation| !self.obeys_refusal(step, operation));
            if world.left.refusals > 0 && in_vain {
                actions.push(Action::Own(Own::RefuseInVain(step)));
            }
            // An operator looks at the participant, and says what is there for good.
            let stands = world.participants[usize::from(step)].stands();
            let ends = if stands { Ends::Completed } else { Ends::Compensated };
            if world.left.resolves > 0
                && world.live.effects().any(|effect| effect.branch == step)
                && (stands || !world.may_still_run(self, step))
            {
                actions.push(Action::Own(Own::Resolve(step, ends)));
            }
        }
    }

    pub fn kind(&self, step: StepIndex) -> Kind {
        self.shape[usize::from(step)].kind
    }

    pub fn obeys_refusal(&self, step: StepIndex, operation: Operation) -> bool {
        operation == Operation::Action && self.kind(step) != Kind::Retriable
    }

    /// The answers that a participant may choose. A refusal after the pivot would last for ever: it
    /// is left to [`Faults::refusals`].
    fn choices(&self, world: &World, call: Effect) -> &'static [Says] {
        let participant = &world.participants[usize::from(call.branch)];
        let free = participant.is_free(self.memory);
        match free && self.obeys_refusal(call.branch, call.operation) {
            true => &[Says::Yes, Says::No],
            false => &[Says::Yes],
        }
    }
}
