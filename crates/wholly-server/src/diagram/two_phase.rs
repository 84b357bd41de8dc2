//! The pictures of a two-phase transaction.
//!
//! One branch fails at a time. Each branch votes no in turn; for pictures alike for every branch,
//! the last one stands for all. Of one branch alone there are also the pictures of one phase, for
//! only the participant's registration says whether it offers that.

use wholly_core::two_phase::{Proposal, Started, StartedBranch, Transaction};
use wholly_core::wire::Operation;
use wholly_core::{BranchIndex, BrokenInvariant, Effect};

use super::picture::{DEADLINE, Made, Script, section};

/// All pictures of a two-phase transaction.
///
/// # Errors
/// When the state machine breaks a law.
pub fn document(transaction: &Proposal) -> Result<String, BrokenInvariant> {
    let mut document = format!("# {}, in two phases\n", transaction.name());
    let in_two = started(transaction, false);
    for (title, script) in in_two_phases(transaction) {
        document += &section(&title, &in_two, script)?;
    }
    if let [only] = transaction.branches() {
        let in_one = started(transaction, true);
        for (way, script) in in_one_phase(only) {
            let title = format!("In one phase, where {} offers it: {way}", only.participant);
            document += &section(&title, &in_one, script)?;
        }
    }
    Ok(document)
}

fn started(transaction: &Proposal, one_phase: bool) -> wholly_core::Transaction {
    wholly_core::Transaction::TwoPhase(Transaction::start(&Started {
        name: transaction.name().clone(),
        key: None,
        trace: None,
        deadline: DEADLINE,
        one_phase,
        branches: transaction.branches().to_vec(),
    }))
}

const LOST: Made = Made::Lost { tries: 1 };

/// The pictures in two phases, each under its title.
fn in_two_phases(transaction: &Proposal) -> Vec<(String, Option<Script>)> {
    let branches = || (0..).zip(transaction.branches());
    let mut pictures = vec![("Every vote is yes".to_owned(), None)];
    for (index, branch) in branches() {
        let no = script(index, branch, Operation::Prepare, &[Made::Refused]);
        pictures.push((format!("{} votes no", branch.participant), no));
    }
    if let Some((index, branch)) = branches().last() {
        let name = &branch.participant;
        let votes = |vote| script(index, branch, Operation::Prepare, &[vote]);
        let commit = script(index, branch, Operation::Commit, &[LOST]);
        pictures.extend([
            (format!("{name} does not vote before the deadline"), votes(LOST)),
            (format!("{name} votes read-only"), votes(Made::ReadOnly)),
            (format!("The answer of {name} to commit is lost"), commit),
        ]);
    }
    pictures
}

/// The pictures of one branch alone in one phase, each with what happens in it.
fn in_one_phase(only: &StartedBranch) -> [(&'static str, Option<Script>); 4] {
    let answers = |answers: &[Made]| script(0, only, Operation::CommitOnePhase, answers);
    [
        ("it commits", None),
        ("it refuses", answers(&[Made::Refused])),
        ("its answer is lost", answers(&[LOST])),
        ("its answer is lost, and then it refuses", answers(&[LOST, Made::Refused])),
    ]
}

fn script(
    branch: BranchIndex,
    StartedBranch { participant, .. }: &StartedBranch,
    operation: Operation,
    answers: &[Made],
) -> Option<Script> {
    let until = if operation.is_first_phase() { "it answers" } else { "it acknowledges" };
    Some(Script {
        asked: Effect { branch, operation },
        again: format!("{participant} may have done it: it is asked until {until}"),
        answers: answers.iter().copied().collect(),
    })
}
