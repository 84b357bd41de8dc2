//! The properties that always hold, and the sights that must be reachable.

use stateright::Property;
use wholly_core::BranchIndex;
use wholly_core::two_phase::{AbortReason, Decision};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{PartState, Protocol as _};

use crate::network::Slot;
use crate::participant::Holds;
use crate::scenario::Scenario;
use crate::world::World;

type Law = Property<Scenario>;

pub const ALL_OR_NOTHING: &str = "all or nothing";
pub const EVERY_YES: &str = "commit needs every yes";
pub const NEVER_CHANGES: &str = "what was shown never changes";
pub const NO_ORPHAN: &str = "settled leaves no orphan";
pub const SETTLED_IS_DONE: &str = "settled is done";
pub const NO_LAW_BROKEN: &str = "the core breaks no law of its own";
pub const NOT_IN_VAIN: &str = "no answer is in vain";
pub const QUIET_IS_SETTLED: &str = "what is quiet is settled";

/// The properties of the protocol.
///
/// The last two together say that every run ends settled once faults stop: each answer changes
/// the transaction, which changes only so often; each time-out, crash and pending answer uses up
/// one of finitely many; and where nothing is left to happen, the transaction is settled.
pub fn laws() -> Vec<Property<Scenario>> {
    vec![
        Law::always(ALL_OR_NOTHING, |_, world| world.is_whole()),
        Law::always(EVERY_YES, |_, world| {
            let committed = world.live.decision() == Some(Decision::Committed);
            !committed || world.participants.iter().all(|participant| participant.agreed)
        }),
        Law::always(NEVER_CHANGES, |_, world| match (world.shown, world.live.decision()) {
            (Some(shown), Some(decision)) => shown == decision,
            _ => true,
        }),
        Law::always(NO_ORPHAN, |scenario, world| {
            !world.live.is_settled() || world.has_no_orphan(scenario)
        }),
        Law::always(SETTLED_IS_DONE, |_, world| !world.live.is_settled() || world.is_done()),
        Law::always(NO_LAW_BROKEN, |_, world| {
            let misled = world.participants.iter().any(|participant| participant.misled);
            world.broken.is_none() && !misled
        }),
        Law::always(NOT_IN_VAIN, |_, world| !world.in_vain),
        Law::always(QUIET_IS_SETTLED, |scenario, world| {
            !world.is_quiet(scenario) || world.live.is_settled()
        }),
    ]
}

/// The sights that must be reachable where a scenario says so.
pub fn sights() -> Vec<Property<Scenario>> {
    vec![
        Law::sometimes("commits", |_, world| {
            world.live.is_settled() && world.live.decision() == Some(Decision::Committed)
        }),
        Law::sometimes("aborts: refused", |_, world| {
            world.settles_with(|reason| matches!(reason, AbortReason::Refused { .. }))
        }),
        Law::sometimes("aborts: deadline", |_, world| {
            world.settles_with(|reason| matches!(reason, AbortReason::Deadline { .. }))
        }),
        Law::sometimes("aborts: cancelled", |_, world| {
            world.settles_with(|reason| matches!(reason, AbortReason::Cancelled { .. }))
        }),
        Law::sometimes("aborts: restarted", |_, world| {
            world.settles_with(|reason| *reason == AbortReason::Restarted)
        }),
        Law::sometimes("a commit outlives a crash", |scenario, world| {
            world.live.is_settled()
                && world.live.decision() == Some(Decision::Committed)
                && world.left.crashes < scenario.faults.crashes
        }),
        Law::sometimes("a shown abort is lost and decided again", |_, world| {
            world.shown == Some(Decision::Aborted)
                && world.live.abort_reason() == Some(&AbortReason::Restarted)
                && world.deadline_passed
        }),
        Law::sometimes("read-only drops out", |_, world| {
            let live = &world.live;
            live.branches()
                .iter()
                .any(|branch| branch.is_over() && live.branch_state(branch) == PartState::Prepared)
        }),
        Law::sometimes("read-only after a lost attempt is committed", |_, world| {
            world.live.effects().any(|effect| {
                let participant = &world.participants[usize::from(effect.branch)];
                effect.operation == Operation::Commit && participant.read_only
            })
        }),
        Law::sometimes("a no after a lost attempt is aborted", |_, world| {
            let Some(AbortReason::Refused { participant, .. }) = world.live.abort_reason() else {
                return false;
            };
            world.live.effects().any(|effect| {
                world.live.branches()[usize::from(effect.branch)].participant() == participant
            })
        }),
        Law::sometimes("a no after the abort ends its branch", |_, world| {
            // A participant that is told to abort as well remembers that instead.
            let live = &world.live;
            live.is_settled() && world.participants.iter().all(|p| p.holds == Holds::Refused)
        }),
        Law::sometimes("a late prepare meets an abort", |_, world| {
            world.network.strays.iter().any(|stray| {
                let holds = world.participants[usize::from(stray.branch)].holds;
                stray.operation.is_first_phase() && holds == Holds::Ended(Decision::Aborted)
            })
        }),
        Law::sometimes("a fence is sent", |_, world| {
            world.shown.is_none() && world.network.slots.contains(&Slot::Asked(Operation::Abort))
        }),
        Law::sometimes("a fence finds a commit", |_, world| {
            world.shown.is_none()
                && world
                    .network
                    .slots
                    .contains(&Slot::Answered(Operation::Abort, Answer::heuristic("ended")))
        }),
        Law::sometimes("commits though the answer was lost", |scenario, world| {
            world.live.is_settled()
                && world.live.decision() == Some(Decision::Committed)
                && world.left.time_outs < scenario.faults.time_outs
        }),
        Law::sometimes("stuck after many tries", |_, world| world.live.is_stuck()),
        Law::sometimes("a heuristic is reported", |_, world| {
            (0..world.participants.len() as BranchIndex)
                .any(|branch| world.waits_for_a_person(branch))
        }),
        Law::sometimes("a heuristic is resolved", |_, world| {
            world.live.is_settled()
                && world.participants.iter().any(|participant| {
                    matches!(participant.holds, Holds::Heuristic(ended)
                        if Some(ended) != world.live.decision())
                })
        }),
    ]
}

impl World {
    /// True if a heuristic was recorded for the branch and nobody has resolved it.
    pub fn waits_for_a_person(&self, branch: BranchIndex) -> bool {
        let found = &self.live.branches()[usize::from(branch)];
        let asked = self.live.effects().any(|effect| effect.branch == branch);
        found.stuck().is_some() && !found.is_over() && !asked
    }

    /// Nobody is committed while another is aborted; the client counts as one of them. A
    /// participant's own heuristic is no concern of the protocol.
    fn is_whole(&self) -> bool {
        let told = |decision| {
            self.shown == Some(decision)
                || self.participants.iter().any(|participant| participant.ended() == Some(decision))
        };
        !(told(Decision::Committed) && told(Decision::Aborted))
    }

    /// Nothing is held in doubt, and nothing on its way could make it so.
    fn has_no_orphan(&self, scenario: &Scenario) -> bool {
        let held = self.participants.iter().any(|p| p.holds == Holds::Prepared);
        let slots = (0..).zip(&self.network.slots).filter_map(|(branch, slot)| match slot {
            Slot::Asked(operation) => Some((branch, *operation)),
            _ => None,
        });
        let strays = self.network.strays.iter().map(|stray| (stray.branch, stray.operation));
        let mut coming = slots.chain(strays);
        !held
            && !coming.any(|(branch, operation): (BranchIndex, _)| {
                let participant = &self.participants[usize::from(branch)];
                // A barrier that only ever says no or read-only holds nothing.
                participant.is_free(operation, scenario.memory)
            })
    }

    /// Every participant has done as decided, but for branches that an operator has resolved.
    fn is_done(&self) -> bool {
        let decided = self.live.decision();
        self.participants.iter().all(|participant| match participant.holds {
            Holds::Heuristic(_) => true,
            Holds::Ended(ended) => Some(ended) == decided,
            Holds::Nothing | Holds::Refused | Holds::ReadOnly => {
                decided == Some(Decision::Aborted) || participant.read_only
            }
            Holds::Prepared => false,
        })
    }

    /// Nothing is under way, and nothing will be.
    fn is_quiet(&self, scenario: &Scenario) -> bool {
        let waits =
            (0..self.network.slots.len() as BranchIndex).any(|b| self.waits_for_a_person(b));
        let idle = self.network.slots.iter().all(|slot| *slot == Slot::Idle);
        let nothing_to_do = self.sendable(scenario).is_empty() && !self.must_sync(scenario);
        idle && nothing_to_do && !waits && self.broken.is_none()
    }

    fn settles_with(&self, because: fn(&AbortReason) -> bool) -> bool {
        self.live.is_settled() && self.live.abort_reason().is_some_and(because)
    }
}
