//! The barrier: the rules for calls that come late, twice or out of order.
//!
//! A coordinator calls at least once, and a later call may overtake an earlier one. The service keeps
//! one row for each branch, in the same database as its business data, and changes both in the same
//! database transaction. The row and the call decide everything:
//!
//! | the branch is | prepare | commit | abort | commit-one-phase |
//! |---|---|---|---|---|
//! | *no row* (working) | **validate** | unknown | *aborted*, done | **validate**, **apply** |
//! | *no row*, expired | *refused* | unknown | *aborted*, done | *refused* |
//! | prepared | done | **apply**, *committed*, done | **release**, *aborted*, done | unknown |
//! | committed | done | done | heuristic | done |
//! | committed-one-phase | unknown | done | heuristic | done |
//! | aborted | refused | heuristic | done | refused |
//! | read-only | read-only | done | done | done |
//! | refused | refused | heuristic | done | refused |
//!
//! A vote makes the first row: yes makes *prepared* (or, in one phase, *committed-one-phase*), no
//! makes *refused*, read-only makes *read-only*. An abort that comes first (an *empty* abort) leaves a
//! row, and so the prepare that it overtook (a *suspended* prepare) is refused and holds nothing for
//! ever. Both are described for TCC in Apache Seata.
//!
//! A saga's step has a row of the same kind, under the step's name:
//!
//! | the step is | action | compensation |
//! |---|---|---|
//! | *no row* (pending) | **act** | *compensated-empty*, done |
//! | *no row*, expired | *action-refused* | |
//! | *no row*, known to be done | | unknown |
//! | done | done, with the same output | **compensate**, *compensated*, done |
//! | action-refused | refused | done |
//! | compensated, compensated-empty | refused | done |
//!
//! A compensation that comes first (an *empty* compensation) leaves a row, too, and the action that it
//! overtook is refused. But if the coordinator has the action's output and there is no row, the row was
//! lost, and perhaps the change with it: the service does not answer done.
//!
//! Unknown never changes a row. It answers calls that no correct coordinator makes: a commit or a
//! compensation of something that was never done here (is this an old copy of the database?), a mix of
//! one phase and two, of two-phase and a saga, or of one action and another's compensation.
//!
//! The rules are pure, so that every database executes the same ones; [`local`](crate::local) says
//! in which order.

pub mod saga;

use wholly_core::wire::{Answer, Operation, cut};
use wholly_core::{OperationName, Payload, Timestamp};

/// The vote of a participant on a prepare or a one-phase commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote<P> {
    /// The change can be made. Apply and release are given the prepared data, which is durable until
    /// then.
    Yes(P),
    /// There is nothing to change: the branch takes no part in the second phase. The writes of
    /// validation are rolled back.
    ReadOnly,
    /// The change cannot be made, for this reason. The writes of validation are rolled back.
    No(String),
}

impl<P> Vote<P> {
    /// True if the writes of validation stay.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

/// The state of a branch or step, as its row has it. A branch without a row is *working*, a step
/// *pending*.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowState {
    /// It voted yes and is in doubt: the row keeps the prepared data.
    Prepared,
    /// It was prepared, and the change has been made.
    Committed,
    /// The change was validated and made at once.
    CommittedOnePhase,
    /// The change was not made, and never will be.
    Aborted,
    /// It had nothing to change.
    ReadOnly,
    /// It voted no. A refusal is final.
    Refused {
        /// The reason, as it was answered the first time.
        reason: String,
    },
    /// A saga's step: the action has been done.
    Done {
        /// The name of the action.
        action: OperationName,
        /// Its output, for repeated answers and for its compensation.
        output: Payload,
    },
    /// A saga's step: the action was refused. A refusal is final.
    ActionRefused {
        /// The reason, as it was answered the first time.
        reason: String,
    },
    /// A saga's step: the action was done, and then compensated.
    Compensated,
    /// A saga's step: the compensation came first. There is nothing to compensate, and there never will
    /// be.
    CompensatedEmpty,
}

/// The consequence of a call: all of it in one database transaction, durable before the answer
/// leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition<R> {
    /// Change nothing, and give this answer.
    Answer(Answer),
    /// Write the first row of the branch or step, and give this answer.
    Record(RowState, Answer),
    /// Run the service's code.
    Run(R),
}

/// The part of the service's code that a call in two-phase runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchMethod {
    /// Validate; [`voted`] gives the row and the answer.
    Validate,
    /// Apply the prepared data; the branch is then committed, and the answer is done.
    Apply,
    /// Release what the prepared data holds; the branch is then aborted, and the answer is done.
    Release,
}

/// The transition of a branch whose row is `found`, when `operation` of two-phase is called at `now`.
///
/// From `expires` on, a prepare or a one-phase commit may not take effect. It matters only to the first
/// call: a repeated call has the same answer at any time.
///
/// ```
/// # use wholly_core::Timestamp;
/// # use wholly_core::wire::{Answer, Operation};
/// # use wholly_participant::barrier::{RowState, Transition, decide};
/// let now = Timestamp::from_millis(1);
/// // The abort overtook the prepare. It wins, and leaves a row ...
/// let abort = decide(None, Operation::Abort, None, now);
/// assert_eq!(abort, Transition::Record(RowState::Aborted, Answer::Done));
/// // ... that refuses the prepare.
/// let late = decide(Some(&RowState::Aborted), Operation::Prepare, None, now);
/// assert!(matches!(late, Transition::Answer(Answer::Refused { .. })));
/// ```
pub fn decide(
    found: Option<&RowState>,
    operation: Operation,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Transition<BranchMethod> {
    match found {
        None => begin(operation, expires.filter(|&expires| expires <= now), now),
        Some(RowState::Prepared) => in_doubt(operation),
        Some(ended) => Transition::Answer(repeat(ended, operation)),
    }
}

/// The first row and the answer after the vote on a prepare or a one-phase commit. In one phase a yes is
/// applied before.
pub fn voted<P>(operation: Operation, vote: &Vote<P>) -> (RowState, Answer) {
    match (vote, operation) {
        (Vote::Yes(_), Operation::CommitOnePhase) => (RowState::CommittedOnePhase, Answer::Done),
        (Vote::Yes(_), _) => (RowState::Prepared, Answer::Done),
        (Vote::ReadOnly, Operation::CommitOnePhase) => (RowState::ReadOnly, Answer::Done),
        (Vote::ReadOnly, _) => (RowState::ReadOnly, Answer::ReadOnly),
        (Vote::No(reason), _) => refuse(reason.clone()),
    }
}

fn begin(
    operation: Operation,
    expired: Option<Timestamp>,
    now: Timestamp,
) -> Transition<BranchMethod> {
    match (operation, expired) {
        (Operation::Prepare | Operation::CommitOnePhase, Some(at)) => {
            let (state, answer) = refuse(too_late(operation, at, now));
            Transition::Record(state, answer)
        }
        (Operation::Prepare | Operation::CommitOnePhase, None) => {
            Transition::Run(BranchMethod::Validate)
        }
        (Operation::Abort, _) => Transition::Record(RowState::Aborted, Answer::Done),
        // INVARIANT: done is never claimed of a change that was not made.
        (Operation::Commit, _) => Transition::Answer(Answer::unknown(
            "this branch was never prepared here, so there is nothing to commit; \
             is the service's database an old copy, or another service's?",
        )),
        (Operation::Action | Operation::Compensation, _) => Transition::Answer(mixed()),
    }
}

fn in_doubt(operation: Operation) -> Transition<BranchMethod> {
    match operation {
        Operation::Prepare => Transition::Answer(Answer::Done),
        Operation::Commit => Transition::Run(BranchMethod::Apply),
        Operation::Abort => Transition::Run(BranchMethod::Release),
        Operation::CommitOnePhase => Transition::Answer(Answer::unknown(
            "this branch is prepared and waits for commit or abort; it cannot commit in one phase",
        )),
        Operation::Action | Operation::Compensation => Transition::Answer(mixed()),
    }
}

/// INVARIANT: the row of an ended branch never changes: no branch is committed and then aborted.
fn repeat(ended: &RowState, operation: Operation) -> Answer {
    let aborted = "this branch was aborted before";
    match (ended, operation) {
        (_, Operation::Action | Operation::Compensation)
        | (
            RowState::Done { .. }
            | RowState::ActionRefused { .. }
            | RowState::Compensated
            | RowState::CompensatedEmpty,
            _,
        ) => mixed(),
        (RowState::CommittedOnePhase, Operation::Prepare) => {
            Answer::unknown("this branch has committed in one phase; it cannot be prepared")
        }
        (RowState::Committed | RowState::CommittedOnePhase, Operation::Abort) => {
            Answer::heuristic("this branch was committed before")
        }
        (RowState::Aborted, Operation::Commit) => Answer::heuristic(aborted),
        (RowState::Aborted, Operation::Prepare | Operation::CommitOnePhase) => {
            Answer::refused(aborted)
        }
        (RowState::Refused { reason }, Operation::Commit) => {
            Answer::heuristic(format!("this branch was refused before: {reason}"))
        }
        (RowState::Refused { reason }, Operation::Prepare | Operation::CommitOnePhase) => {
            Answer::refused(reason.as_str())
        }
        (RowState::ReadOnly, Operation::Prepare) => Answer::ReadOnly,
        _ => Answer::Done,
    }
}

fn too_late(operation: Operation, expired: Timestamp, now: Timestamp) -> String {
    let late = expired.until(now).as_millis();
    format!("the {operation} came {late} ms after its time; submit the transaction again")
}

fn mixed() -> Answer {
    Answer::unknown(
        "two-phase and a saga have asked of the same transaction and branch; it can be only one",
    )
}

/// The row keeps the reason as it is answered, so that it can be repeated.
fn refuse(reason: String) -> (RowState, Answer) {
    let reason = cut(reason);
    (RowState::Refused { reason: reason.clone() }, Answer::Refused { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn short(to: &Transition<BranchMethod>) -> &'static str {
        match to {
            Transition::Answer(Answer::Done) => "done",
            Transition::Answer(Answer::ReadOnly) => "read-only",
            Transition::Answer(Answer::Refused { .. }) => "refused",
            Transition::Answer(Answer::Heuristic { .. }) => "heuristic",
            Transition::Answer(Answer::Unknown { .. }) => "unknown",
            Transition::Record(RowState::Aborted, Answer::Done) => "record aborted",
            Transition::Record(RowState::Refused { .. }, Answer::Refused { .. }) => {
                "record refused"
            }
            Transition::Run(BranchMethod::Validate) => "validate",
            Transition::Run(BranchMethod::Apply) => "apply",
            Transition::Run(BranchMethod::Release) => "release",
            other => panic!("{other:?} has no place in the table"),
        }
    }

    #[test]
    fn every_state_and_operation_leads_where_the_table_says() {
        use Operation::{Abort, Commit, CommitOnePhase, Prepare};
        let refused = RowState::Refused { reason: "no stock".into() };
        let (early, late) = (None, Some(NOW));
        let table = [
            (None, early, ["validate", "unknown", "record aborted", "validate"]),
            (None, late, ["record refused", "unknown", "record aborted", "record refused"]),
            (Some(RowState::Prepared), late, ["done", "apply", "release", "unknown"]),
            (Some(RowState::Committed), late, ["done", "done", "heuristic", "done"]),
            (Some(RowState::CommittedOnePhase), late, ["unknown", "done", "heuristic", "done"]),
            (Some(RowState::Aborted), late, ["refused", "heuristic", "done", "refused"]),
            (Some(RowState::ReadOnly), late, ["read-only", "done", "done", "done"]),
            (Some(refused), late, ["refused", "heuristic", "done", "refused"]),
        ];
        for (found, expires, expected) in table {
            for (operation, expected) in
                [Prepare, Commit, Abort, CommitOnePhase].into_iter().zip(expected)
            {
                let step = decide(found.as_ref(), operation, expires, NOW);
                assert_eq!(short(&step), expected, "{operation} of {found:?}, {expires:?}");
            }
        }
    }

    #[test]
    fn two_phase_and_a_saga_are_never_mixed() {
        let of_saga = [
            RowState::Done { action: OperationName::new("pay").unwrap(), output: Payload::null() },
            RowState::ActionRefused { reason: "declined".into() },
            RowState::Compensated,
            RowState::CompensatedEmpty,
        ];
        for (found, operation) in of_saga
            .iter()
            .flat_map(|found| Operation::TWO_PHASE.map(|operation| (Some(found), operation)))
            .chain(
                [None, Some(&RowState::Prepared), Some(&RowState::Committed)].into_iter().flat_map(
                    |found| {
                        [Operation::Action, Operation::Compensation].map(|asked| (found, asked))
                    },
                ),
            )
        {
            assert_eq!(
                decide(found, operation, None, NOW),
                Transition::Answer(mixed()),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_vote_makes_the_row_and_the_answer() {
        use Operation::{CommitOnePhase, Prepare};
        let yes = Vote::Yes(());
        assert_eq!(voted(Prepare, &yes), (RowState::Prepared, Answer::Done));
        assert_eq!(voted(CommitOnePhase, &yes), (RowState::CommittedOnePhase, Answer::Done));
        let read_only = Vote::<()>::ReadOnly;
        assert_eq!(voted(Prepare, &read_only), (RowState::ReadOnly, Answer::ReadOnly));
        assert_eq!(voted(CommitOnePhase, &read_only), (RowState::ReadOnly, Answer::Done));
        for operation in [Prepare, CommitOnePhase] {
            let (state, answer) = voted(operation, &Vote::<()>::No("é".repeat(1_000)));
            assert!(matches!(&answer, Answer::Refused { reason } if reason.len() <= 500));
            // The repeated answer is the first one, to the letter.
            assert_eq!(decide(Some(&state), operation, None, NOW), Transition::Answer(answer));
        }
    }

    #[test]
    fn a_prepare_takes_effect_until_just_before_it_expires() {
        let expires = Some(NOW);
        let before = Timestamp::from_millis(999);
        assert_eq!(
            decide(None, Operation::Prepare, expires, before),
            Transition::Run(BranchMethod::Validate)
        );
        assert_ne!(
            decide(None, Operation::Prepare, expires, NOW),
            Transition::Run(BranchMethod::Validate)
        );
    }
}
