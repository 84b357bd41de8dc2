//! What is explored: a saga, its participants, and how much may go wrong.

use stateright::{Model, Property};
use wholly_core::Effect;
use wholly_core::Protocol as _;
use wholly_core::saga::StepIndex;
use wholly_core::wire::Operation;

use crate::bug::Bug;
use crate::check::Told;
use crate::participant::{Memory, Says};
use crate::properties;
use crate::shape::{Kind, Shape, steps};
use crate::world::{Action, Ends, Slot, World};

/// A configuration of the model.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub shape: Shape,
    pub memory: Memory,
    pub faults: Faults,
    pub bug: Option<Bug>,
    /// What must be seen to happen, so that the properties are not true of nothing.
    pub sights: &'static [&'static str],
}

/// How often something may still go wrong: these bounds make the model finite.
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
    /// Refusals that are not obeyed: of a compensation, and after the pivot.
    pub refusals: u8,
    pub cancels: u8,
    /// Steps that an operator ends.
    pub resolves: u8,
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
        for (step, slot) in (0..).zip(&world.slots) {
            self.attempt_actions(world, step, slot, actions);
        }
        for (index, stray) in world.strays.iter().enumerate() {
            if index == 0 || world.strays[index - 1] != *stray {
                let says = self.choices(world, *stray);
                actions.extend(says.iter().map(|says| Action::DeliverStray(*stray, *says)));
            }
        }
        if world.must_sync() {
            actions.push(Action::Sync);
        }
        let over = world.live.is_settled();
        if world.left.deadline && !world.deadline_passed && !over {
            actions.push(Action::Deadline);
        }
        if world.left.cancels > 0 && !over {
            actions.push(Action::Cancel);
        }
        if world.left.resolves > 0 {
            self.operator_actions(world, actions);
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
        let steps: Vec<_> = world.step_states().collect();
        let rows: Vec<_> = world.participants.iter().map(|p| (p.row, p.ran, p.undone)).collect();
        let strays: Vec<_> = world.strays.iter().map(|s| (s.branch, s.operation)).collect();
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
    fn attempt_actions(
        &self,
        world: &World,
        step: StepIndex,
        slot: &Slot,
        actions: &mut Vec<Action>,
    ) {
        match *slot {
            Slot::Idle => return,
            Slot::Asked(operation) => {
                let says = self.choices(world, Effect { branch: step, operation });
                actions.extend(says.iter().map(|says| Action::Deliver(step, *says)));
                if world.left.pendings > 0 {
                    actions.push(Action::Postpone(step));
                }
                if world.left.duplicates > 0 {
                    actions.push(Action::Duplicate(step));
                }
                if world.left.refusals > 0 && !self.obeys_refusal(step, operation) {
                    actions.push(Action::RefuseInVain(step));
                }
            }
            Slot::Answered(..) => actions.push(Action::Receive(step)),
        }
        if world.left.time_outs > 0 {
            actions.push(Action::TimeOut(step));
        }
    }

    /// An operator looks at the participant, and says what is there and stays so.
    fn operator_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for step in steps(self.shape) {
            let stands = world.participants[usize::from(step)].stands();
            let ends = if stands { Ends::Completed } else { Ends::Compensated };
            if world.live.effects().any(|effect| effect.branch == step)
                && (stands || !world.may_still_run(self, step))
            {
                actions.push(Action::Resolve(step, ends));
            }
        }
    }

    pub fn kind(&self, step: StepIndex) -> Kind {
        self.shape[usize::from(step)].kind
    }

    pub fn obeys_refusal(&self, step: StepIndex, operation: Operation) -> bool {
        operation == Operation::Action && self.kind(step) != Kind::Retriable
    }

    /// What a step after the pivot refuses once it would refuse for ever: that is left to
    /// [`Faults::refusals`].
    fn choices(&self, world: &World, call: Effect) -> &'static [Says] {
        let participant = &world.participants[usize::from(call.branch)];
        let free = participant.is_free(self.memory);
        match free && self.obeys_refusal(call.branch, call.operation) {
            true => &[Says::Yes, Says::No],
            false => &[Says::Yes],
        }
    }
}
