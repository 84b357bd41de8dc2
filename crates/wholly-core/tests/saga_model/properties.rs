//! The properties that always hold, and the sights that must be reachable.
//!
//! Some properties speak of a state, others of events; an event that breaks one is noted in
//! [`World::misdeeds`] by the functions called `witness_…`.

use stateright::Property;
use wholly_core::Effect;
use wholly_core::saga::{Reason, StepIndex, Transaction};
use wholly_core::wire::Operation;
use wholly_core::{PartState, Protocol as _, State};

use crate::network::Slot;
use crate::participant::{Memory, Row, output};
use crate::scenario::Scenario;
use crate::shape::{Kind, comes_after, payload, pivot, steps};
use crate::world::{World, known_output};

type Law = Property<Scenario>;

pub const ALL_OR_NOTHING: &str = "all or nothing";
pub const NOTHING_TWICE: &str = "nothing has its effect twice";
pub const UNDONE_RAN: &str = "only what ran is compensated";
pub const IN_REVERSE: &str = "compensation in reverse order";
pub const IN_ORDER: &str = "no step before what it comes after";
pub const NO_WAY_BACK: &str = "nothing is undone once the pivot is done";
pub const ONLY_BACK: &str = "what turned back runs no step again";
pub const GIVEN: &str = "every call is given the outputs there are";
pub const DURABLE_FIRST: &str = "nothing leaves before what it rests on is durable";
pub const NEVER_CHANGES: &str = "what was answered never changes";
pub const NO_LAW_BROKEN: &str = "the core breaks no law of its own";
pub const NOT_IN_VAIN: &str = "no answer is in vain";
pub const QUIET_IS_SETTLED: &str = "what is quiet is settled";

/// The properties of the protocol.
///
/// The last two together say that every run ends settled once faults stop: each answer changes
/// the saga, which changes only so often; each time-out, crash, pending answer and refusal that is
/// not obeyed uses up one of finitely many; and where nothing is left to happen, the saga is
/// settled.
pub fn laws() -> Vec<Law> {
    vec![
        Law::always(ALL_OR_NOTHING, |scenario, world| {
            !world.live.is_settled() || world.is_whole(scenario)
        }),
        Law::always(NOTHING_TWICE, |_, world| {
            world.participants.iter().all(|p| p.ran <= 1 && p.undone <= 1)
        }),
        Law::always(UNDONE_RAN, |_, world| world.participants.iter().all(|p| p.undone <= p.ran)),
        Law::always(IN_REVERSE, |_, world| world.kept(IN_REVERSE)),
        Law::always(IN_ORDER, |_, world| world.kept(IN_ORDER)),
        Law::always(NO_WAY_BACK, |scenario, world| world.has_no_way_back(scenario)),
        Law::always(ONLY_BACK, |_, world| world.kept(ONLY_BACK)),
        Law::always(GIVEN, |_, world| world.kept(GIVEN)),
        Law::always(DURABLE_FIRST, |_, world| world.kept(DURABLE_FIRST)),
        Law::always(NEVER_CHANGES, |_, world| match world.shown {
            Some(State::Completed) => world.live.state() == State::Completed,
            Some(State::Compensated) => world.live.state() == State::Compensated,
            Some(_) => matches!(world.live.state(), State::Compensating | State::Compensated),
            None => true,
        }),
        Law::always(NO_LAW_BROKEN, |_, world| world.broken.is_none()),
        Law::always(NOT_IN_VAIN, |_, world| world.kept(NOT_IN_VAIN)),
        Law::always(QUIET_IS_SETTLED, |scenario, world| {
            !world.is_quiet(scenario) || world.live.is_settled()
        }),
    ]
}

/// The sights that must be reachable where a scenario says so.
pub fn sights() -> Vec<Law> {
    vec![
        Law::sometimes("completes", |_, world| world.live.state() == State::Completed),
        Law::sometimes("turns back: refused", |_, world| {
            world.settles_with(|reason| matches!(reason, Reason::Refused { .. }))
        }),
        Law::sometimes("turns back: deadline", |_, world| {
            world.settles_with(|reason| matches!(reason, Reason::Deadline { .. }))
        }),
        Law::sometimes("turns back: cancelled", |_, world| {
            world.settles_with(|reason| matches!(reason, Reason::Cancelled { .. }))
        }),
        Law::sometimes("turns back: exhausted", |_, world| {
            world.settles_with(|reason| matches!(reason, Reason::Exhausted { .. }))
        }),
        Law::sometimes("turns back: resolved", |_, world| {
            world.settles_with(|reason| matches!(reason, Reason::Resolved { .. }))
        }),
        Law::sometimes("completes though an answer was lost", |scenario, world| {
            world.shown == Some(State::Completed)
                && world.left.time_outs < scenario.faults.time_outs
        }),
        Law::sometimes("completes after the deadline", |_, world| {
            world.shown == Some(State::Completed)
                && world.deadline_passed
                && world.network.slots.iter().all(|slot| *slot == Slot::Idle)
        }),
        Law::sometimes("an end outlives a crash", |scenario, world| {
            world.live.is_settled() && world.left.crashes < scenario.faults.crashes
        }),
        Law::sometimes("a compensation finds nothing", |_, world| {
            world.participants.iter().any(|participant| participant.row == Row::Fenced)
        }),
        Law::sometimes("a compensation overtakes what may have run", |scenario, world| {
            // Two are pending, and the later one is taken back: an earlier incarnation may have asked it.
            let asked = Slot::Asked(Operation::Compensation);
            let mut states =
                steps(scenario.shape).zip(world.step_states()).zip(&world.network.slots);
            states.any(|((step, state), slot)| {
                let pending = |earlier| {
                    comes_after(scenario.shape, step, earlier)
                        && world.step_states().nth(usize::from(earlier)) == Some(PartState::Pending)
                };
                *slot == asked && state == PartState::Pending && steps(scenario.shape).any(pending)
            })
        }),
        Law::sometimes("a refusal after a lost attempt is compensated", |_, world| {
            let mut refused = world.step_states().zip(&world.network.slots);
            refused.any(|(state, slot)| {
                state == PartState::Failed && *slot == Slot::Asked(Operation::Compensation)
            })
        }),
        Law::sometimes("a late action meets its compensation", |_, world| {
            // A call that cannot change anything any more is left out of the strays: before it is.
            world.network.strays.iter().any(|stray| {
                stray.operation == Operation::Action
                    && world.network.slots[usize::from(stray.branch)]
                        == Slot::Asked(Operation::Compensation)
            })
        }),
        Law::sometimes("two are compensated at once", |_, world| {
            let asked = Slot::Asked(Operation::Compensation);
            world.network.slots.iter().filter(|slot| **slot == asked).count() > 1
        }),
        Law::sometimes("what needs no compensation stays", |_, world| {
            world.shown == Some(State::Compensated) && world.participants.iter().any(|p| p.stands())
        }),
        Law::sometimes("stuck", |_, world| world.live.is_stuck()),
        Law::sometimes("a stuck saga completes", |scenario, world| {
            world.shown == Some(State::Completed) && world.left.refusals < scenario.faults.refusals
        }),
    ]
}

impl World {
    /// Notes the faults of a call that leaves.
    pub fn witness_send(&mut self, scenario: &Scenario, effect: Effect) {
        let unsynced = self.log.tail.iter().any(|batch| batch.to_be_forced);
        self.note(DURABLE_FIRST, !unsynced);
        self.note(GIVEN, self.is_given_what_it_should(scenario, effect));
        if effect.operation == Operation::Action {
            // A call of an earlier incarnation counts, too.
            self.note(ONLY_BACK, !self.turned);
            let earlier = |step| comes_after(scenario.shape, effect.branch, step);
            let mut earlier = steps(scenario.shape).filter(|step| earlier(*step));
            let in_order = earlier.all(|step| self.participants[usize::from(step)].stands());
            self.note(IN_ORDER, in_order);
        }
    }

    /// An action is given the outputs of the steps that it names. A compensation is given its
    /// step's input and its output; without the output only if no log that a crash leaves has it.
    fn is_given_what_it_should(&self, scenario: &Scenario, effect: Effect) -> bool {
        let Some(request) = self.live.request(effect) else { return true };
        let step = effect.branch;
        let (given, input) = (request.payload.as_str(), payload(scenario.shape, step));
        if effect.operation == Operation::Action {
            return given == input;
        }
        let durable = self.log.durable.as_ref();
        let known = self.output(step).or_else(|| known_output(durable?, step));
        let with = format!(r#"{{"input":{input},"output":{}}}"#, output(step).as_str());
        given == with || (known.is_none() && given == format!(r#"{{"input":{input}}}"#))
    }

    /// Notes a compensation that has its effect too early: a step that comes after it is done, or
    /// may be once its call arrives. A step that needs no compensation is over as soon as the saga
    /// has turned back, even while its action is on its way.
    pub fn witness_undone(&mut self, scenario: &Scenario, step: StepIndex) {
        let over = steps(scenario.shape)
            .filter(|later| comes_after(scenario.shape, *later, step))
            .filter(|later| scenario.kind(*later) != Kind::Free)
            .all(|later| self.is_gone(scenario, later));
        self.note(IN_REVERSE, over);
    }

    /// Notes an answer that leaves the coordinator where it was.
    pub fn witness_answer(&mut self, to: Effect, conclusive: bool, before: &Transaction) {
        let asks_again = self.live.effects().any(|effect| effect == to);
        self.note(NOT_IN_VAIN, !(conclusive && asks_again && *before == self.live));
    }

    fn note(&mut self, property: &'static str, holds: bool) {
        if !holds && self.kept(property) {
            self.misdeeds.push(property);
        }
    }

    fn kept(&self, property: &str) -> bool {
        !self.misdeeds.contains(&property)
    }

    /// The step has no effect, and nothing on its way gives it one.
    fn is_gone(&self, scenario: &Scenario, step: StepIndex) -> bool {
        !self.participants[usize::from(step)].stands() && !self.may_still_run(scenario, step)
    }

    /// Completed: every step's effect is there, and nothing on its way takes it back. Compensated:
    /// none is, or will be, but for those that need no compensation.
    fn is_whole(&self, scenario: &Scenario) -> bool {
        if self.live.state() == State::Completed {
            return self.participants.iter().all(|participant| participant.stands())
                && !self.turned;
        }
        let mut steps = steps(scenario.shape);
        steps.all(|step| scenario.kind(step) == Kind::Free || self.is_gone(scenario, step))
    }

    /// While the pivot's effect is there no compensation has one. A participant that forgets its
    /// refusals may do a pivot that was refused, which is taken back first; one with a barrier
    /// takes back nothing once the pivot was done.
    fn has_no_way_back(&self, scenario: &Scenario) -> bool {
        let Some(pivot) = pivot(scenario.shape) else { return true };
        let pivot = &self.participants[pivot];
        let done = match scenario.memory {
            Memory::Barrier => pivot.ran > 0,
            _ => pivot.stands(),
        };
        !done || self.participants.iter().all(|participant| participant.undone == 0)
    }

    /// Nothing is under way, and nothing will be.
    fn is_quiet(&self, scenario: &Scenario) -> bool {
        let idle = self.network.slots.iter().all(|slot| *slot == Slot::Idle);
        idle && self.sendable(scenario).is_empty() && !self.must_sync() && self.broken.is_none()
    }

    fn settles_with(&self, because: fn(&Reason) -> bool) -> bool {
        self.shown == Some(State::Compensated) && self.live.reason().is_some_and(because)
    }
}
