//! The rules for a saga's actions and compensations. The table is [`barrier`](super)'s.

use wholly_core::wire::{Answer, Operation, cut};
use wholly_core::{OperationName, Payload, Timestamp};

use super::{State, mixed, too_late};

/// What an action comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<O> {
    /// It is done. This is its output: later steps may refer to it, and its compensation is given
    /// it.
    Done(O),
    /// It cannot be done, for this reason. What it wrote is rolled back.
    Refused(String),
}

/// What a call leads to: all of it in one database transaction, durable before the answer leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<W> {
    /// Change nothing, and say this.
    Say(Answer),
    /// Write the step's first row, and say this.
    Record(State, Answer),
    /// Run the operation, with this.
    Run(W),
}

/// What to do when the action `name` is asked of a step whose row is `found`, at `now`. Once it has
/// run, [`acted`] says what follows.
///
/// `expires` is when it may no longer take effect. It only matters to the first one: what has been
/// answered is answered so again, at any time.
///
/// ```
/// # use wholly_core::{OperationName, Timestamp};
/// # use wholly_core::wire::Answer;
/// # use wholly_participant::barrier::{State, saga};
/// # use saga::{Next, action, compensation};
/// let now = Timestamp::from_millis(1);
/// let pay = OperationName::new("pay")?;
/// // The compensation overtook the action. It wins, and leaves a row ...
/// let first = compensation(None, &pay, false);
/// assert_eq!(first, Next::Record(State::CompensatedEmpty, Answer::Done));
/// // ... that refuses the action.
/// let late = action(Some(&State::CompensatedEmpty), &pay, None, now);
/// assert!(matches!(late, Next::Say(Answer::Refused { .. })));
/// # Ok::<(), wholly_core::InvalidName>(())
/// ```
pub fn action(
    found: Option<&State>,
    name: &OperationName,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Next<()> {
    Next::Say(match found {
        None => match expires.filter(|&expires| expires <= now) {
            None => return Next::Run(()),
            Some(at) => {
                let (state, answer) = refuse(too_late(Operation::Action, at, now));
                return Next::Record(state, answer);
            }
        },
        Some(State::Done { action, .. }) if action != name => another(action),
        Some(State::Done { output, .. }) => done(output.clone()),
        Some(State::ActionRefused { reason }) => Answer::refused(reason.as_str()),
        Some(State::Compensated) => Answer::refused("this step was compensated before"),
        Some(State::CompensatedEmpty) => {
            Answer::refused("this step's compensation came before its action")
        }
        Some(_) => mixed(),
    })
}

/// What the row says, and what is answered, once the action `name` has run.
pub fn acted(name: &OperationName, outcome: Outcome<Payload>) -> (State, Answer) {
    match outcome {
        Outcome::Done(output) => {
            let state = State::Done { action: name.clone(), output: output.clone() };
            (state, done(output))
        }
        Outcome::Refused(reason) => refuse(reason),
    }
}

/// What to do when the compensation of the action `name` is asked of a step whose row is `found`.
/// It is to run with the action's output; the step is then compensated, and the answer is done.
///
/// `known_done` is whether the coordinator has an output of the action.
pub fn compensation(
    found: Option<&State>,
    name: &OperationName,
    known_done: bool,
) -> Next<Payload> {
    Next::Say(match found {
        // INVARIANT: done is never claimed of what was done and not taken back.
        None if known_done => Answer::unknown(
            "this step was done, but not here, so there is nothing to take back; \
             is the service's database an old copy, or was the step purged too early?",
        ),
        None => return Next::Record(State::CompensatedEmpty, Answer::Done),
        Some(State::Done { action, .. }) if action != name => another(action),
        Some(State::Done { output, .. }) => return Next::Run(output.clone()),
        Some(State::ActionRefused { .. } | State::Compensated | State::CompensatedEmpty) => {
            Answer::Done
        }
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

/// The row keeps the reason as it is answered, so that it can be repeated.
fn refuse(reason: String) -> (State, Answer) {
    let reason = cut(reason);
    (State::ActionRefused { reason: reason.clone() }, Answer::Refused { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn pay() -> OperationName {
        OperationName::new("pay").unwrap()
    }

    fn done_by(action: &str) -> State {
        let output = Payload::of(&7).unwrap();
        State::Done { action: OperationName::new(action).unwrap(), output }
    }

    fn short<W>(next: &Next<W>) -> &'static str {
        match next {
            Next::Say(Answer::Done) => "done",
            Next::Say(Answer::DoneWith { output }) if output.as_str() == "7" => "done with 7",
            Next::Say(Answer::Refused { .. }) => "refused",
            Next::Say(Answer::Unknown { .. }) => "unknown",
            Next::Record(State::ActionRefused { .. }, Answer::Refused { .. }) => "record refused",
            Next::Record(State::CompensatedEmpty, Answer::Done) => "record empty",
            Next::Run(_) => "run",
            _ => "what has no place in the table",
        }
    }

    #[test]
    fn every_state_and_operation_leads_where_the_table_says() {
        let refused = State::ActionRefused { reason: "declined".into() };
        let (early, late) = (None, Some(NOW));
        let table = [
            (None, early, ["run", "record empty", "unknown"]),
            (None, late, ["record refused", "record empty", "unknown"]),
            (Some(done_by("pay")), late, ["done with 7", "run", "run"]),
            (Some(done_by("reserve")), late, ["unknown", "unknown", "unknown"]),
            (Some(refused), late, ["refused", "done", "done"]),
            (Some(State::Compensated), late, ["refused", "done", "done"]),
            (Some(State::CompensatedEmpty), late, ["refused", "done", "done"]),
            (Some(State::Prepared), late, ["unknown", "unknown", "unknown"]),
            (Some(State::Committed), late, ["unknown", "unknown", "unknown"]),
            (Some(State::CommittedOnePhase), late, ["unknown", "unknown", "unknown"]),
            (Some(State::Aborted), late, ["unknown", "unknown", "unknown"]),
            (Some(State::ReadOnly), late, ["unknown", "unknown", "unknown"]),
            (Some(State::Refused { reason: "no".into() }), late, ["unknown"; 3]),
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
    fn what_has_run_is_answered_the_same_again() {
        let outcomes = [
            Outcome::Done(Payload::of(&7).unwrap()),
            Outcome::Done(Payload::null()),
            Outcome::Refused("é".repeat(1_000)),
        ];
        for outcome in outcomes {
            let (state, answer) = acted(&pay(), outcome.clone());
            assert_eq!(action(Some(&state), &pay(), Some(NOW), NOW), Next::Say(answer.clone()));
            match (outcome, answer) {
                (Outcome::Done(output), answer) => {
                    assert_eq!(answer == Answer::Done, output == Payload::null());
                    assert_eq!(compensation(Some(&state), &pay(), true), Next::Run(output));
                }
                (Outcome::Refused(_), Answer::Refused { reason }) => assert!(reason.len() <= 500),
                (outcome, answer) => panic!("{answer:?} to {outcome:?}"),
            }
        }
    }

    #[test]
    fn an_action_takes_effect_until_just_before_it_expires() {
        let before = Timestamp::from_millis(999);
        assert_eq!(action(None, &pay(), Some(NOW), before), Next::Run(()));
        let Next::Record(state, answer) = action(None, &pay(), Some(NOW), NOW) else {
            panic!("it took effect too late");
        };
        assert_eq!(action(Some(&state), &pay(), None, before), Next::Say(answer));
    }
}
