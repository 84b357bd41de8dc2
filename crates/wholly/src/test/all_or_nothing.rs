//! Checks that a settled transaction happened at its participants as the log says.

use wholly_core::saga::Record;
use wholly_core::{BranchName, End, PartState, ParticipantName, Pattern, State, TransactionId};

use super::scripted::{Scripted, Standing};
use super::steps::StepStanding;
use crate::Snapshot;

/// Describes a participant's wrong standing; `None` if it is right. Without a snapshot the log does
/// not hold the transaction, so it has never happened.
pub(super) fn wrong_at(
    id: TransactionId,
    snapshot: Option<&Snapshot>,
    name: &str,
    scripted: &Scripted,
) -> Option<String> {
    let standing = scripted.standing(id);
    if !stands_right(snapshot, name, standing) {
        return Some(format!("{name} stands at {standing:?}"));
    }
    let saga = snapshot.filter(|snapshot| snapshot.pattern == Some(Pattern::Saga));
    let is_its_own = |asked: &BranchName| {
        let mut steps = saga.into_iter().flat_map(|saga| &saga.steps);
        steps.any(|step| step.name == *asked && is_of(&step.participant, name))
    };
    if let Some(step) = scripted.steps(id).into_iter().find(|step| !is_its_own(step)) {
        return Some(format!("{name} was asked for {step}, which is none of its steps"));
    }
    saga.and_then(|saga| wrong_step_at(saga, name, scripted))
}

/// In two phases.
fn stands_right(snapshot: Option<&Snapshot>, name: &str, standing: Option<Standing>) -> bool {
    let state = snapshot.map_or(Some(State::Aborted), |snapshot| snapshot.state);
    let takes_part = |snapshot: &Snapshot| {
        snapshot.branches.iter().any(|branch| is_of(&branch.participant, name))
    };
    match standing {
        Some(Standing::ReadOnly) => true,
        Some(Standing::Committed) => state == Some(State::Committed),
        Some(Standing::Aborted) => state == Some(State::Aborted),
        Some(Standing::Prepared) => false,
        None => state == Some(State::Aborted) || !snapshot.is_some_and(takes_part),
    }
}

fn wrong_step_at(saga: &Snapshot, name: &str, scripted: &Scripted) -> Option<String> {
    for step in &saga.steps {
        if !is_of(&step.participant, name) {
            continue;
        }
        let standing = scripted.step(saga.id, step.name.as_str());
        let right = match saga.state.and_then(State::end) {
            Some(End::Made) => step.state == PartState::Completed && is_done(standing),
            Some(End::Undone) | None => {
                step.state != PartState::Completed && {
                    may_stay(saga, &step.name) || is_undone(step.state, standing)
                }
            }
        };
        if !right {
            let (step, state) = (&step.name, step.state);
            return Some(format!(
                "the step {step} is {state:?}, and {name} stands at {standing:?}"
            ));
        }
    }
    None
}

fn is_of(participant: &Option<ParticipantName>, name: &str) -> bool {
    participant.as_ref().is_some_and(|participant| participant.as_str() == name)
}

fn is_done(standing: Option<StepStanding>) -> bool {
    standing == Some(StepStanding::Completed)
}

/// True if a step is undone: taken back if it was done, absent if it was refused or never asked
/// for, and either if it may have been done.
fn is_undone(state: PartState, standing: Option<StepStanding>) -> bool {
    use StepStanding::{Compensated, Empty, Refused};
    match state {
        PartState::Compensated => matches!(standing, Some(Compensated | Empty | Refused)),
        PartState::Failed => standing == Some(Refused),
        PartState::Pending => standing.is_none(),
        PartState::Completed
        | PartState::Working
        | PartState::Prepared
        | PartState::Committed
        | PartState::Aborted => false,
    }
}

/// True if a step needs no compensation.
fn may_stay(saga: &Snapshot, step: &BranchName) -> bool {
    let Some(wholly_core::Record::Saga(Record::Started(started))) =
        saga.history.first().map(|event| &event.record)
    else {
        return false;
    };
    started
        .saga
        .steps()
        .any(|(own, node)| own.name.as_str() == step.as_str() && node.compensation.is_none())
}
