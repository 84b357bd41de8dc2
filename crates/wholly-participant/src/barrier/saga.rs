//! The rules for a saga's actions and compensations. The table is [`barrier`](super)'s.

use wholly_core::wire::{Answer, Operation, cut};
use wholly_core::{OperationName, Payload, Timestamp};

use super::{RowState, Transition, mixed, too_late};

/// The outcome of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionOutcome<O> {
    /// It is done. Later steps may refer to its output, and its compensation is given it.
    Done(O),
    /// It cannot be done, for this reason. Its writes are rolled back.
    Refused(String),
}

impl<O> ActionOutcome<O> {
    /// True if the writes of the action stay.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// The transition of a step whose row is `found`, when the action `name` is called at `now`. Once the
/// action has run, [`acted`] gives its row.
///
/// From `expires` on, the action may not take effect. It matters only to the first call: a repeated call
/// has the same answer at any time.
///
/// ```
/// # use wholly_core::{OperationName, Timestamp};
/// # use wholly_core::wire::Answer;
/// # use wholly_participant::barrier::{RowState, Transition, saga};
/// # use saga::{action, compensation};
/// let now = Timestamp::from_millis(1);
/// let pay = OperationName::new("pay")?;
/// // The compensation overtook the action. It wins, and leaves a row ...
/// let first = compensation(None, &pay, false);
/// assert_eq!(first, Transition::Record(RowState::CompensatedEmpty, Answer::Done));
/// // ... that refuses the action.
/// let late = action(Some(&RowState::CompensatedEmpty), &pay, None, now);
/// assert!(matches!(late, Transition::Answer(Answer::Refused { .. })));
/// # Ok::<(), wholly_core::InvalidName>(())
/// ```
pub fn action(
    found: Option<&RowState>,
    name: &OperationName,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Transition<()> {
    Transition::Answer(match found {
        None => match expires.filter(|&expires| expires <= now) {
            None => return Transition::Run(()),
            Some(at) => {
                let (state, answer) = refuse(too_late(Operation::Action, at, now));
                return Transition::Record(state, answer);
            }
        },
        Some(RowState::Done { action, .. }) if action != name => another(action),
        Some(RowState::Done { output, .. }) => done(output.clone()),
        Some(RowState::ActionRefused { reason }) => Answer::refused(reason.as_str()),
        Some(RowState::Compensated) => Answer::refused("this step was compensated before"),
        Some(RowState::CompensatedEmpty) => {
            Answer::refused("this step's compensation came before its action")
        }
        Some(_) => mixed(),
    })
}

/// The first row and the answer after the action `name` has run.
pub fn acted(name: &OperationName, outcome: ActionOutcome<Payload>) -> (RowState, Answer) {
    match outcome {
        ActionOutcome::Done(output) => {
            let state = RowState::Done { action: name.clone(), output: output.clone() };
            (state, done(output))
        }
        ActionOutcome::Refused(reason) => refuse(reason),
    }
}

/// The transition of a step whose row is `found`, when the compensation of the action `name` is called.
/// The compensation runs with the action's output; the step is then compensated, and the answer is done.
///
/// `known_done` is true if the coordinator has an output of the action.
pub fn compensation(
    found: Option<&RowState>,
    name: &OperationName,
    known_done: bool,
) -> Transition<Payload> {
    Transition::Answer(match found {
        // INVARIANT: done is never claimed of an action that was done and not compensated.
        None if known_done => Answer::unknown(
            "this step was done, but not here, so there is nothing to take back; \
             is the service's database an old copy, or was the step purged too early?",
        ),
        None => return Transition::Record(RowState::CompensatedEmpty, Answer::Done),
        Some(RowState::Done { action, .. }) if action != name => another(action),
        Some(RowState::Done { output, .. }) => return Transition::Run(output.clone()),
        Some(
            RowState::ActionRefused { .. } | RowState::Compensated | RowState::CompensatedEmpty,
        ) => Answer::Done,
        Some(_) => mixed(),
    })
}

fn another(action: &OperationName) -> Answer {
    Answer::unknown(format!(
        "this step has done the action {action}, and the service has not declared what is asked as \
         that action or its compensation; does the saga's definition name the right operations?"
    ))
}

fn done(output: Payload) -> Answer {
    match output.as_str() {
        "null" => Answer::Done,
        _ => Answer::DoneWith { output },
    }
}

/// The row keeps the reason as it is answered, for repeated answers.
fn refuse(reason: String) -> (RowState, Answer) {
    let reason = cut(reason);
    (RowState::ActionRefused { reason: reason.clone() }, Answer::Refused { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn pay() -> OperationName {
        OperationName::new("pay").unwrap()
    }

    fn done_by(action: &str) -> RowState {
        let output = Payload::of(&7).unwrap();
        RowState::Done { action: OperationName::new(action).unwrap(), output }
    }

    fn short<W>(next: &Transition<W>) -> &'static str {
        match next {
            Transition::Answer(Answer::Done) => "done",
            Transition::Answer(Answer::DoneWith { output }) if output.as_str() == "7" => {
                "done with 7"
            }
            Transition::Answer(Answer::Refused { .. }) => "refused",
            Transition::Answer(Answer::Unknown { .. }) => "unknown",
            Transition::Record(RowState::ActionRefused { .. }, Answer::Refused { .. }) => {
                "record refused"
            }
            Transition::Record(RowState::CompensatedEmpty, Answer::Done) => "record empty",
            Transition::Run(_) => "run",
            _ => "what has no place in the table",
        }
    }

    #[test]
    fn every_state_and_operation_leads_where_the_table_says() {
        let refused = RowState::ActionRefused { reason: "declined".into() };
        let (early, late) = (None, Some(NOW));
        let table = [
            (None, early, ["run", "record empty", "unknown"]),
            (None, late, ["record refused", "record empty", "unknown"]),
            (Some(done_by("pay")), late, ["done with 7", "run", "run"]),
            (Some(done_by("reserve")), late, ["unknown", "unknown", "unknown"]),
            (Some(refused), late, ["refused", "done", "done"]),
            (Some(RowState::Compensated), late, ["refused", "done", "done"]),
            (Some(RowState::CompensatedEmpty), late, ["refused", "done", "done"]),
            (Some(RowState::Prepared), late, ["unknown", "unknown", "unknown"]),
            (Some(RowState::Committed), late, ["unknown", "unknown", "unknown"]),
            (Some(RowState::CommittedOnePhase), late, ["unknown", "unknown", "unknown"]),
            (Some(RowState::Aborted), late, ["unknown", "unknown", "unknown"]),
            (Some(RowState::ReadOnly), late, ["unknown", "unknown", "unknown"]),
            (Some(RowState::Refused { reason: "no".into() }), late, ["unknown"; 3]),
        ];
        for (found, expires, expected) in table {
            let found = found.as_ref();
            let seen = [
                short(&action(found, &pay(), expires, NOW)),
                short(&compensation(found, &pay(), false)),
                short(&compensation(found, &pay(), true)),
            ];
            assert_eq!(seen, expected, "of {found:?}, {expires:?}");
        }
    }

    #[test]
    fn an_action_that_has_run_is_answered_the_same_again() {
        let outcomes = [
            ActionOutcome::Done(Payload::of(&7).unwrap()),
            ActionOutcome::Done(Payload::null()),
            ActionOutcome::Refused("é".repeat(1_000)),
        ];
        for outcome in outcomes {
            let (state, answer) = acted(&pay(), outcome.clone());
            assert_eq!(
                action(Some(&state), &pay(), Some(NOW), NOW),
                Transition::Answer(answer.clone())
            );
            match (outcome, answer) {
                (ActionOutcome::Done(output), answer) => {
                    assert_eq!(answer == Answer::Done, output == Payload::null());
                    assert_eq!(compensation(Some(&state), &pay(), true), Transition::Run(output));
                }
                (ActionOutcome::Refused(_), Answer::Refused { reason }) => {
                    assert!(reason.len() <= 500)
                }
                (outcome, answer) => panic!("{answer:?} to {outcome:?}"),
            }
        }
    }

    #[test]
    fn an_action_takes_effect_until_just_before_it_expires() {
        let before = Timestamp::from_millis(999);
        assert_eq!(action(None, &pay(), Some(NOW), before), Transition::Run(()));
        let Transition::Record(state, answer) = action(None, &pay(), Some(NOW), NOW) else {
            panic!("it took effect too late");
        };
        assert_eq!(action(Some(&state), &pay(), None, before), Transition::Answer(answer));
    }
}
